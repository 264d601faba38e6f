"""Explain: what SMI says of a request and what each mesh would do with it, from one set of documents.

Pure. SMI's side is `hub.semantics`, straight from the documents; a mesh's side goes the whole way: store, intent,
translation, and the adapter's own reading of the native objects. Nothing is shared between the two sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

from hub.api import AdapterSpec, Evaluator
from hub.endpoints import EndpointView
from hub.model import (
    Answer,
    Document,
    Facts,
    Problem,
    Reading,
    Request,
    Translation,
    Unit,
    UnitKey,
    identity_of,
)
from hub.semantics import EVERYTHING, Governed, Semantics
from hub.smi import Decoded, decode
from hub.store import Store
from hub.translated import translated

TRUST_DOMAIN = "cluster.local"


class Scope(Struct, frozen=True):
    """How documents are read: the domain, the trust domain of all identities, our reading of SMI, and who is governed."""

    trust_domain: str = TRUST_DOMAIN
    reading: Reading = field(default_factory=Reading)
    governed: Governed = EVERYTHING
    domain: str = "default"


def _everything(key: UnitKey, unit: Unit) -> bool:
    return True


class Mesh(Struct, frozen=True):
    """A mesh to explain: its name, its adapter, the adapter's configuration (None: the defaults), and which units it governs."""

    name: str
    spec: AdapterSpec[Any]
    config: Any = None
    governs: Callable[[UnitKey, Unit], bool] = _everything


class Compiled(Struct, frozen=True):
    """Documents brought into the normal form: the units, what is wrong with the objects, and where workloads stand."""

    units: Mapping[UnitKey, Unit]
    problems: tuple[Problem, ...]
    facts: Facts


def compile_documents(documents: Sequence[Document], scope: Scope) -> Compiled:
    """Bring documents into the normal form; the order of documents has no meaning."""
    store = Store(scope.trust_domain, scope.reading, scope.domain)
    for (source, part), decoded in _parts(documents).items():
        store.upsert(source, part, decoded)
    units = {key: unit for key in sorted(store.units()) if (unit := store.compile(key)[0]) is not None}
    return Compiled(units, store.problems(), facts_of(store))


def _parts(documents: Iterable[Document]) -> dict[tuple[str, str], list[Decoded]]:
    """Decoded objects by the source and the file that they came from."""
    parts: dict[tuple[str, str], list[Decoded]] = {}
    for document in documents:
        decoded = parts.setdefault((document.origin.source, document.origin.file), [])
        decoded.append(decode(document))
    return parts


def translate_units(units: Mapping[UnitKey, Unit], mesh: Mesh) -> dict[UnitKey, Translation]:
    """The native objects of every unit, each unit by itself."""
    config = mesh.spec.config() if mesh.config is None else mesh.config
    return {key: translated(mesh.spec, key, unit, config) for key, unit in units.items() if mesh.governs(key, unit)}


class _Judge(Struct, frozen=True):
    """One mesh, ready to judge, the loss codes of each unit that it governs, and what each code means."""

    evaluator: Evaluator
    losses: Mapping[UnitKey, tuple[str, ...]]
    reasons: Mapping[str, str]


class Explainer:
    """Judges requests by SMI and by every mesh; built once per set of documents, then thousands of requests a second."""

    def __init__(self, documents: Sequence[Document], meshes: Sequence[Mesh], scope: Scope | None = None) -> None:
        self._scope = scope = Scope() if scope is None else scope
        self._semantics = Semantics(
            documents, trust_domain=scope.trust_domain, governed=scope.governed, reading=scope.reading
        )
        self._meshes = tuple(meshes)
        self.compiled = compile_documents(documents, scope)
        self._judges = {mesh.name: self._judge_of(mesh) for mesh in meshes}

    def _judge_of(self, mesh: Mesh) -> _Judge:
        translations = translate_units(self.compiled.units, mesh)
        objects = [native for translation in translations.values() for native in translation.objects]
        losses = {
            key: tuple(sorted({loss.code for loss in translation.losses})) for key, translation in translations.items()
        }
        reasons = {narrowing.code: narrowing.message for narrowing in mesh.spec.narrowings}
        reasons |= {loss.code: loss.message for each in translations.values() for loss in each.losses}
        return _Judge(mesh.spec.evaluator(objects, self.compiled.facts), losses, reasons)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the objects."""
        return self.compiled.problems

    def explain(self, request: Request) -> tuple[Answer, Mapping[str, Answer]]:
        """SMI's answer and each mesh's; a mesh that is narrower names the losses of the units that were addressed."""
        smi = self._semantics.judge(request)
        return smi, {name: self._mesh_answer(judge, request, smi) for name, judge in self._judges.items()}

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
        """Whether nobody who could receive this request is in the scope: that of the readings, or that of the mesh."""
        if not self._scope.governed.includes(_namespace(request)) and smi.verdict == "ungoverned":
            return True
        if len(judge.losses) == len(self.compiled.units):
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
        return UnitKey(kind, namespace, name, self._scope.domain)

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


def facts_of(store: Store) -> Facts:
    """Where every workload stands, and who is behind every Service port."""
    view = EndpointView(store)
    view.update()
    return view.facts()
