"""Performs acts, or honest workloads, by hand: `python -m tests.support.acts [-k WORD] [--seconds N]`.

Each is performed for real, must show its own effect, and must leave the machine as it was. `--seconds` keeps the state
that it made for so long, for looking at it.
"""

import argparse
import sys
import time
import traceback

from tests.support import host_state, image, toolbox
from tests.support.acts.catalog import ACTS
from tests.support.engine import find_or_start
from tests.support.honest.catalog import WORKLOADS
from tests.support.stage import Act, CannotHereError, Stage, Workload


def main() -> int:
    """Perform what was asked for; 0 when everything did what it says and left nothing behind."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.acts", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-k", default="", metavar="WORD", help="only those whose name holds the word")
    parser.add_argument("--seconds", type=float, default=0, help="keep each state for so long")
    options = parser.parse_args()
    every: tuple[Act | Workload, ...] = (*ACTS, *WORKLOADS)
    chosen = [each for each in every if options.k in each.name]
    engine = find_or_start()
    failed = 0
    try:
        stage = Stage(engine, toolbox.build())
        image.import_into(engine, stage.tools)
        with stage.container():  # makes the engine's parent cgroups, which stay
            before = host_state.read_host_state()
            for each in chosen:
                failed += not _perform(each, stage, options.seconds, before)
    finally:
        engine.close()
    return 1 if failed else 0


def _perform(each: Act | Workload, stage: Stage, seconds: float, before: host_state.HostState) -> bool:
    started, problem = time.monotonic(), ""
    try:
        with each.perform(stage) as outcome:
            time.sleep(seconds)
    except CannotHereError as error:
        outcome, problem = None, f"cannot here: {error}"
    except Exception:  # noqa: BLE001  (a driver goes on to the next act)
        outcome, problem = None, traceback.format_exc()
    left = host_state.differences(before, host_state.read_host_state())
    good = not left and (not problem or problem.startswith("cannot here"))
    line = f"{'ok ' if good else 'BAD'} {each.name} {time.monotonic() - started:.2f} s {outcome or ''} {problem}"
    print("\n     ".join([line, *left]), flush=True)  # noqa: T201
    return good


if __name__ == "__main__":
    sys.exit(main())
