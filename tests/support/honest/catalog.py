"""The one list of honest work that the live tests really do."""

from tests.support.honest import engine_work, host_work, inside
from tests.support.stage import Workload

WORKLOADS: tuple[Workload, ...] = (*engine_work.WORKLOADS, *inside.WORKLOADS, *host_work.WORKLOADS)
