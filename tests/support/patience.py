"""How much longer than on an ordinary machine a test waits: an emulated one (`make test-vm`) is about ten times slower.

HULLWATCH_TEST_PATIENCE is a factor on times that a test waits for something to come, or gives the agent to see what is
there. What has to come, or must not come, stays the same.
"""

import os

PATIENCE = float(os.environ.get("HULLWATCH_TEST_PATIENCE", "1"))


def patient(seconds: float) -> float:
    """So many seconds of an ordinary machine, in seconds of this one."""
    return seconds * PATIENCE
