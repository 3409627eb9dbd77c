"""The one list of escapes that the live tests really perform."""

from tests.support.acts import (
    calls,
    cgroups,
    connections,
    executions,
    exposures,
    files,
    kernel_helpers,
    mounts,
    namespaces,
    privileges,
    roots,
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
)
