"""The doctor in surroundings that really lack something: a capability, a namespace of the host, a file, a runtime.

Each is made for the doctor's own process alone, by setpriv or unshare; nothing of the machine changes.
"""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

import pytest

from tests.support import running_agent
from tests.support.engine import DEFAULT_EXEC_ROOT
from tests.support.stage import CannotHereError, Stage, needs_program

pytestmark = pytest.mark.live

Answers = dict[str, dict[str, Any]]
NEEDED = ("sys_ptrace", "dac_read_search", "bpf", "perfmon", "net_admin")


def doctor(*through: str, config: Sequence[str] = ()) -> Answers:
    """The answers of a doctor that is started by this command, by name."""
    command = running_agent.find_command()
    if not command:
        pytest.skip("hullwatch is not installed beside this Python")
    try:
        program = [needs_program(through[0]), *through[1:]] if through else []
    except CannotHereError as error:
        pytest.skip(str(error))
    done = subprocess.run([*program, command, "doctor", "-o", "json", *config], capture_output=True, check=False)
    assert done.returncode in {0, 1}, done.stderr.decode()
    return {each["check"]: each for each in json.loads(done.stdout)}


def hidden(directory: str) -> tuple[str, ...]:
    """In a mount namespace of its own in which this directory is empty."""
    script = 'mount -t tmpfs none "$0" && exec "$@"'
    return ("unshare", "--mount", "--propagation=private", "sh", "-ec", script, directory)


def is_told(answer: dict[str, Any]) -> bool:
    """It is no good, and what that costs and how it is mended is said."""
    return answer["verdict"] in {"failed", "warning"} and bool(answer["costs"]) and bool(answer["mend"])


@pytest.mark.parametrize("missing", NEEDED)
def test_a_capability_that_is_missing_is_named(missing: str) -> None:
    kept = ",".join(f"+{name}" for name in NEEDED if name != missing)
    answers = doctor("setpriv", f"--bounding-set=-all,{kept}", "--inh-caps=-all", "--")
    found = answers[f"CAP_{missing.upper()}"]
    assert is_told(found), found
    assert missing.upper() in found["mend"]
    others = [answers[f"CAP_{name.upper()}"]["verdict"] for name in NEEDED if name != missing]
    assert others == ["ok"] * len(others)
    # What is tried fails where the capability is what it takes.
    assert (answers["eBPF trial"]["verdict"] == "ok") is (missing not in {"bpf", "perfmon"})


@pytest.mark.parametrize(
    ("through", "check"),
    [
        pytest.param(("unshare", "--pid", "--fork", "--mount-proc"), "host's pids", id="no-hostPID"),
        pytest.param(("unshare", "--net"), "host's network", id="no-hostNetwork"),
        pytest.param(("unshare", "--user", "--map-root-user"), "user namespace", id="user-namespace"),
        pytest.param(hidden("/sys/kernel/btf"), "BTF", id="no-BTF"),
        pytest.param(("unshare", "--cgroup", *hidden("/sys/fs/cgroup")), "cgroups", id="cgroup-namespace"),
    ],
)
def test_what_is_missing_around_it_is_named(through: tuple[str, ...], check: str) -> None:
    assert doctor()[check]["verdict"] == "ok"
    found = doctor(*through)[check]
    assert is_told(found), found


def test_a_runtime_whose_directory_is_not_mounted_is_named(stage: Stage) -> None:
    """The engine of the tests keeps its state where no list has it; else its usual place is hidden."""
    through = hidden("/run/docker") if stage.engine.exec_root == DEFAULT_EXEC_ROOT else ()
    with stage.container():
        answers = doctor(*through)
    found = answers["runtimes"]
    assert is_told(found), found
    assert f"not seen here: {stage.engine.exec_root}" in found["found"]
