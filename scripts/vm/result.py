"""Tells what came of a run in the virtual machine, as Markdown: `result.py DIRECTORY [--record PAGE]`.

The directory is the one that scripts/vm/guest wrote: `machine`, `steps` (name, exit status, seconds and revision, a
line each), and what scripts/vm/reporter.py told of each step that was tests. A step that was run in portions has a line
for each; of a test the last outcome counts. With `--record`, it takes the place of what follows the mark in the page.
"""

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

MARK = "<!-- What follows is written by scripts/vm/run -->\n"
CUT_OFF = -1
WORDS = {CUT_OFF: "cut off", 0: "done", 1: "failed", 2: "interrupted", 124: "out of time"}


@dataclass(slots=True)
class Step:
    """One step: how it ended, and what its tests did, by name, failures and skips each with the reason."""

    name: str
    status: int = CUT_OFF
    seconds: int = 0
    revision: str = ""
    passed: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    selected: int | None = None  # None of a step that is no tests
    revisions: dict[str, str] = field(default_factory=dict)  # of which each test was run

    def forget(self, name: str) -> None:
        """What an earlier run told of a test counts no more."""
        self.passed.discard(name)
        self.failed.pop(name, None)
        self.skipped.pop(name, None)


def read_steps(directory: Path) -> list[Step]:
    """The steps in the order in which they first ended, and the one in which the machine was cut off."""
    steps: dict[str, Step] = {}
    ended = directory / "steps"
    for line in ended.read_text().splitlines() if ended.exists() else ():
        name, status, seconds, revision = line.split()
        step = steps.setdefault(name, Step(name))
        step.status, step.revision = int(status), revision
        step.seconds += int(seconds)
    for report in sorted(directory.glob("*.jsonl")):
        read_report(report, steps.setdefault(report.stem, Step(report.stem)))
    return list(steps.values())


def read_report(report: Path, step: Step) -> None:
    """Add what the reporter told of a step's tests; of a machine that was cut off the last line may be half."""
    revision = ""
    for line in report.read_text().splitlines():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if "selected" in told:
            step.selected, revision = told["selected"], told["revision"]
            continue
        name, why = told["name"].removeprefix("tests/"), told["why"]
        step.forget(name)
        step.revisions[name] = revision
        if told["outcome"] == "passed":
            step.passed.add(name)
        elif told["outcome"] == "skipped":
            step.skipped[name] = brief(why.removeprefix("Skipped: "))
        else:
            step.failed[name] = brief(why)


def brief(why: str) -> str:
    """What fits into a line of a list: the error, which pytest puts last but one, or the reason."""
    lines = [line.removeprefix("E").strip() for line in why.strip().split("\n")]
    errors = [line for line, raw in zip(lines, why.strip().split("\n"), strict=True) if raw.startswith("E ")]
    return (errors or lines)[0][:300]


def machine_of(directory: Path) -> str:
    """What the machine said of itself, as rows of a table."""
    if not (directory / "machine").exists():
        return "The machine did not get so far as to say what it is.\n"
    rows = [line.split(": ", 1) for line in (directory / "machine").read_text().splitlines()]
    return "".join(["| | |\n| --- | --- |\n", *(f"| {name} | {value} |\n" for name, value in rows)])


def table_of(steps: list[Step]) -> str:
    """A row for each step."""
    lines = ["| step | result | passed | failed | skipped | not run | minutes | revision |\n", f"|{' --- |' * 8}\n"]
    for step in steps:
        counts: tuple[int | str, ...] = ("", "", "", "")
        if step.selected is not None:
            done = (len(step.passed), len(step.failed), len(step.skipped))
            counts = (*done, step.selected - sum(done))
        result = WORDS.get(step.status, f"status {step.status}")
        revisions = ", ".join(sorted({*step.revisions.values()} or {step.revision}))
        cells = (step.name, result, *map(str, counts), f"{step.seconds / 60:.0f}", revisions)
        lines.append(f"| {' | '.join(cells)} |\n")
    return "".join(lines)


def failures_of(steps: list[Step]) -> str:
    """Each failed test with the first line of its message."""
    lines = [f"- `{name}`: `{why.replace('`', '')}`\n" for step in steps for name, why in step.failed.items()]
    return "".join(lines) or "None.\n"


def skips_of(steps: list[Step]) -> str:
    """Each reason, with how many tests gave it and which, without the tiers that they ran in."""
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    for step in steps:
        for name, why in step.skipped.items():
            act = name.split("::")[1]
            for tier in ("ebpf", "netlink", "poll"):
                act = act.replace(f"[{tier}-", "[").replace(f"[{tier}]", "")
            reasons[why][act] += 1
    return (
        "".join(
            f"- {why} ({found.total()}): {', '.join(f'`{name}`' for name in sorted(found))}\n"
            for why, found in sorted(reasons.items())
        )
        or "None.\n"
    )


def main() -> int:
    """Print it, and record it where that is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--record", type=Path, metavar="PAGE")
    options = parser.parse_args()
    steps = read_steps(options.directory)
    text = (
        f"Run on {time.strftime('%d %B %Y', time.gmtime())}.\n\n"
        f"{machine_of(options.directory)}\n{table_of(steps)}\n"
        f"### Failed\n\n{failures_of(steps)}\n### Skipped, by reason\n\n{skips_of(steps)}"
    )
    print(text)
    if options.record is not None:
        page = options.record.read_text()
        if MARK not in page:
            print(f"{options.record} has no line {MARK!r}", file=sys.stderr)
            return 1
        options.record.write_text(page[: page.index(MARK) + len(MARK)] + "\n" + text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
