"""The one list of all detectors, in the order of their ids; a detector that is not in it does not exist.

Guarded by ``tests/detectors/test_catalog.py``, which holds every one against what all must satisfy.
"""

from __future__ import annotations

from detectors import (
    agent_attacked,
    agent_was_away,
    block_device_used,
    bpf_or_tracing_used,
    capabilities_beyond_bound,
    cgroup_left,
    container_tool_run,
    credentials_changed_without_cause,
    dangerous_capabilities,
    detector_failed,
    device_cgroup_opened,
    drifted_execution,
    events_lost,
    exploit_precursor,
    file_opened_by_handle,
    fileless_execution,
    filters_off,
    foreign_directory_held,
    foreign_process_injected,
    host_devices,
    host_file_changed,
    host_namespace_joined,
    host_namespaces,
    host_path_mounted,
    host_process_signalled,
    host_root_entered,
    host_runs_container_file,
    host_secret_read,
    hostile_bundle,
    kernel_helper_replaced,
    kernel_interface_written,
    kernel_interfaces_unmasked,
    kernel_module_loaded,
    kernel_ran_helper,
    kernel_replaced,
    lineage_left,
    memory_device_used,
    metadata_service_contacted,
    mount_propagation_shared,
    mount_reached_host,
    mounts_widened,
    namespace_entry_attempted,
    node_api_contacted,
    node_weak,
    other_container_joined,
    privilege_bit_planted,
    privileged,
    privileged_exec,
    raw_socket_opened,
    release_agent_written,
    root_changed,
    root_in_host_user_namespace,
    runtime_binary_touched,
    runtime_socket_mounted,
    runtime_socket_used,
    sandbox_weakened,
    sensor_lost,
    shell_entered,
    shell_on_socket,
    sink_unreachable,
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
    namespace_entry_attempted.DETECTOR,  # HW-201
    root_changed.DETECTOR,  # HW-202
    block_device_used.DETECTOR,  # HW-203
    memory_device_used.DETECTOR,  # HW-204
    kernel_helper_replaced.DETECTOR,  # HW-205
    release_agent_written.DETECTOR,  # HW-206
    device_cgroup_opened.DETECTOR,  # HW-207
    kernel_ran_helper.DETECTOR,  # HW-208
    kernel_interface_written.DETECTOR,  # HW-209
    runtime_socket_used.DETECTOR,  # HW-210
    node_api_contacted.DETECTOR,  # HW-211
    metadata_service_contacted.DETECTOR,  # HW-212
    foreign_process_injected.DETECTOR,  # HW-213
    host_process_signalled.DETECTOR,  # HW-214
    kernel_module_loaded.DETECTOR,  # HW-215
    bpf_or_tracing_used.DETECTOR,  # HW-216
    kernel_replaced.DETECTOR,  # HW-217
    file_opened_by_handle.DETECTOR,  # HW-218
    host_file_changed.DETECTOR,  # HW-219
    host_secret_read.DETECTOR,  # HW-220
    runtime_binary_touched.DETECTOR,  # HW-221
    fileless_execution.DETECTOR,  # HW-222
    drifted_execution.DETECTOR,  # HW-223
    privilege_bit_planted.DETECTOR,  # HW-224
    exploit_precursor.DETECTOR,  # HW-225
    shell_on_socket.DETECTOR,  # HW-226
    container_tool_run.DETECTOR,  # HW-227
    raw_socket_opened.DETECTOR,  # HW-228
    shell_entered.DETECTOR,  # HW-229
    privileged.DETECTOR,  # HW-301
    host_namespaces.DETECTOR,  # HW-302
    dangerous_capabilities.DETECTOR,  # HW-303
    runtime_socket_mounted.DETECTOR,  # HW-304
    host_path_mounted.DETECTOR,  # HW-305
    host_devices.DETECTOR,  # HW-306
    filters_off.DETECTOR,  # HW-307
    root_in_host_user_namespace.DETECTOR,  # HW-308
    kernel_interfaces_unmasked.DETECTOR,  # HW-309
    mount_propagation_shared.DETECTOR,  # HW-310
    hostile_bundle.DETECTOR,  # HW-311
    node_weak.DETECTOR,  # HW-351
    sensor_lost.DETECTOR,  # HW-901
    events_lost.DETECTOR,  # HW-902
    agent_attacked.DETECTOR,  # HW-903
    agent_was_away.DETECTOR,  # HW-904
    sink_unreachable.DETECTOR,  # HW-905
    detector_failed.DETECTOR,  # HW-906
)

_BY_ID = {detector.id: detector for detector in DETECTORS}


def by_id(detector_id: str) -> Detector | None:
    """The detector with that id, ``None`` when there is none; ids are compared as they are written (``HW-103``)."""
    return _BY_ID.get(detector_id)
