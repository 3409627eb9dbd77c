"""What an API says of a container, cut to bounds and laid over what its bundle says. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from collectors.containers.annotations import parse_labels
from collectors.facts import Container

MAX_LABELS = 256
MAX_TEXT_CHARACTERS = 4096


@dataclass(frozen=True, slots=True)
class Metadata:
    """Name, image and labels; ``None`` and ``()`` for what the API does not say."""

    name: str | None
    image: str | None
    labels: tuple[tuple[str, str], ...]


def bound_metadata(name: str | None, image: str | None, labels: Mapping[str, str] | None) -> Metadata:
    """The metadata with every text and their number cut: whoever starts a container chooses them."""
    kept = sorted((labels or {}).items())[:MAX_LABELS]
    return Metadata(
        _cut(name) or None,
        _cut(image) or None,
        tuple((_cut(key), _cut(value)) for key, value in kept),
    )


def apply_metadata(container: Container, metadata: Metadata) -> Container:
    """The container with what the metadata says; a pod that the bundle names stands."""
    return replace(
        container,
        name=metadata.name or container.name,
        image=metadata.image or container.image,
        labels=metadata.labels or container.labels,
        pod=container.pod or parse_labels(dict(metadata.labels)),
    )


def _cut(text: str | None) -> str:
    return (text or "")[:MAX_TEXT_CHARACTERS]
