"""The one list of all detectors, in the order of their ids; a detector that is not in it does not exist.

Guarded by ``tests/detectors/test_catalog.py``, which holds every one against what all must satisfy.
"""

from __future__ import annotations

from detectors import (
    capabilities_beyond_bound,
    cgroup_left,
    credentials_changed_without_cause,
    dangerous_capabilities,
    device_cgroup_opened,
    drifted_execution,
    fileless_execution,
    foreign_directory_held,
    foreign_process_injected,
    host_namespace_joined,
    host_namespaces,
    host_root_entered,
    host_runs_container_file,
    kernel_helper_replaced,
    kernel_interface_written,
    kernel_module_loaded,
    kernel_ran_helper,
    kernel_replaced,
    lineage_left,
    mount_reached_host,
    mounts_widened,
    other_container_joined,
    privileged_exec,
    release_agent_written,
    sandbox_weakened,
    unknown_container,
    user_namespace_gained,
)
from detectors.base import Detector

DETECTORS: tuple[Detector, ...] = (
    host_namespace_joined.DETECTOR,  # HW-101
    other_container_joined.DETECTOR,  # HW-102
    host_root_entered.DETECTOR,  # HW-103
    foreign_directory_held.DETECTOR,  # HW-104
    cgroup_left.DETECTOR,  # HW-105
    lineage_left.DETECTOR,  # HW-106
    capabilities_beyond_bound.DETECTOR,  # HW-107
    credentials_changed_without_cause.DETECTOR,  # HW-108
    sandbox_weakened.DETECTOR,  # HW-109
    privileged_exec.DETECTOR,  # HW-110
    user_namespace_gained.DETECTOR,  # HW-111
    mounts_widened.DETECTOR,  # HW-112
    mount_reached_host.DETECTOR,  # HW-113
    host_runs_container_file.DETECTOR,  # HW-114
    unknown_container.DETECTOR,  # HW-115
    kernel_helper_replaced.DETECTOR,  # HW-205
    release_agent_written.DETECTOR,  # HW-206
    device_cgroup_opened.DETECTOR,  # HW-207
    kernel_ran_helper.DETECTOR,  # HW-208
    kernel_interface_written.DETECTOR,  # HW-209
    foreign_process_injected.DETECTOR,  # HW-213
    kernel_module_loaded.DETECTOR,  # HW-215
    kernel_replaced.DETECTOR,  # HW-217
    fileless_execution.DETECTOR,  # HW-222
    drifted_execution.DETECTOR,  # HW-223
    host_namespaces.DETECTOR,  # HW-302
    dangerous_capabilities.DETECTOR,  # HW-303
)

_BY_ID = {detector.id: detector for detector in DETECTORS}


def by_id(detector_id: str) -> Detector | None:
    """The detector with that id, ``None`` when there is none; ids are compared as they are written (``HW-103``)."""
    return _BY_ID.get(detector_id)
