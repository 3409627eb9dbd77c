from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from click.testing import CliRunner, Result

from agent import __version__
from agent.cli import main
from agent.doctor.base import Surroundings
from collectors.errors import CollectorError
from tests.agent.cli.nodes import HOSTILE, invoke
from tests.agent.doctor.surroundings import well
from tests.support import build


def diagnose(node: Surroundings, *arguments: str) -> Result:
    return CliRunner().invoke(main, ("doctor", *arguments), obj=node)


def test_a_node_that_is_well_is_status_0(tmp_path: Path) -> None:
    result = diagnose(well(tmp_path))
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.split("\n")]
    assert lines[:2] == [["AREA", "CHECK", "VERDICT", "FOUND"], ["privileges", "user", "ok", "uid", "0"]]
    assert "costs" not in result.stdout


def test_what_failed_is_told_with_what_it_costs_and_how_to_mend_it(tmp_path: Path) -> None:
    blind = replace(well(tmp_path), capabilities=build.capabilities(0))
    result = diagnose(blind, "--color", "always")
    assert result.exit_code == 1
    assert "\x1b[1;31mfailed\x1b[0m" in result.stdout
    assert "\nCAP_SYS_PTRACE: failed\n  costs: Root, working directory, program" in result.stdout
    assert (
        "  mend: In a pod: securityContext.capabilities.add: [SYS_PTRACE], without the prefix CAP_.\n" in result.stdout
    )
    found = {each["check"]: each for each in json.loads(diagnose(blind, "-o", "json").stdout)}
    assert found["CAP_SYS_PTRACE"]["verdict"] == "failed"
    assert found["BTF"]["mend"] is None


def test_writes_an_archive_once(tmp_path: Path) -> None:
    node, path = well(tmp_path / "node"), tmp_path / "support.tar.gz"
    assert diagnose(node, "--bundle", str(path)).stderr == f"hullwatch: {path}: {path.stat().st_size >> 10} KiB\n"
    again = diagnose(node, "--bundle", str(path))
    assert (again.exit_code, again.stderr) == (2, f"hullwatch: {path}: File exists\n")


def test_hostile_words_of_a_kernel_or_library_are_written_out(tmp_path: Path) -> None:
    def refuse() -> str:
        raise CollectorError("ebpf", HOSTILE)

    node = replace(well(tmp_path), try_ebpf=refuse, label=HOSTILE.encode("utf-8", "surrogatepass"))
    for form in ("table", "wide", "json", "yaml", "jsonl"):
        result = diagnose(node, "-o", form)
        assert "\x1b" not in result.output
        assert "\x9b" not in result.output


def test_version_is_one_line_and_all_of_it_where_asked() -> None:
    assert invoke(None, "version").output == f"hullwatch {__version__}\n"
    found = json.loads(invoke(None, "version", "-o", "json").stdout)
    assert (found["hullwatch"], found["libraries"]["click"].split(".")[0]) == (__version__, "8")
    assert "\nclick 8" in invoke(None, "version", "-o", "wide").stdout


def test_config_show_is_the_configuration_that_holds(tmp_path: Path) -> None:
    path = tmp_path / "hullwatch.yaml"
    path.write_text("sensor: poll\n")
    result = invoke(None, "config", "show", "--config", str(path))
    assert result.exit_code == 0
    assert result.stdout.startswith("sensor: poll\nsweep:\n  interval_seconds: 1.0\n")
    again = tmp_path / "again.yaml"
    again.write_text(result.stdout)
    assert invoke(None, "config", "check", str(again)).exit_code == 0
    assert json.loads(invoke(None, "config", "show", "-o", "json").stdout)["sensor"] == "auto"
