"""Explain: what SMI says of a request and what each mesh would do with it, from one set of documents.

Pure. SMI's side is `hub.semantics`, straight from the documents; a mesh's side goes the whole way: store, intent,
translation, and the adapter's own reading of the native objects. Nothing is shared between the two sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from hub.api import AdapterSpec, Evaluator
from hub.endpoints import EndpointView
from hub.model import Answer, Facts, NearMiss, Problem, Request, Translation, Unit, UnitKey, identity_of
from hub.semantics import Semantics
from hub.store import Store


class Compiled(Struct, frozen=True):
    """A store in the normal form: the units of a domain, what is wrong with the objects, and where workloads stand."""

    units: Mapping[UnitKey, Unit]
    problems: tuple[Problem, ...]
    facts: Facts
    domain: str = "default"


def compiled(store: Store, view: EndpointView) -> Compiled:
    """All that a store holds now; `view` is the one that follows it."""
    units = {key: unit for key in sorted(store.units()) if (unit := store.compile(key)[0]) is not None}
    view.update()
    return Compiled(units, store.problems(), view.facts(), store.domain)


class Judged(Struct, frozen=True):
    """A mesh to explain: its name, its adapter, and the translations of the units that it governs, baselines too."""

    name: str
    spec: AdapterSpec[Any]
    translations: Mapping[UnitKey, Translation]


class _Judge(Struct, frozen=True):
    """One mesh, ready to judge, the loss codes of each unit that it governs, and what each code means.

    `whole`: it governs every unit.
    """

    evaluator: Evaluator
    losses: Mapping[UnitKey, tuple[str, ...]]
    reasons: Mapping[str, str]
    whole: bool


class Explainer:
    """Judges requests by SMI and by every mesh; built once per set of documents, then thousands of requests a second."""

    def __init__(self, semantics: Semantics, compiled: Compiled, meshes: Sequence[Judged]) -> None:
        self._semantics = semantics
        self._meshes = tuple(meshes)
        self.compiled = compiled
        self._judges = {mesh.name: self._judge_of(mesh) for mesh in meshes}

    def _judge_of(self, mesh: Judged) -> _Judge:
        objects = [native for translation in mesh.translations.values() for native in translation.objects]
        losses = {key: tuple(sorted({loss.code for loss in each.losses})) for key, each in mesh.translations.items()}
        reasons = {narrowing.code: narrowing.message for narrowing in mesh.spec.narrowings}
        reasons |= {loss.code: loss.message for each in mesh.translations.values() for loss in each.losses}
        whole = self.compiled.units.keys() <= losses.keys()
        return _Judge(mesh.spec.evaluator(objects, self.compiled.facts), losses, reasons, whole)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the objects."""
        return self.compiled.problems

    def explain(self, request: Request) -> tuple[Answer, Mapping[str, Answer]]:
        """SMI's answer and each mesh's; a mesh that is narrower names the losses of the units that were addressed."""
        smi = self._semantics.judge(request)
        return smi, {name: self._mesh_answer(judge, request, smi) for name, judge in self._judges.items()}

    def near(self, request: Request) -> tuple[NearMiss, ...]:
        """What nearly grants a request that SMI denies, nearest first."""
        return self._semantics.near(request)

    def reason(self, mesh: str, code: str) -> str:
        """What a code in the `losses` of a mesh's answer means, in one sentence."""
        return self._judges[mesh].reasons.get(code, "")

    def limits(self) -> Mapping[str, str]:
        """By mesh: which traffic it never gets to see, one sentence each; meshes that see all are left out."""
        return {mesh.name: mesh.spec.capture for mesh in self._meshes if mesh.spec.capture}

    def _mesh_answer(self, judge: _Judge, request: Request, smi: Answer) -> Answer:
        answer = self._known(judge.evaluator.judge(request), request)
        if answer.received is not None:
            smi = self._semantics.judge(replace(request, path=answer.received))
        if self._ungoverned(judge, request, smi):
            open_ = dict.fromkeys(answer.backends, "allow") if answer.backends is not None else None
            return replace(answer, verdict="ungoverned", by=(), backends=open_, losses=())
        if _said(answer) == _said(smi):
            return answer
        codes = {code for key in self._addressed(request, smi) for code in judge.losses.get(key, ())}
        return replace(answer, losses=tuple(sorted({*answer.losses, *codes})))

    def _ungoverned(self, judge: _Judge, request: Request, smi: Answer) -> bool:
        """Whether nobody who could receive this request is in the scope of the mesh."""
        if judge.whole:
            return False
        receivers = [
            key for key in self._addressed(request, smi) if key.kind == "access" and key in self.compiled.units
        ]
        return bool(receivers) and not any(key in judge.losses for key in receivers)

    def _known(self, answer: Answer, request: Request) -> Answer:
        """A Service without ports leaves nothing in a mesh, but it is there."""
        there = self._key("route", _namespace(request), _name(request)) in self.compiled.units
        return replace(answer, route="no-port") if answer.route == "no-service" and there else answer

    def _addressed(self, request: Request, smi: Answer) -> Iterator[UnitKey]:
        """The units that decide a request: the receiver's access; of a Service its route, and its backends' access."""
        namespace, name = _namespace(request), _name(request)
        if request.dst.identity is not None:
            yield self._key("access", namespace, name)
        elif request.dst.pod is not None:
            yield from self._access_at(namespace, name)
        else:
            for service in {name, *(smi.weights or {})}:
                yield self._key("route", namespace, service)
                for endpoint in self.compiled.facts.endpoints.get((namespace, service, request.port), ()):
                    identity = identity_of(endpoint.spiffe)
                    if identity is not None:
                        yield self._key("access", identity.namespace, identity.service_account)

    def _key(self, kind: Literal["access", "route"], namespace: str, name: str) -> UnitKey:
        return UnitKey(kind, namespace, name, self.compiled.domain)

    def _access_at(self, namespace: str, name: str) -> Iterator[UnitKey]:
        for ref in self.compiled.facts.placements:
            if (ref.namespace, ref.name) == (namespace, name):
                identity = self.compiled.facts.placements[ref].identity
                yield self._key("access", identity.namespace, identity.service_account)


def _said(answer: Answer) -> tuple[object, ...]:
    return answer.verdict, answer.route, answer.weights, answer.backends


def _namespace(request: Request) -> str:
    return (request.dst.identity or request.dst.pod or request.dst.service or "").partition("/")[0]


def _name(request: Request) -> str:
    return (request.dst.identity or request.dst.pod or request.dst.service or "").partition("/")[2]
