"""The one list of escapes that the live tests really perform."""

from tests.support.acts import (
    calls,
    cgroups,
    connections,
    descriptors,
    executions,
    exposures,
    files,
    kernel_helpers,
    mounts,
    namespaces,
    privileges,
    roots,
    sockets,
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
    *values.ACTS,
)

_NO_BUG = "only a kernel bug does it: no system call gives a process more, see tests/support/acts/privileges.py"
WITHOUT_ACT: dict[str, str] = {
    "HW-107": _NO_BUG,
    "HW-108": _NO_BUG,
    "HW-109": _NO_BUG,
    "HW-351": "tests/live/test_agent_itself.py: the node is as it is",
    "HW-901": "a source of the agent fails by a fault of kernel or agent only: tests/detectors/test_sensor_lost.py",
    "HW-902": "losing events wants a flood that would starve the other programs of the machine: on made events",
    "HW-903": "tests/live/test_agent_itself.py, tests/live/test_self_protection.py",
    "HW-904": "tests/live/test_agent_itself.py",
    "HW-905": "tests/live/test_agent_itself.py",
    "HW-906": "tests/live/test_operators_rules.py",
}
"""The detectors that no act is for: why, or which other test really does it."""
