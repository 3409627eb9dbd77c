from __future__ import annotations

import pytest

from collectors.kubernetes.workload import workload_of
from collectors.pod_facts import PodOwner

CREATED = 1_763_762_400.0  # 2025-11-21T22:00:00Z, 29396040 minutes


@pytest.mark.parametrize(
    ("owner", "labels", "expected"),
    [
        pytest.param(
            PodOwner("ReplicaSet", "cart-7d9f"),
            {"pod-template-hash": "7d9f"},
            PodOwner("Deployment", "cart"),
            id="deployment",
        ),
        pytest.param(
            PodOwner("ReplicaSet", "cart-7d9f"), {}, PodOwner("ReplicaSet", "cart-7d9f"), id="replica-set-without-hash"
        ),
        pytest.param(
            PodOwner("ReplicaSet", "cart-blue"),
            {"pod-template-hash": "7d9f"},
            PodOwner("ReplicaSet", "cart-blue"),
            id="hash-is-not-in-the-name",
        ),
        pytest.param(
            PodOwner("ReplicaSet", "-7d9f"),
            {"pod-template-hash": "7d9f"},
            PodOwner("ReplicaSet", "-7d9f"),
            id="nothing-is-left",
        ),
        pytest.param(
            PodOwner("ReplicaSet", "cart-6f5c"),
            {"rollouts-pod-template-hash": "6f5c"},
            PodOwner("ReplicaSet", "cart-6f5c"),
            id="argo-rollout-is-no-deployment",
        ),
        pytest.param(PodOwner("Job", "backup-29396040"), {}, PodOwner("CronJob", "backup"), id="cron-job"),
        pytest.param(
            PodOwner("Job", "backup-1763762400"), {}, PodOwner("CronJob", "backup"), id="cron-job-before-1.21"
        ),
        pytest.param(PodOwner("Job", "backup-29394650"), {}, PodOwner("CronJob", "backup"), id="retried-a-day-later"),
        pytest.param(
            PodOwner("Job", "import-20251121"), {}, PodOwner("Job", "import-20251121"), id="a-date-is-no-schedule"
        ),
        pytest.param(
            PodOwner("Job", "backup-29396100"), {}, PodOwner("Job", "backup-29396100"), id="scheduled-after-the-pod"
        ),
        pytest.param(PodOwner("Job", "backup"), {}, PodOwner("Job", "backup"), id="job"),
        pytest.param(PodOwner("DaemonSet", "cni"), {}, PodOwner("DaemonSet", "cni"), id="daemon-set"),
        pytest.param(PodOwner("Widget", "cart-7d9f"), {}, PodOwner("Widget", "cart-7d9f"), id="a-kind-of-strangers"),
        pytest.param(None, {"pod-template-hash": "7d9f"}, None, id="nobody-owns-it"),
    ],
)
def test_names_what_a_person_deployed(
    owner: PodOwner | None, labels: dict[str, str], expected: PodOwner | None
) -> None:
    assert workload_of(owner, labels, CREATED) == expected


def test_takes_no_job_for_scheduled_when_the_pods_creation_is_not_known() -> None:
    assert workload_of(PodOwner("Job", "backup-29396040"), {}, None) == PodOwner("Job", "backup-29396040")
