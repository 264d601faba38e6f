"""What sidecars accepted: per workload, from its open streams, as values that are stored and printed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import msgspec
from msgspec import Struct

from adapters.vm.resource import CDS, LDS, PUSH_ORDER, short
from adapters.vm.serve.client import ClientAnswer
from adapters.vm.serve.server import Session

DRAIN = dt.timedelta(seconds=1.2)
"""After an accepted cut, Envoy closes open connections within its drain time (1 s) and some scheduling."""


class Refusal(Struct, frozen=True):
    """One resource that a sidecar refused, with Envoy's own words."""

    kind: str
    name: str
    version: str
    detail: str
    at: dt.datetime


class WorkloadStatus(Struct, frozen=True):
    """One workload's sidecar. `pending` names, per kind, what it has not accepted in its current version.

    `programmed` says that everything of `revision` was accepted and connections that it cut are closed;
    `open_until` is when the connections of the last cut are closed at the latest.
    """

    workload: str
    revision: int
    connected_since: dt.datetime | None = None
    variant: str = ""
    pending: Mapping[str, tuple[str, ...]] = {}
    refused: tuple[Refusal, ...] = ()
    open_until: dt.datetime | None = None
    programmed: bool = False


class StatusTracker:
    """Follows the open streams of one server."""

    def __init__(self) -> None:
        self._sessions: dict[str, list[Session]] = {}
        self._cuts: dict[str, dt.datetime] = {}
        self._refused: dict[tuple[str, str, str, str], Refusal] = {}  # (workload, type, name, version)
        self._dirty: set[str] = set()

    def opened(self, session: Session) -> None:
        """A stream was accepted."""
        self._sessions.setdefault(session.workload, []).append(session)
        self._dirty.add(session.workload)

    def closed(self, session: Session) -> None:
        """A stream ended."""
        known = self._sessions.get(session.workload, [])
        if session in known:
            known.remove(session)
            self._dirty.add(session.workload)

    def heard(self, session: Session, answers: tuple[ClientAnswer, ...], now: dt.datetime) -> list[ClientAnswer]:
        """Note answers; gives the refusals that are new. What is said with a token that has ended is nobody's word."""
        workload = session.workload
        if session not in self._sessions.get(workload, ()):
            return []
        self._dirty.add(workload)
        if any(answer.cut and answer.detail is None for answer in answers):
            self._cuts[workload] = now + DRAIN
        fresh: list[ClientAnswer] = []
        for answer in answers:
            key = (workload, answer.type_url, answer.name, answer.version)
            if answer.detail is not None and key not in self._refused:
                self._refused[key] = Refusal(kind(answer), answer.name, answer.version, answer.detail, now)
                fresh.append(answer)
        return fresh

    def dirty_all(self) -> None:
        """A new revision is served: every status changes."""
        self._dirty |= self._sessions.keys()

    def all(self, revision: int, now: dt.datetime) -> dict[str, WorkloadStatus]:
        """The status of every workload that has been connected."""
        return {workload: self._of(workload, revision, now) for workload in sorted(self._sessions)}

    def flush(self, revision: int, now: dt.datetime) -> dict[str, bytes]:
        """Encoded statuses that changed since the last call."""
        dirty, self._dirty = self._dirty, set()
        reports = {workload: self._of(workload, revision, now) for workload in dirty}
        # These become programmed by the passing of time alone, which nobody reports.
        self._dirty |= {name for name, item in reports.items() if item.open_until is not None and not item.programmed}
        return {workload: msgspec.json.encode(item) for workload, item in reports.items()}

    def _of(self, workload: str, revision: int, now: dt.datetime) -> WorkloadStatus:
        sessions = self._sessions.get(workload, [])
        if not sessions:
            return WorkloadStatus(workload, revision, open_until=self._cuts.get(workload))
        # While an Envoy restarts hot, the old and the new process are both connected: the new one takes the calls.
        newest = sessions[-1]
        stream = newest.stream
        pending = {short(url): names for url in PUSH_ORDER if (names := stream.unsettled(url))}
        refused = self._standing(workload, stream.refused())
        until = self._cuts.get(workload)
        # `changed`: the newest revision was not offered yet. An Envoy asks for listeners once its clusters are warm, so
        # before it has asked for both it receives nothing (Envoy, "Initialization").
        settled = not pending and not refused and not newest.changed.is_set() and {CDS, LDS} <= set(stream.subscribed)
        done = settled and not stream.waits and (until is None or until <= now)
        return WorkloadStatus(workload, revision, newest.since, newest.variant, pending, refused, until, done)

    def _standing(self, workload: str, answers: tuple[ClientAnswer, ...]) -> tuple[Refusal, ...]:
        """The refusals that still hold; the others of this workload are forgotten."""
        keys = [(workload, answer.type_url, answer.name, answer.version) for answer in answers]
        for key in [key for key in self._refused if key[0] == workload and key not in keys]:
            del self._refused[key]
        return tuple(self._refused[key] for key in keys if key in self._refused)


def kind(answer: ClientAnswer) -> str:
    """The short message name of the resource that an answer is about."""
    return short(answer.type_url)


def decode(bodies: Mapping[str, bytes]) -> dict[str, WorkloadStatus]:
    """Statuses as they were stored."""
    return {workload: msgspec.json.decode(body, type=WorkloadStatus) for workload, body in bodies.items()}
