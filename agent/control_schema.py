"""The section ``control`` of the configuration, and where the socket is by it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta

from agent.config_section import AbsolutePath, Section

GroupName = Annotated[str, Meta(min_length=1, max_length=256)]

SOCKET_NAME = "control.sock"

MAX_PATH_BYTES = 107  # sun_path of sockaddr_un, less the NUL (unix(7))


class ControlConfig(Section, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The socket by which `hullwatch status`, `alerts`, `ps` and the others ask the running agent."""

    enabled: Annotated[bool, Meta(description="Whether there is a socket.")] = True
    path: Annotated[
        AbsolutePath | None,
        Meta(
            description="The socket, made with mode 0600; by default `control.sock` in the state directory, and none "
            "where there is no state directory."
        ),
    ] = None
    group: Annotated[
        GroupName | None,
        Meta(
            description="A group (its name or number) whose members may ask too; else only root may. They see all that "
            "the agent sees, command lines and environments of containers too. Needs a `path` that they can reach.",
        ),
    ] = None
    history_seconds: Annotated[
        float,
        Meta(ge=0, le=86_400, description="How far back `hullwatch capture --since` reaches, where its memory does."),
    ] = 600.0
    history_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=256 << 20,
            description="The most memory that the latest events are kept in for it; 0 keeps none. 1 MiB is about "
            "a thousand events.",
        ),
    ] = 1 << 20


def socket_path(control: ControlConfig, state_directory: str | None) -> str | None:
    """Where the agent makes its socket; ``None`` where it makes none."""
    if not control.enabled:
        return None
    if control.path is not None or state_directory is None:
        return control.path
    return f"{state_directory.rstrip('/')}/{SOCKET_NAME}"


def refusals(control: ControlConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    """What types cannot say: the key below ``control``, and what is wrong there."""
    if control.path is not None and len(control.path.encode("utf-8", "surrogateescape")) > MAX_PATH_BYTES:
        yield ("path",), f"is {control.path!r}; a socket's path has at most {MAX_PATH_BYTES} bytes"
    if control.group is not None and control.path is None:
        yield ("group",), "is set, but nobody but root reaches the state directory; wanted control.path as well"
