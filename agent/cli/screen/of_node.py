"""This node as a source: a look of its own, or the running agent where one answers.

The agent is asked anew for each picture, over a connection of its own, so that one that was started again is simply
there. Who began with the agent waits for it when it goes away, and shows meanwhile what was last known; who began
without one goes over to it when it comes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent.cli import node
from agent.cli.filters import Filter
from agent.cli.output import Refused
from agent.cli.screen.known import latest_words, shortened, ways_by
from agent.cli.screen.listening import Listener
from agent.cli.screen.picture import Known, Picture, picture_of
from agent.cli.screen.ticker import EventLine
from agent.cli.told import Document
from agent.config_schema import Config
from agent.control.client import Connection, ControlError, NoAgent
from agent.control.picture import restored
from agent.control.values import Malformed
from agent.stored_alert import stored

NO_EVENTS = "live events need a running agent: a look of its own sees only what is there when it looks"


class LookSource:
    """Looks at the node itself, as ``hullwatch scan`` does; needs no agent."""

    def __init__(
        self, config: Config, look: node.Look, only: Filter, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._clock_ns = clock_ns
        self._config = config
        self._look = look
        self._only = only
        self._ways = ways_by(config)

    def take(self) -> Picture:
        """See ``Source``."""
        snapshot = self._look(self._config, True)  # noqa: FBT003 (a ``Look``)
        alerts: list[Document] = [shortened(json.loads(stored(each).document)) for each in snapshot.alerts]
        told = {each.incident.id for each in snapshot.alerts if each.phase is not None}
        known = Known(
            self._clock_ns(),
            "no agent: own look",
            snapshot.state,
            alerts,
            current=latest_words(alerts, told),
            unseen=(*snapshot.unseen, NO_EVENTS),
        )
        return picture_of(known, self._ways, self._only.admits)

    def events(self) -> tuple[EventLine, ...]:
        """None: see ``NO_EVENTS``."""
        return ()

    def pause(self, *, is_paused: bool) -> None:
        """Nothing goes on that could be paused."""

    def play_faster(self, factor: float) -> None:
        """Nothing is played."""

    def on_news(self, wake: Callable[[], None]) -> None:
        """There is none between two looks."""

    def close(self) -> None:
        """Nothing is open."""


class AgentSource:
    """Asks the agent behind a control socket. Raises ``ControlError``, not ``Refused``."""

    def __init__(self, config: Config, path: str, only: Filter) -> None:
        self._limits = config.limits
        self._path = path
        self._only = only
        self._ways = ways_by(config)
        self.wake: Callable[[], None] = lambda: None
        self._listener: Listener | None = None

    def take(self) -> Picture:
        """As ``Source`` has it, but for what it raises."""
        with Connection(self._path) as connection:
            limits = self._limits
            state = restored(
                connection.ask("picture"), max_processes=limits.processes, max_containers=limits.containers
            )
            current, exposures = _incidents(connection)
            version = connection.version
        if self._listener is None:
            self._listener = Listener(self._path, _wanted(self._only), self._news)
            self._listener.start()
        known = Known(
            time.time_ns(),
            f"agent {version}, {state.tier.value}",
            state,
            self._listener.alerts(),
            current=current,
            exposures=exposures,
        )
        return picture_of(known, self._ways, self._only.admits)

    def _news(self) -> None:
        self.wake()

    def events(self) -> tuple[EventLine, ...]:
        """What the listener heard."""
        return () if self._listener is None else self._listener.ticker.lines

    def close(self) -> None:
        """Hear no more."""
        if self._listener is not None:
            self._listener.stop()


def _incidents(connection: Connection) -> tuple[dict[str, Document], dict[str, list[Document]]]:
    current: dict[str, Document] = {}
    exposures: dict[str, list[Document]] = {}
    for part in connection.ask("incidents"):
        if "incident" in part:
            current[part["incident"]["id"]] = part["incident"]
        else:
            exposures[part["container"]] = part["exposures"]
    return current, exposures


def _wanted(only: Filter) -> dict[str, Any]:
    named = {"namespace": only.namespace, "pod": only.pod, "container": only.container}
    return {name: value for name, value in named.items() if value is not None}


class NodeSource:
    """The agent where one answers, else a look. An alert of the agent is news."""

    def __init__(self, config: Config, path: str, only: Filter, look: node.Look = node.look_here) -> None:
        self._agent = AgentSource(config, path, only)
        self._look = LookSource(config, look, only)
        self._has_answered = False

    def take(self) -> Picture:
        """See ``Source``."""
        try:
            picture = self._agent.take()
        except (ControlError, Malformed) as error:
            if self._has_answered:
                raise Refused(f"{error}; this is what was last known, and it is asked again") from error
            picture = self._look.take()
            why = () if isinstance(error, NoAgent) else (str(error),)
            return replace(picture, unseen=(*why, *picture.unseen))
        self._has_answered = True
        return picture

    def events(self) -> tuple[EventLine, ...]:
        """See ``Source``."""
        return self._agent.events()

    def pause(self, *, is_paused: bool) -> None:
        """The node goes on; who shows it stops by itself."""

    def play_faster(self, factor: float) -> None:
        """A node is not played."""

    def on_news(self, wake: Callable[[], None]) -> None:
        """See ``Source``."""
        self._agent.wake = wake

    def close(self) -> None:
        """See ``Source``."""
        self._agent.close()
