"""Sinks on a bench: a sink with a mesh that outlives it, and what goes wrong there on purpose.

The objects are those of an adapter whose family the sink writes, of a shop in which `web`, `evil` and `other` may or may not call `api`
and `db`; what stands is judged by the adapter's evaluator, and what may stand by SMI.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from itertools import product
from typing import Any, Protocol

from hub.api import AdapterSpec, Sink, Transactional
from hub.mirror import Mirror
from hub.model import (
    Destination,
    Document,
    Facts,
    NativeObject,
    ObjectRef,
    Observation,
    Request,
    Source,
    UnitKey,
)
from hub.plan.changes import Desired
from hub.plan.plan import Plan, plan
from hub.reconcile.rollout import RolloutResult, roll_out
from hub.semantics import Semantics
from hub.testing.documents import Scope, SinklessMesh, compile_documents, translate_units
from hub.testing.kit import read_documents

CALLERS, RECEIVERS = ("web", "evil", "other"), ("api", "db")
Grants = Mapping[str, Sequence[str]]
"""By receiver, who may GET /books there."""
_Frozen = tuple[tuple[str, tuple[str, ...]], ...]


class SinkBench(Protocol):
    """One kind of sink, and its mesh: empty when it is made.

    `spec` is an adapter whose objects it writes; `standing` is as what the shop's workloads stand, "Pod" or "Workload". `failures` are the ways in which the
    mesh can fail to write; empty where it cannot.
    """

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def spec(self) -> AdapterSpec[Any]:
        """See above."""

    @property
    def standing(self) -> str:
        """See above."""

    @property
    def failures(self) -> Sequence[str]:
        """See above."""

    def sink(self) -> Sink | Transactional:
        """What a fresh process would write with."""

    def spoiled(self, native: NativeObject) -> NativeObject:
        """The same object, as the mesh will not take it."""

    def dying(self, number: int) -> AbstractContextManager[None]:
        """The process ends (it raises hub.testing.memory.Died) at the `number`th thing that it writes, and does nothing more."""

    def failing(self, ref: ObjectRef, how: str) -> AbstractContextManager[None]:
        """The mesh fails to write this object (or all), in one of the ways of `failures`."""

    def foreign(self, native: NativeObject) -> bool:
        """Somebody else makes this object, without our mark; False where the mesh can hold none but ours."""

    def unreadable(self) -> AbstractContextManager[None]:
        """Something of what stands cannot be read."""


# ------------------------------------------------------------------------------------------------------------- what is wanted


def documents(bench: SinkBench, grants: Grants) -> tuple[Document, ...]:
    """The shop of these grants."""
    return _documents(bench.standing, _frozen(grants))


def _frozen(grants: Grants) -> _Frozen:
    return tuple(sorted((receiver, tuple(whom)) for receiver, whom in grants.items()))


@cache
def _documents(standing: str, grants: _Frozen) -> tuple[Document, ...]:
    names = enumerate((*CALLERS, *RECEIVERS))
    texts = [_pod(name) if standing == "Pod" else _workload(name, number) for number, name in names]
    texts += [_target(receiver, who) for receiver, whom in grants for who in whom]
    return read_documents("---\n".join([_ROUTES, *texts]))


_ROUTES = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: routes, namespace: shop}
spec: {matches: [{name: books, pathRegex: /books, methods: [GET]}]}
"""


def _target(receiver: str, caller: str) -> str:
    return f"""\
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {{name: {receiver}-{caller}, namespace: shop}}
spec:
  destination: {{kind: ServiceAccount, name: {receiver}, namespace: shop}}
  rules: [{{kind: HTTPRouteGroup, name: routes, matches: [books]}}]
  sources: [{{kind: ServiceAccount, name: {caller}, namespace: shop}}]
"""


def _workload(name: str, number: int) -> str:
    return f"""\
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {{name: {name}, namespace: shop}}
spec: {{serviceAccount: {name}, addresses: [10.1.0.{number + 1}], ports: [{{name: http, port: 8080, appProtocol: http}}]}}
"""


def _pod(name: str) -> str:
    return f"""\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{smihub.io/sa: {name}}}}}
spec:
  serviceAccountName: {name}
  containers: [{{name: main, image: main, ports: [{{name: http, containerPort: 8080}}]}}]
"""


def wanted(bench: SinkBench, grants: Grants) -> dict[UnitKey, Desired]:
    """The units of the shop with these grants."""
    units = compile_documents(documents(bench, grants), Scope()).units
    made = translate_units(units, SinklessMesh("bench", bench.spec))
    return {key: Desired(units[key], translation) for key, translation in made.items()}


def planned(bench: SinkBench, desired: Mapping[UnitKey, Desired], seen: Observation) -> Plan:
    """The plan for these units and all that are there besides."""
    units = {**dict.fromkeys(Mirror(seen).units, Desired(None)), **desired}
    return plan("bench", units, seen, bench.spec.carry_over)


async def apply(bench: SinkBench, desired: Mapping[UnitKey, Desired]) -> RolloutResult:
    """Observe, plan and write, as a fresh process does."""
    sink = bench.sink()
    try:
        seen = await sink.observe()
        return await roll_out(sink, planned(bench, desired, seen), Mirror(seen))
    finally:
        await sink.close()


async def observed(bench: SinkBench) -> Observation:
    """What a fresh process sees."""
    sink = bench.sink()
    try:
        return await sink.observe()
    finally:
        await sink.close()


# ------------------------------------------------------------------------------------------------------------- what is served


def requests() -> Iterator[Request]:
    """Everybody calls everybody."""
    for caller, receiver, path in product(CALLERS, RECEIVERS, ("/books", "/orders")):
        yield Request(Source(pod=f"shop/{caller}"), Destination(pod=f"shop/{receiver}"), 8080, "http", "GET", path)


def served(bench: SinkBench, seen: Observation) -> set[Request]:
    """What the mesh lets through by what stands there."""
    natives = [NativeObject(one.ref, one.role, one.owned, (), one.needs) for one in seen.objects.values() if one.owner]
    evaluator = bench.spec.evaluator(natives, _facts(bench.standing))
    return {one for one in requests() if evaluator.judge(one).verdict in {"allow", "mixed"}}


@cache
def _facts(standing: str) -> Facts:
    return compile_documents(_documents(standing, ()), Scope()).facts


def allowed(bench: SinkBench, grants: Grants) -> frozenset[Request]:
    """What SMI lets through."""
    return _allowed(bench.standing, _frozen(grants))


@cache
def _allowed(standing: str, grants: _Frozen) -> frozenset[Request]:
    semantics = Semantics(_documents(standing, grants))
    return frozenset(one for one in requests() if semantics.judge(one).verdict == "allow")
