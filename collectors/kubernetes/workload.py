"""What a person deployed, from the name of the controller that made a pod. Pure; no call for ReplicaSets or Jobs.

A Deployment names its ReplicaSets ``NAME-HASH`` and puts HASH on their pods as the label ``pod-template-hash``
(kubernetes/kubernetes ``pkg/controller/deployment/sync.go``): cutting that off is exact. A CronJob names its Jobs
``NAME-MINUTES``, the scheduled time in minutes since the epoch, in seconds before 1.21 (``getJobName`` in
``pkg/controller/cronjob/cronjob_controllerv2.go``). Anybody may name a Job so, hence the number must also be a time at
or before the pod's creation, and no more than a day before. See docs/adr/0018.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from collectors.pod_facts import PodOwner

TEMPLATE_HASH = "pod-template-hash"
LONGEST_JOB_SECONDS = 86_400
SKEW_SECONDS = 60  # the scheduler's clock and the API server's may differ

_SCHEDULED = re.compile(r"(?P<name>.+)-(?P<minutes>\d{8}|\d{10})", re.ASCII)
_SECONDS_DIGITS = 10


def workload_of(owner: PodOwner | None, labels: Mapping[str, str], created_seconds: float | None) -> PodOwner | None:
    """The owner's own owner where its name tells, else the owner; ``None`` for a pod that nobody owns."""
    if owner is None:
        return None
    if owner.kind == "ReplicaSet":
        name = owner.name.removesuffix(f"-{labels.get(TEMPLATE_HASH, '')}")
        is_deployed = bool(labels.get(TEMPLATE_HASH)) and name not in ("", owner.name)
        return PodOwner("Deployment", name) if is_deployed else owner
    if owner.kind == "Job" and created_seconds is not None:
        match = _SCHEDULED.fullmatch(owner.name)
        if match is not None and _is_schedule(match["minutes"], created_seconds):
            return PodOwner("CronJob", match["name"])
    return owner


def _is_schedule(digits: str, created_seconds: float) -> bool:
    scheduled = int(digits) if len(digits) == _SECONDS_DIGITS else int(digits) * 60
    return -SKEW_SECONDS <= created_seconds - scheduled <= LONGEST_JOB_SECONDS
