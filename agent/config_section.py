"""What all parts of the configuration's schema are made of."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

AbsolutePath = Annotated[str, Meta(pattern=r"^/", max_length=4096)]
Glob = Annotated[str, Meta(min_length=1, max_length=1024)]
SeverityName = Literal["info", "low", "medium", "high", "critical"]
FormatName = Literal["ecs", "falco", "ocsf"]

FORMAT = (
    "The shape of an alert: `ecs` is Elastic Common Schema, `falco` that of Falco's JSON output, `ocsf` an OCSF "
    "Detection Finding."
)


class Section(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every part of the configuration is: frozen, and strict about its keys."""
