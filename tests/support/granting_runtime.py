"""runc for an engine that is older than CAP_PERFMON and CAP_BPF: grants what the container's environment asks for.

Docker 20.10 knows no capability above 37. From version 23 on it does, and its default seccomp profile then allows the
system call that belongs to each: this does both, and nothing else. The live tests register it as a runtime of their own
engine, which writes the first line and the call of `main` around this text.
"""

import itertools
import json
import os
import sys

ASKED = "HULLWATCH_LIVE_GRANT="
CALLS = {"CAP_BPF": "bpf", "CAP_PERFMON": "perf_event_open"}


def grant(path: str) -> None:
    """Give the process of a config.json the capabilities that it names, in place; the name goes."""
    with open(path, encoding="utf-8", errors="surrogateescape") as source:
        value = json.load(source)
    process = value["process"]
    asked = [each.removeprefix(ASKED) for each in process["env"] if each.startswith(ASKED)]
    names = [f"CAP_{name}" for each in asked for name in each.split(",") if name]
    process["env"] = [each for each in process["env"] if not each.startswith(ASKED)]
    for kind in ("bounding", "effective", "permitted"):
        process["capabilities"][kind] = [*(process["capabilities"].get(kind) or []), *names]
    calls = [CALLS[name] for name in names]
    if calls and (seccomp := value["linux"].get("seccomp")):
        seccomp["syscalls"].append({"names": calls, "action": "SCMP_ACT_ALLOW"})
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as target:
        json.dump(value, target)


def main(runc: str) -> None:
    """Change the file that the arguments name, then become runc."""
    arguments = sys.argv[1:]
    if "create" in arguments:
        for option, value in itertools.pairwise(arguments):
            if option in ("--bundle", "-b"):
                grant(f"{value}/config.json")
    os.execv(runc, ["runc", *arguments])  # noqa: S606
