"""Metrics of a running hub, in the text format of Prometheus, and whether it lives and is ready.

No name of an object is in a label unless that was asked for: names of teams and services tell strangers much, and a label with
many values costs whoever stores it. What is counted of units comes from their outcomes (hub.status.outcomes), at each scrape.
Source: Prometheus, "Metric and label naming" and "Exposition formats".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from hub.model import Change
from hub.status.journal import Listener
from hub.status.outcomes import Outcomes, Summary

disable_created_metrics()  # type: ignore[no-untyped-call] # a series more for each counter, which says since when it counts: process_start_time_seconds does
STUCK_S = 120.0
"""A turn of the loop that takes longer than this is stuck: `/livez` says so."""
HUNG_S = 300.0
"""A worker without a heartbeat for longer than this hangs, or has ended: planning 100 000 units takes less."""
_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_FRESH_S = 1.0
"""So long a text is handed out again: whoever asks all the time makes nobody wait."""
_GAUGES: tuple[tuple[str, str, Callable[[Summary], float]], ...] = (
    ("smihub_governed_identities", "Identities that a mesh governs.", lambda one: one.governed),
    ("smihub_conflicts", "Units with an object that is not managed by smihub.", lambda one: one.conflicts),
    ("smihub_losses", "Units with a Loss that was not accepted.", lambda one: one.lossy),
    ("smihub_frozen_units", "Units that are frozen: unchanged until everything can be read.", lambda one: one.frozen),
    ("smihub_waiting_revocations", "Units with a revocation that is not written yet.", lambda one: one.losing),
)
_UNITS = ("applied", "refused", "conflicts", "waiting", "frozen", "failed", "lossy", "bad")


class Clocks(Struct, frozen=True):
    """Seconds that never go back, and the time of day."""

    steady: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time


class Metrics(Listener):
    """What a hub's loop tells, and the texts that are made of it; `awaited` are the sources and meshes it needs to be ready.

    `names` puts units into labels.
    """

    def __init__(
        self,
        outcomes: Outcomes,
        meshes: Sequence[str],
        awaited: Iterable[str] = (),
        *,
        names: bool = False,
        clocks: Clocks = Clocks(),
    ) -> None:
        self._clock = clocks.steady
        self._missing = list(awaited)
        self._turns: dict[int, float] = {}
        self._beats: dict[str, float] = {}
        self._text: tuple[float, bytes] | None = None
        self._registry = registry = CollectorRegistry()
        mesh = ("mesh",)
        self._seconds = Histogram(
            "smihub_reconcile_seconds", "Time to plan a mesh and write it.", mesh, buckets=_BUCKETS, registry=registry
        )
        self._queue = Gauge("smihub_queue_units", "Units waiting to be planned.", mesh, registry=registry)
        self._objects = Counter(
            "smihub_written_objects", "Native objects written.", ("mesh", "operation"), registry=registry
        )
        self._results = Counter("smihub_applies", "Plans by result.", ("mesh", "result"), registry=registry)
        self._retries = Counter("smihub_retries", "Retries after a failure.", mesh, registry=registry)
        self._failing: set[str] = set()
        ProcessCollector(registry=registry)
        registry.register(_Units(outcomes, meshes, names=names, now=clocks.now))

    # ----------------------------------------------------------------------- what is told

    def synced(self, source: str) -> None:
        """A source was read as a whole."""
        self._found(f"source {source}")

    def observed(self, mesh: str) -> None:
        """A mesh was observed, and planned."""
        self._found(f"mesh {mesh}")

    def queued(self, mesh: str, units: int) -> None:
        """So many units of a mesh are to be planned."""
        self._queue.labels(mesh).set(units)

    def started(self, mesh: str) -> float:
        """A mesh is planned now; gives what `ended` wants."""
        if mesh in self._failing:
            self._retries.labels(mesh).inc()
        return self._clock()

    def ended(self, mesh: str, started: float) -> None:
        """A mesh was planned, and written if that was possible."""
        self._seconds.labels(mesh).observe(self._clock() - started)

    def applied(self, mesh: str, result: str, changes: Sequence[Change] = ()) -> None:
        """What came of a plan: `written`, `refused`, `failed`, `stale`, ...; with what was written."""
        self._results.labels(mesh, result).inc()
        for change in changes:
            self._objects.labels(mesh, change.op.value).inc()
        # A refusal waits for people and is no failure, so the next plan is no retry.
        if result in {"written", "refused"}:
            self._failing.discard(mesh)
        else:
            self._failing.add(mesh)

    def heartbeat(self, mesh: str) -> None:
        """The worker of a mesh goes on, or waits for news."""
        self._beats[mesh] = self._clock()

    def turn_started(self) -> int:
        """The loop begins a turn; gives what `turn_ended` wants."""
        number = max(self._turns, default=0) + 1
        self._turns[number] = self._clock()
        return number

    def turn_ended(self, number: int) -> None:
        """The loop waits for news again."""
        self._turns.pop(number, None)

    def _found(self, what: str) -> None:
        if what in self._missing:
            self._missing.remove(what)

    # ----------------------------------------------------------------------- what is asked

    def text(self) -> bytes:
        """All metrics."""
        now = self._clock()
        if self._text is None or now - self._text[0] >= _FRESH_S:
            self._text = (now, generate_latest(self._registry))
        return self._text[1]

    def missing(self) -> tuple[str, ...]:
        """The sources that were not read and the meshes that were not observed yet."""
        return tuple(self._missing)

    def stuck(self) -> bool:
        """Whether a turn of the loop takes too long."""
        return any(self._clock() - started > STUCK_S for started in self._turns.values())

    def hung(self) -> tuple[str, ...]:
        """The meshes of which the worker hangs, or has ended."""
        return tuple(sorted(mesh for mesh, at in self._beats.items() if self._clock() - at > HUNG_S))

    def collect(self) -> Iterator[Metric]:
        """All metrics, as values."""
        return iter(self._registry.collect())


class AllMetrics:
    """The metrics of all domains of this process, by their titles; where there are several, each has a label `domain`."""

    def __init__(self, found: Mapping[str, Metrics]) -> None:
        self._found = found
        self._registry = CollectorRegistry()
        self._registry.register(_Labelled(found))

    def text(self) -> bytes:
        """All metrics, in one text."""
        return self._found[""].text() if "" in self._found else generate_latest(self._registry)

    def missing(self) -> tuple[str, ...]:
        """The sources that were not read and the meshes that were not observed yet, of all domains."""
        return tuple(
            f"domain {title} {what}" if title else what for title, one in self._found.items() for what in one.missing()
        )

    def stuck(self) -> bool:
        """Whether a turn of any loop takes too long."""
        return any(one.stuck() for one in self._found.values())

    def hung(self) -> tuple[str, ...]:
        """The meshes of which the worker hangs, or has ended, of all domains."""
        return tuple(f"{title}/{mesh}".removeprefix("/") for title, one in self._found.items() for mesh in one.hung())


class _Labelled(Collector):
    """Metrics of one name stand together, whatever domain they are of; those of the process are there once."""

    def __init__(self, found: Mapping[str, Metrics]) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        """Called at each scrape."""
        merged: dict[str, Metric] = {}
        for title, one in self._found.items():
            for family in one.collect():
                if not family.name.startswith("process_"):
                    into = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                    into.samples += [each._replace(labels={"domain": title, **each.labels}) for each in family.samples]
                elif family.name not in merged:
                    merged[family.name] = family
        yield from merged.values()


class _Units(Collector):
    """Units in numbers, as their outcomes are when somebody asks."""

    def __init__(self, outcomes: Outcomes, meshes: Sequence[str], *, names: bool, now: Callable[[], float]) -> None:
        self._outcomes = outcomes
        self._meshes = meshes
        self._names = names
        self._now = now

    def collect(self) -> Iterator[Metric]:
        """Called at each scrape."""
        summaries = {mesh: self._outcomes.summary(mesh) for mesh in self._meshes}
        for name, text, value in _GAUGES:
            yield _gauge(name, text, summaries, value)
        text = "Age of the oldest of the revocations that wait."
        yield _gauge("smihub_waiting_revocations_oldest_seconds", text, summaries, self._age)
        units = GaugeMetricFamily("smihub_units", "Units by state.", labels=("mesh", "state"))
        for mesh, one in summaries.items():
            for state in _UNITS:
                units.add_metric((mesh, state), getattr(one, state))
        yield units
        meshes = GaugeMetricFamily("smihub_mesh_ok", "Whether nothing refuses or blocks a mesh.", labels=("mesh",))
        for mesh in self._meshes:
            meshes.add_metric((mesh,), self._outcomes.mesh(mesh).status == "True")
        yield meshes
        if self._names:
            yield self._named()

    def _age(self, one: Summary) -> float:
        return 0.0 if one.oldest is None else max(self._now() - one.oldest, 0.0)

    def _named(self) -> Metric:
        labels = ("mesh", "unit", "condition", "reason")
        bad = GaugeMetricFamily("smihub_unit_bad", "Unit conditions that are not healthy.", labels=labels)
        for mesh in self._meshes:
            for key, outcome in sorted(self._outcomes.of(mesh).items()):
                for kind in outcome.bad:
                    bad.add_metric((mesh, str(key), kind, outcome.condition(kind).reason), 1)
        return bad


def _gauge(name: str, text: str, found: dict[str, Summary], value: Callable[[Summary], float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=("mesh",))
    for mesh, one in found.items():
        family.add_metric((mesh,), value(one))
    return family
