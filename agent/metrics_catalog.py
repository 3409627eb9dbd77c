"""The one list of metrics: every name that a scrape can show, what it means, and why its labels stay few.

Names follow https://prometheus.io/docs/practices/naming/: base units, ``_total`` for counters, no value in a name. No
label ever holds what a container can choose: no id, no name, no path, no free text of an error. Removing or renaming a
metric breaks dashboards and alert rules: it goes into the changelog.
"""

from __future__ import annotations

from agent.exposition import Kind, Metric

_RULES = "the detectors, the rules of the configuration"
_SINKS = "the sinks of the configuration"
_SOURCES = "the sources in `agent/sources.py`"
_CODE = "a fixed list in the code"
_ERRORS = "classes of errors in the code"

# The agent -----------------------------------------------------------------------------------------------------------

BUILD_INFO = Metric(
    "hullwatch_build_info",
    Kind.GAUGE,
    "Always 1; the version of the agent and of its Python.",
    ("version", "python"),
    "one series",
)
HEALTH_STATUS = Metric(
    "hullwatch_health_status", Kind.GAUGE, "1 for the status that health has now, 0 for the others.", ("status",), _CODE
)
HEALTH_REASON = Metric(
    "hullwatch_health_reason",
    Kind.GAUGE,
    "1 for what is wrong now, 0 for what is not; /healthz says it in words.",
    ("reason",),
    _CODE,
)
READY = Metric(
    "hullwatch_ready", Kind.GAUGE, "1 when sensors are attached, the first sweep is done and the node is watched."
)
CONFIG_RELOADS = Metric(
    "hullwatch_config_reloads_total",
    Kind.COUNTER,
    "Configurations read again on SIGHUP; a refused one changed nothing.",
    ("result",),
    "taken, refused",
)
HTTP_REQUESTS = Metric(
    "hullwatch_http_requests_total", Kind.COUNTER, "Answers of this endpoint, by HTTP status.", ("code",), _CODE
)
HTTP_CLOSED = Metric(
    "hullwatch_http_closed_total",
    Kind.COUNTER,
    "Connections to this endpoint that got no answer: too slow, or in the way of newer ones.",
    ("reason",),
    _CODE,
)

# Sensors and sources --------------------------------------------------------------------------------------------------

SENSOR_INFO = Metric(
    "hullwatch_sensor_info",
    Kind.GAUGE,
    "Always 1; the sensor tier in use, and what the configuration asks for.",
    ("tier", "configured"),
    "one series",
)
SOURCE_UP = Metric(
    "hullwatch_source_up",
    Kind.GAUGE,
    "1 while a source runs, 0 while it waits to be tried again.",
    ("source",),
    _SOURCES,
)
SOURCE_FAILURES = Metric(
    "hullwatch_source_failures_total",
    Kind.COUNTER,
    "How often a source ended with an error.",
    ("source", "error"),
    _ERRORS,
)
SENSOR_RECORDS = Metric(
    "hullwatch_sensor_records_total",
    Kind.COUNTER,
    "What a sensor read from the kernel, before anything is made of it; of `ebpf`: what its programs saw there, and "
    "which of it was `notable`, so that it was told; `streamed` was told for who watches events alone.",
    ("source", "kind"),
    _CODE,
)
SENSOR_ERRORS = Metric(
    "hullwatch_sensor_errors_total",
    Kind.COUNTER,
    "Records and reads of a sensor that came to nothing, by kind; `gone` is a process that ended meanwhile, "
    "`not_remembered` a task for which the kernel's table had no room, `detached` a program that somebody took off.",
    ("source", "error"),
    _CODE,
)
SENSOR_OVERRUNS = Metric(
    "hullwatch_sensor_overruns_total",
    Kind.COUNTER,
    "Times that the kernel's buffer for a sensor was full; each loss is followed by a sweep.",
    ("source",),
    _SOURCES,
)
EVENTS = Metric("hullwatch_events_total", Kind.COUNTER, "Events that reached the node's state.", ("kind",), _CODE)
EVENTS_LOST = Metric(
    "hullwatch_events_lost_total",
    Kind.COUNTER,
    "Events that never reached the node's state, at least.",
    ("source", "reason"),
    "a fixed list in the code, and no more than 64",
)
QUEUE_EVENTS = Metric("hullwatch_queue_events", Kind.GAUGE, "Events that wait between the sensors and the state.")
QUEUE_LIMIT = Metric("hullwatch_queue_limit_events", Kind.GAUGE, "How many events may wait (`limits.queue_events`).")
LOOKS = Metric("hullwatch_process_looks_total", Kind.COUNTER, "Looks at one process in /proc.")
LOOK_RESULTS = Metric(
    "hullwatch_process_look_results_total",
    Kind.COUNTER,
    "Looks that showed something new, came too late, or found the table of processes full.",
    ("result",),
    _CODE,
)
MOUNT_NAMESPACES = Metric("hullwatch_mount_namespaces_watched", Kind.GAUGE, "Mount namespaces whose table is watched.")
OBJECTS_WATCHED = Metric(
    "hullwatch_objects_watched", Kind.GAUGE, "Files and directories of the host that inotify watches; none in `ebpf`."
)
CONTAINER_TROUBLE = Metric(
    "hullwatch_container_trouble_total",
    Kind.COUNTER,
    "What did not work, or was not tried, in finding containers and their bundles.",
    ("kind",),
    _CODE,
)
DOCKER_STATE = Metric(
    "hullwatch_docker_api_state",
    Kind.GAUGE,
    "1 for the state that the Docker API is in, 0 for the others.",
    ("state",),
    _CODE,
)
DOCKER_FAILURES = Metric(
    "hullwatch_docker_api_failures_total", Kind.COUNTER, "Connections to the Docker API that failed."
)

KUBERNETES_STATE = Metric(
    "hullwatch_kubernetes_api_state",
    Kind.GAUGE,
    "1 for the state that the Kubernetes API is in, 0 for the others.",
    ("state",),
    _CODE,
)
KUBERNETES_REQUESTS = Metric(
    "hullwatch_kubernetes_api_requests_total",
    Kind.COUNTER,
    "Lists and watches that the Kubernetes API accepted.",
    ("verb",),
    "list, watch",
)
KUBERNETES_RELISTS = Metric(
    "hullwatch_kubernetes_api_relists_total", Kind.COUNTER, "Lists after the first: what was known had grown too old."
)
KUBERNETES_FAILURES = Metric(
    "hullwatch_kubernetes_api_failures_total",
    Kind.COUNTER,
    "Requests to the Kubernetes API that failed, and watches that were cut; http_NNN is an answer of that status.",
    ("error",),
    "a fixed list in the code, and the statuses of HTTP",
)
KUBERNETES_PODS = Metric("hullwatch_kubernetes_pods", Kind.GAUGE, "Pods of this node that the Kubernetes API tells of.")
KUBERNETES_LAST_CONTACT = Metric(
    "hullwatch_kubernetes_api_last_contact_timestamp_seconds",
    Kind.GAUGE,
    "When the Kubernetes API last said something, bookmarks included, Unix time: how old what is known of pods can be.",
)

# Sweeps and state -----------------------------------------------------------------------------------------------------

SWEEP_CPU = Metric("hullwatch_sweep_cpu_seconds", Kind.HISTOGRAM, "CPU time of one sweep of all processes.")
SWEEP_PROCESSES = Metric("hullwatch_sweep_processes", Kind.GAUGE, "Processes that the last sweep found.")
SWEEP_LAST = Metric("hullwatch_sweep_last_timestamp_seconds", Kind.GAUGE, "When the last sweep ended, Unix time.")
SWEEP_INTERVAL = Metric("hullwatch_sweep_interval_seconds", Kind.GAUGE, "The configured time between two sweeps.")
STATE_ENTRIES = Metric(
    "hullwatch_state_entries", Kind.GAUGE, "What each table of the state held after the last sweep.", ("table",), _CODE
)
STATE_LIMIT = Metric("hullwatch_state_limit_entries", Kind.GAUGE, "How much a table may hold.", ("table",), _CODE)
STATE_OVERFLOW = Metric(
    "hullwatch_state_overflow_total",
    Kind.COUNTER,
    "What a full table did not take, or forgot in favour of something newer.",
    ("table",),
    _CODE,
)

# Detectors and alerts -------------------------------------------------------------------------------------------------

CHECKS = Metric("hullwatch_detector_checks_total", Kind.COUNTER, "Events that a detector looked at.", ("rule",), _RULES)
CHECK_SECONDS = Metric(
    "hullwatch_detector_seconds_total", Kind.COUNTER, "Time that a detector took, wall clock.", ("rule",), _RULES
)
FINDINGS = Metric(
    "hullwatch_detector_findings_total",
    Kind.COUNTER,
    "Findings that became alerts: neither excepted nor repeated.",
    ("rule",),
    _RULES,
)
BLIND = Metric(
    "hullwatch_detector_blind_total",
    Kind.COUNTER,
    "How often a detector could not tell because a fact was missing.",
    ("rule", "reason"),
    f"{_RULES}, and kinds of errors in the code",
)
FAILURES = Metric(
    "hullwatch_detector_failures_total",
    Kind.COUNTER,
    "How often a detector failed: a fault of the agent.",
    ("rule", "error"),
    f"{_RULES}, and classes of errors in the code",
)
REPEATED = Metric("hullwatch_findings_repeated_total", Kind.COUNTER, "Findings that had been told already, unchanged.")
ALERTS = Metric(
    "hullwatch_alerts_total",
    Kind.COUNTER,
    "Alerts that were raised.",
    ("rule", "severity"),
    f"{_RULES}, and five severities",
)
HELD_BACK = Metric(
    "hullwatch_alerts_held_back_total",
    Kind.COUNTER,
    "Raised alerts that the rate limit replaced by a summary; critical ones never are.",
)
ACT_TO_ALERT = Metric(
    "hullwatch_act_to_alert_seconds",
    Kind.HISTOGRAM,
    "From the event to its alert. For what a sweep found the event is the sweep's look, not the act itself.",
)
EXCEPTED = Metric(
    "hullwatch_exception_matches_total",
    Kind.COUNTER,
    "Findings that an exception covered, by its place in the configuration, from 1.",
    ("exception",),
    "the exceptions of the configuration",
)
EXCEPTIONS = Metric("hullwatch_exceptions", Kind.GAUGE, "Exceptions in the configuration.")
EXCEPTIONS_EXPIRED = Metric("hullwatch_exceptions_expired", Kind.GAUGE, "Exceptions whose last day is over.")

# The way out ----------------------------------------------------------------------------------------------------------

OUTBOX_ALERTS = Metric("hullwatch_outbox_alerts", Kind.GAUGE, "Alerts in the outbox, delivered ones included.")
OUTBOX_BYTES = Metric("hullwatch_outbox_size_bytes", Kind.GAUGE, "What the outbox takes.")
OUTBOX_LIMIT = Metric("hullwatch_outbox_limit_bytes", Kind.GAUGE, "What the outbox may take.")
OUTBOX_DROPPED = Metric(
    "hullwatch_outbox_dropped_total",
    Kind.COUNTER,
    "Alerts that left a full outbox before every sink had them.",
    ("severity",),
    "five severities",
)
OUTBOX_FAILURES = Metric("hullwatch_outbox_write_failures_total", Kind.COUNTER, "Commits to the outbox that failed.")
SINK_UP = Metric(
    "hullwatch_sink_up", Kind.GAUGE, "0 when the last attempt to deliver failed, else 1.", ("sink",), _SINKS
)
SINK_SENT = Metric("hullwatch_sink_sent_total", Kind.COUNTER, "Alerts that a sink took.", ("sink",), _SINKS)
SINK_RETRIED = Metric("hullwatch_sink_retried_total", Kind.COUNTER, "Alerts that were sent again.", ("sink",), _SINKS)
SINK_DROPPED = Metric(
    "hullwatch_sink_dropped_total",
    Kind.COUNTER,
    "Alerts that a sink will never get: refused by its receiver, alone or as a part of what it took.",
    ("sink",),
    _SINKS,
)
SINK_LEFT_OUT = Metric(
    "hullwatch_sink_left_out_total",
    Kind.COUNTER,
    "Events that a sink's own limit kept back; only a sink of type `kubernetes` has one.",
    ("sink",),
    _SINKS,
)
SINK_FAILURES = Metric(
    "hullwatch_sink_failures_total", Kind.COUNTER, "Attempts to deliver that failed.", ("sink",), _SINKS
)
SINK_WAITING = Metric(
    "hullwatch_sink_waiting_alerts", Kind.GAUGE, "Alerts that a sink still has to take.", ("sink",), _SINKS
)
SINK_LAG = Metric(
    "hullwatch_sink_lag_seconds",
    Kind.GAUGE,
    "Age of the oldest alert that a sink still has to take.",
    ("sink",),
    _SINKS,
)
SINK_LAST_SUCCESS = Metric(
    "hullwatch_sink_last_success_timestamp_seconds",
    Kind.GAUGE,
    "When a sink last took an alert, Unix time; missing until it did.",
    ("sink",),
    _SINKS,
)

# The agent as a process: names that every Prometheus client library uses ----------------------------------------------

PROCESS_CPU = Metric("process_cpu_seconds_total", Kind.COUNTER, "CPU time that the agent used, user and system.")
PROCESS_RSS = Metric("process_resident_memory_bytes", Kind.GAUGE, "Resident memory of the agent.")
PROCESS_START = Metric("process_start_time_seconds", Kind.GAUGE, "When the agent was started, Unix time.")
PROCESS_FDS = Metric("process_open_fds", Kind.GAUGE, "Open descriptors of the agent.")

# Its own limit on memory ----------------------------------------------------------------------------------------------

MEMORY_LIMIT = Metric("hullwatch_memory_limit_bytes", Kind.GAUGE, "Resident memory from which on the agent saves.")
MEMORY_STEPS = Metric("hullwatch_memory_steps", Kind.GAUGE, "Steps by which memory is saved now, of four.")
MEMORY_STEPS_TAKEN = Metric(
    "hullwatch_memory_steps_taken_total",
    Kind.COUNTER,
    "How often a step was taken to save memory.",
    ("step",),
    "caches, histories, enrichment, processes",
)
MEMORY_REFUSED = Metric(
    "hullwatch_memory_refused_processes_total",
    Kind.COUNTER,
    "New processes of the host that were not taken into the state, the last step.",
)

METRICS: tuple[Metric, ...] = (
    BUILD_INFO,
    HEALTH_STATUS,
    HEALTH_REASON,
    READY,
    CONFIG_RELOADS,
    HTTP_REQUESTS,
    HTTP_CLOSED,
    SENSOR_INFO,
    SOURCE_UP,
    SOURCE_FAILURES,
    SENSOR_RECORDS,
    SENSOR_ERRORS,
    SENSOR_OVERRUNS,
    EVENTS,
    EVENTS_LOST,
    QUEUE_EVENTS,
    QUEUE_LIMIT,
    LOOKS,
    LOOK_RESULTS,
    MOUNT_NAMESPACES,
    OBJECTS_WATCHED,
    CONTAINER_TROUBLE,
    DOCKER_STATE,
    DOCKER_FAILURES,
    KUBERNETES_STATE,
    KUBERNETES_REQUESTS,
    KUBERNETES_RELISTS,
    KUBERNETES_FAILURES,
    KUBERNETES_PODS,
    KUBERNETES_LAST_CONTACT,
    SWEEP_CPU,
    SWEEP_PROCESSES,
    SWEEP_LAST,
    SWEEP_INTERVAL,
    STATE_ENTRIES,
    STATE_LIMIT,
    STATE_OVERFLOW,
    CHECKS,
    CHECK_SECONDS,
    FINDINGS,
    BLIND,
    FAILURES,
    REPEATED,
    ALERTS,
    HELD_BACK,
    ACT_TO_ALERT,
    EXCEPTED,
    EXCEPTIONS,
    EXCEPTIONS_EXPIRED,
    OUTBOX_ALERTS,
    OUTBOX_BYTES,
    OUTBOX_LIMIT,
    OUTBOX_DROPPED,
    OUTBOX_FAILURES,
    SINK_UP,
    SINK_SENT,
    SINK_RETRIED,
    SINK_DROPPED,
    SINK_LEFT_OUT,
    SINK_FAILURES,
    SINK_WAITING,
    SINK_LAG,
    SINK_LAST_SUCCESS,
    PROCESS_CPU,
    PROCESS_RSS,
    PROCESS_START,
    PROCESS_FDS,
    MEMORY_LIMIT,
    MEMORY_STEPS,
    MEMORY_STEPS_TAKEN,
    MEMORY_REFUSED,
)
"""All of the above, in the order of the page and of a scrape."""
