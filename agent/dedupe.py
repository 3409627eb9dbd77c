"""What was told already: a finding repeats only when something about it changes; repetitions are counted.

Findings with an ``identity`` are the same when rule and identity are: container and process do not matter (one alert
for each image and path). All others are the same when rule, container and subject are. What has *changed* is told by
a digest of severity, evidence and widening; of findings that grow step by step (``Finding.news``) by what the detector
calls news, and by a severity above the one that was told. Owned by the pipeline's thread; bounded: the entry that was
met longest ago is forgotten and counted, and would be told once more. No clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from agent.digests import blake2b
from collectors.facts import ProcessKey
from detectors.base import Finding


@dataclass(frozen=True, slots=True)
class Told:
    """The finding is new or has changed; ``repeats`` is how often its former state was repeated without a word."""

    repeats: int


@dataclass(frozen=True, slots=True)
class Repeated:
    """The finding was told before and has not changed; ``count`` says how often that was so."""

    count: int


@dataclass(frozen=True, slots=True)
class _ByIdentity:
    rule_id: str
    identity: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _BySubject:
    rule_id: str
    container_id: str | None
    subject: ProcessKey | None


@dataclass(slots=True)
class _Entry:
    """What was told; children that inherited it share the entry, and count in it."""

    digest: bytes
    severity: int = 0
    repeats: int = 0

    def holds(self, digest: bytes, severity: int) -> bool:
        """What was told says it already; a severity counts in ``digest`` or, of what grows, as the worst told."""
        return self.digest == digest and severity <= self.severity


class Dedupe:
    """The bounded memory of findings that were told."""

    def __init__(self, limit: int = 16_384) -> None:
        self._limit = limit
        self._entries: OrderedDict[_ByIdentity | _BySubject, _Entry] = OrderedDict()
        self.evicted = 0
        self.repeated = 0

    def __len__(self) -> int:
        return len(self._entries)

    def judge(self, rule_id: str, finding: Finding, ancestors: Iterable[ProcessKey] = ()) -> Told | Repeated:
        """Whether the finding is to be told. ``ancestors`` of the subject, nearest first, serve inherited findings.

        Only a subject that has nothing of its own under this rule inherits: what changes later is its own act.
        """
        key = _key(rule_id, finding)
        digest, severity = _digest(finding), int(finding.severity or 0)
        known = self._entries.get(key)
        if known is None and finding.inherited:
            known = self._inherited(key, digest, severity, ancestors)
        if known is not None and known.holds(digest, severity):
            known.repeats += 1
            self.repeated += 1
            self._put(key, known)
            return Repeated(known.repeats)
        self._put(key, _Entry(digest, severity))
        return Told(known.repeats if known is not None else 0)

    def _inherited(
        self,
        key: _ByIdentity | _BySubject,
        digest: bytes,
        severity: int,
        ancestors: Iterable[ProcessKey],
    ) -> _Entry | None:
        """The entry of the nearest ancestor that shows the same, which the child then shares."""
        if isinstance(key, _ByIdentity):
            return None
        for ancestor in ancestors:
            entry = self._entries.get(_BySubject(key.rule_id, key.container_id, ancestor))
            if entry is not None and entry.holds(digest, severity):
                return entry
        return None

    def _put(self, key: _ByIdentity | _BySubject, entry: _Entry) -> None:
        self._entries[key] = entry
        self._entries.move_to_end(key)
        if len(self._entries) > self._limit:
            self._entries.popitem(last=False)
            self.evicted += 1


def _key(rule_id: str, finding: Finding) -> _ByIdentity | _BySubject:
    if finding.identity:
        return _ByIdentity(rule_id, finding.identity)
    return _BySubject(rule_id, finding.container_id, finding.subject)


def _digest(finding: Finding) -> bytes:
    """The values are frozen, so what Python prints of them is the same for the same value, in a replay too."""
    whole = (finding.severity, finding.evidence, finding.widened)
    told = repr(whole if finding.news is None else finding.news).encode("utf-8", "surrogatepass")
    return blake2b(told, digest_size=16).digest()
