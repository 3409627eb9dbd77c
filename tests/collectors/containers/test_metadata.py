from __future__ import annotations

from collectors.containers.metadata import MAX_LABELS, MAX_TEXT_CHARACTERS, apply_metadata, bound_metadata
from collectors.facts import Container, Pod, Unknown

POD = Pod("shop", "web-0", "u-1", "app", is_sandbox=False)
CONTAINER = Container("x", "docker", Unknown("no_bundle"), frozenset(), name="old", image="i", pod=POD)


def test_bounds_what_strangers_chose() -> None:
    metadata = bound_metadata("n" * 10_000, None, {f"{number:06}": "v" * 10_000 for number in range(1000)})
    assert metadata.name == "n" * MAX_TEXT_CHARACTERS
    assert metadata.image is None
    assert len(metadata.labels) == MAX_LABELS
    assert metadata.labels[0] == ("000000", "v" * MAX_TEXT_CHARACTERS)


def test_keeps_what_the_api_does_not_say() -> None:
    assert apply_metadata(CONTAINER, bound_metadata("", None, None)) == CONTAINER


def test_lets_the_pod_of_the_bundle_stand() -> None:
    labels = {"io.kubernetes.pod.name": "other", "io.kubernetes.pod.namespace": "other"}
    changed = apply_metadata(CONTAINER, bound_metadata("new", "j", labels))
    assert (changed.name, changed.image, changed.pod) == ("new", "j", POD)
