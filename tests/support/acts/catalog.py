"""The one list of escapes that the live tests really perform."""

from tests.support.acts import (
    calls,
    cgroups,
    connections,
    descriptors,
    evasions,
    executions,
    exposures,
    files,
    kernel_helpers,
    mounts,
    namespaces,
    privileges,
    roots,
    sockets,
    takeovers,
    values,
)
from tests.support.stage import Act

ACTS: tuple[Act, ...] = (
    *namespaces.ACTS,
    *roots.ACTS,
    *cgroups.ACTS,
    *kernel_helpers.ACTS,
    *mounts.ACTS,
    *privileges.ACTS,
    *executions.ACTS,
    *exposures.ACTS,
    *calls.ACTS,
    *files.ACTS,
    *connections.ACTS,
    *descriptors.ACTS,
    *sockets.ACTS,
    *evasions.ACTS,
    *values.ACTS,
    *takeovers.ACTS,
)

_NO_BUG = "only a kernel bug does it, see tests/support/acts/privileges.py: tests/scenarios replays it"
WITHOUT_ACT: dict[str, str] = {
    "HW-107": _NO_BUG,
    "HW-108": _NO_BUG,
    "HW-109": _NO_BUG,
    "HW-351": "tests/live/test_agent_itself.py: the node is as it is",
    "HW-901": "a source of the agent fails by a fault of kernel or agent only: tests/scenarios replays it",
    "HW-902": "losing events wants a flood that would starve the machine's other programs: tests/scenarios replays it",
    "HW-903": "tests/live/test_agent_itself.py, tests/live/test_self_protection.py",
    "HW-904": "tests/live/test_agent_itself.py",
    "HW-905": "tests/live/test_agent_itself.py",
    "HW-906": "tests/live/test_operators_rules.py",
}
"""The detectors that no act is for: why, or which other test really does it."""
