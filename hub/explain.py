"""Explain: what SMI says of a request and what each mesh would do with it, from one set of documents.

Pure. SMI's side is `hub.semantics`, straight from the documents; a mesh's side goes the whole way: store, intent,
translation, and the adapter's own reading of the native objects. Nothing is shared between the two sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from hub.api import AdapterSpec, Evaluator
from hub.endpoints import EndpointView
from hub.model import Answer, Facts, Identity, Loss, NearMiss, Problem, Request, Translation, Unit, UnitKey, identity_of
from hub.reasons import ArrivingRequest, Reasons, Translate
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


class ExplainedMesh(Struct, frozen=True):
    """A mesh to explain: its name, its adapter, the translations of the units that it governs, baselines too, and how to make one.

    `view` gives the body of one of its objects as JSON-like data (FamilySpec.view).
    """

    name: str
    spec: AdapterSpec[Any]
    translations: Mapping[UnitKey, Translation]
    translate: Translate
    view: Callable[[bytes, str], Any] | None = None


class _MeshJudge(Struct, frozen=True):
    """One mesh, ready to judge, the units that it governs, why it does something else than SMI says, and what its own codes mean.

    `whole`: it governs every unit. `openings` are the codes of what its settings open beyond SMI.
    """

    evaluator: Evaluator
    governed: AbstractSet[UnitKey]
    reasons: Reasons
    meanings: Mapping[str, str]
    whole: bool
    openings: AbstractSet[str]


class Explainer:
    """Judges requests by SMI and by every mesh; built once per set of documents, then thousands of requests a second."""

    def __init__(self, semantics: Semantics, compiled: Compiled, meshes: Sequence[ExplainedMesh]) -> None:
        self._semantics = semantics
        self._meshes = tuple(meshes)
        self.compiled = compiled
        self._judges = {mesh.name: self._judge_of(mesh) for mesh in meshes}

    def _judge_of(self, mesh: ExplainedMesh) -> _MeshJudge:
        objects = [native for translation in mesh.translations.values() for native in translation.objects]
        facts, governed = self.compiled.facts, mesh.translations.keys()
        reasons = Reasons(self.compiled.units, mesh.translations, mesh.translate, facts)
        meanings = {narrowing.code: narrowing.message for narrowing in mesh.spec.narrowings}
        whole = self.compiled.units.keys() <= governed
        told = (loss for translation in mesh.translations.values() for loss in translation.losses)
        openings = {loss.code for loss in told if loss.is_unenforced}
        return _MeshJudge(mesh.spec.evaluator(objects, facts), governed, reasons, meanings, whole, openings)

    @property
    def meshes(self) -> tuple[str, ...]:
        """The names of the meshes."""
        return tuple(self._judges)

    def explain(self, request: Request) -> tuple[Answer, Mapping[str, Answer]]:
        """SMI's answer and each mesh's; a mesh that does something else names the losses that explain it."""
        smi = self._semantics.judge(request)
        return smi, {name: self._mesh_answer(judge, request, smi) for name, judge in self._judges.items()}

    def smi(self, request: Request) -> Answer:
        """SMI's answer alone."""
        return self._semantics.judge(request)

    def near(self, request: Request) -> tuple[NearMiss, ...]:
        """What nearly grants a request that SMI denies, nearest first."""
        return self._semantics.near(request)

    def reasons(self, mesh: str, request: Request, answer: Answer) -> list[str]:
        """Why a mesh gives this answer, a sentence for each of its `losses`, with the code."""
        judge = self._judges[mesh]
        smi = self._semantics.judge(request if answer.received is None else replace(request, path=answer.received))
        messages: dict[str, list[str]] = {}
        for loss in sorted(self._explaining(judge, request, smi, answer)):
            messages.setdefault(loss.code, []).append(loss.message)
        by_code = ((code, messages.get(code) or [judge.meanings.get(code, "")]) for code in answer.losses)
        return [f"{message} ({code})" for code, found in by_code for message in found]

    def opens(self, mesh: str, answer: Answer) -> bool:
        """Whether a mesh lets a request in only because its settings in smihub.yaml say so."""
        return answer.verdict != "deny" and any(map(self._judges[mesh].openings.__contains__, answer.losses))

    def views(self, mesh: str, key: UnitKey) -> Iterator[Any]:
        """The objects of a unit and of the baselines around it in a mesh, as JSON-like data; none where it has no view."""
        asked = next(each for each in self._meshes if each.name == mesh)
        for at, translation in asked.translations.items():
            if asked.view is not None and (
                at == key or (at.kind == "baseline" and at.namespace in {"", key.namespace})
            ):
                yield from (asked.view(native.body, native.ref.kind) for native in translation.objects)

    def limits(self) -> Mapping[str, str]:
        """By mesh: which traffic it never gets to see, one sentence each; meshes that see all are left out."""
        return {mesh.name: mesh.spec.capture for mesh in self._meshes if mesh.spec.capture}

    def _mesh_answer(self, judge: _MeshJudge, request: Request, smi: Answer) -> Answer:
        answer = self._known(judge.evaluator.judge(request), request)
        if answer.received is not None:
            smi = self._semantics.judge(replace(request, path=answer.received))
        if self._ungoverned(judge, request, smi):
            open_ = dict.fromkeys(answer.backends, "allow") if answer.backends is not None else None
            return replace(answer, verdict="ungoverned", by=(), backends=open_, losses=())
        if _outcome_of(answer) == _outcome_of(smi):
            return answer
        codes = {loss.code for loss in self._explaining(judge, request, smi, answer)}
        return replace(answer, losses=tuple(sorted({*answer.losses, *codes})))

    def _explaining(self, judge: _MeshJudge, request: Request, smi: Answer, answer: Answer) -> frozenset[Loss]:
        """The losses by which a mesh does something else with a request: of its route only where it is routed otherwise."""
        moved = (answer.route, answer.weights) != (smi.route, smi.weights)
        path = request.path if answer.received is None else answer.received
        keys = [key for key in self._addressed(request, smi) if moved or key.kind != "route"]
        found = judge.reasons.of(keys, ArrivingRequest(replace(request, path=path), self._ports(request, smi)))
        opened = {code for code in answer.losses if code in judge.openings}
        return found | (judge.reasons.opened(keys, opened) if opened else frozenset())

    def _ports(self, request: Request, smi: Answer) -> dict[Identity, set[int]]:
        """By receiver, the workload ports at which a request arrives."""
        found: dict[Identity, set[int]] = {}
        if request.dst.service is None:
            receivers = (self._identity(key) for key in self._addressed(request, smi))
            return {identity: {request.port} for identity in receivers}
        for service in {_name(request), *(smi.weights or {})}:
            for endpoint in self.compiled.facts.endpoints.get((_namespace(request), service, request.port), ()):
                identity = identity_of(endpoint.spiffe)
                if identity is not None:
                    found.setdefault(identity, set()).add(endpoint.port)
        return found

    def _identity(self, key: UnitKey) -> Identity:
        return Identity(self.compiled.facts.trust_domain, key.namespace, key.name)

    def _ungoverned(self, judge: _MeshJudge, request: Request, smi: Answer) -> bool:
        """Whether nobody who could receive this request is in the scope of the mesh."""
        if judge.whole:
            return False
        receivers = [
            key for key in self._addressed(request, smi) if key.kind == "access" and key in self.compiled.units
        ]
        return bool(receivers) and not any(key in judge.governed for key in receivers)

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


def _outcome_of(answer: Answer) -> tuple[object, ...]:
    return answer.verdict, answer.route, answer.weights, answer.backends


def _namespace(request: Request) -> str:
    return (request.dst.identity or request.dst.pod or request.dst.service or "").partition("/")[0]


def _name(request: Request) -> str:
    return (request.dst.identity or request.dst.pod or request.dst.service or "").partition("/")[2]
