"""What is judged, by how much, and what is found: the values that all checks share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field, json
from msgspec.structs import replace

from hub.api import AdapterSpec, Answer, Facts, FamilySpec, NativeObject, Request
from hub.explain import ExplainedMesh, Explainer
from hub.features import Feature, Support
from hub.model import Document, Translation, UnitKey
from hub.semantics import GovernedNamespaces
from hub.sinks.kubernetes import KUBERNETES
from hub.testing.documents import Scope, SinklessMesh, explained
from hub.testing.worlds import documents_of

KIT_VERSION = "7"
"""Changes when a property is added or becomes stricter: a certificate is worth what its kit asked."""


class JudgedRequest(Struct, frozen=True):
    """One row of the author's own table: what a real mesh answers, judged by hand from the vendor's documents.

    `objects` are native objects as the vendor's page has them, `source` is that page's address. `world` is YAML of the Services,
    Pods and Workloads around them (the evaluator's Facts are made from it). `weights` are the shares of a call to a Service, such
    as `{"api": "9/10", "api-v2": "1/10"}`, empty where it is refused; they are what rows of a mesh of routes alone are about.
    """

    objects: tuple[NativeObject, ...]
    request: Request
    verdict: str
    source: str
    world: str = ""
    weights: Mapping[str, str] | None = None


def _json(body: bytes, kind: str) -> Any:
    return json.decode(body)


JSON = FamilySpec("json", _json, meaningless=KUBERNETES.meaningless)
"""How the kit reads and writes bodies, to change single fields in them, where it knows no family of the adapter's."""
NOBODY = GovernedNamespaces(frozenset())
"""Whom SMI rules in a mesh that routes calls and enforces no access."""
DataPlane = Callable[[Sequence[NativeObject], Facts, Sequence[Request]], Sequence[str]]
"""Runs a real data plane with these objects, and gives the verdict word of each request ("": it cannot be sent there as it is)."""
SchemaCheck = Callable[[NativeObject], Iterable[str]]
"""What is wrong with an object by the vendor's schema, a sentence each (none: it is valid); for manifests `crds.crd_schema` makes one."""

_LEAST: Mapping[str, int] = {"worlds": 100, "few": 10, "wild": 16, "close": 24}
"""The least search after which an adapter may pass."""
_MOST_PATIENCE = 10.0


class Sizes(Struct, frozen=True):
    """How much is searched: worlds for agreement, for the other searches, and requests of a world; `seed` decides which.

    `patience` is a factor of the budgets of hostile input, for slow machines.
    """

    worlds: int = 2000
    few: int = 100
    wild: int = 16
    close: int = 24
    seed: str = "smihub"
    patience: float = 1.0

    @property
    def too_small(self) -> str:
        """Why searches of this size prove nothing; "" where they are large enough."""
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                return f"{name} of the search is {getattr(self, name)}, and at least {least} are needed"
        return f"hostile input had {self.patience:g} times its budgets" if self.patience > _MOST_PATIENCE else ""


class AdapterUnderTest(Struct, frozen=True):
    """An adapter under test, with what its author brings."""

    spec: AdapterSpec[Any]
    config: Any = None
    version: str = ""
    judged: tuple[JudgedRequest, ...] = ()
    data_plane: DataPlane | None = None
    schema: SchemaCheck | None = None
    family: FamilySpec = JSON
    unread: tuple[str, ...] = ()
    sizes: Sizes = field(default_factory=Sizes)

    @property
    def mesh(self) -> SinklessMesh:
        """The adapter as a mesh that governs everything."""
        return SinklessMesh(self.spec.name, self.spec, self.settings)

    @property
    def features(self) -> Mapping[Feature, Support]:
        """What the adapter declares of a mesh with this configuration."""
        return self.spec.supports(self.settings)

    @property
    def meaningless(self) -> tuple[str, ...]:
        """Fields that may repeat a value without any effect, as patterns over paths such as `spec.rules.0.name`."""
        return (*self.family.meaningless, *self.unread)

    @property
    def settings(self) -> Any:
        """The configuration: that of the author, else the defaults."""
        return self.spec.config() if self.config is None else self.config

    def explained(self, documents: Sequence[Document], scope: Scope | None = None) -> tuple[Explainer, ExplainedMesh]:
        """Both readings of some documents, and what the adapter made of their units."""
        scope = Scope() if scope is None else scope
        if self.spec.routes_only:
            scope = replace(scope, governed=NOBODY)
        explainer, (mesh,) = explained(documents, (self.mesh,), scope)
        return explainer, mesh


class PropertyFailure(Struct, frozen=True):
    """A property that does not hold, and what shows it, as far as there is any of it.

    `world` is the smallest world that was found; where a change fails, `before` is what was there before it. `answers` are what was
    said of the request, by who or when says it, what is right first: "smi" and "mesh", mostly. `by` names the objects that it is about:
    those that decided the answers, of the mesh and of SMI, or those that are wrong; `bodies` are those of native ones among them and
    of what these need, as their family shows them. `scope` is how the world is read.
    """

    property: str
    why: str
    world: tuple[Any, ...] | None = None
    request: Request | None = None
    answers: Mapping[str, Answer] = {}
    by: tuple[str, ...] = ()
    before: tuple[Any, ...] | None = None
    bodies: Mapping[str, Any] = {}
    scope: Scope = field(default_factory=Scope)


def misjudged(
    name: str, why: str, request: Request, answers: Mapping[str, Answer], otherwise: Iterable[object] = ()
) -> PropertyFailure:
    """A request that is not answered as it should be, with all objects that the answers name, or others where they name none."""
    by = [one for answer in reversed([*answers.values()]) for one in answer.by] or map(str, otherwise)
    return PropertyFailure(name, why, request=request, answers=answers, by=tuple(dict.fromkeys(by)))


class PropertyCheck(Struct, frozen=True):
    """One part of the suite: the properties that it judges, each with a sentence, and what finds their failures."""

    name: str
    properties: Mapping[str, str]
    run: Callable[[AdapterUnderTest], Iterator[PropertyFailure]]


class CheckOutcome(Struct, frozen=True):
    """What became of a check; `cpu_s` is processor time of this process and of its children."""

    check: str
    properties: tuple[str, ...]
    failures: tuple[PropertyFailure, ...] = ()
    cpu_s: float = 0.0


def with_bodies(subject: AdapterUnderTest, failure: PropertyFailure) -> PropertyFailure:
    """The failure with the native objects that it names, as far as its worlds give them once more; twice where a change changes one."""
    found: dict[str, Any] = {}
    for when, values in (("", failure.world), (", before", failure.before)):
        try:
            _, mesh = subject.explained(documents_of(values or ()), failure.scope)
            for one in _named(bodies_of(mesh.translations), failure.by):
                body = subject.family.view(one.body, one.ref.kind)
                if found.setdefault(str(one.ref), body) != body:
                    found[f"{one.ref}{when}"] = body
        except Exception:  # noqa: BLE001, S112 - an adapter that raises, or a body that is none, is shown without
            continue
    return replace(failure, bodies=found)


def _named(objects: Sequence[NativeObject], names: Sequence[str]) -> list[NativeObject]:
    """The objects of these names, and those that they need."""
    named = [one for one in objects if str(one.ref) in names]
    needed = {ref for one in named for ref in one.needs}
    return named + [one for one in objects if one.ref in needed and one not in named]


def bodies_of(translations: Mapping[UnitKey, Translation]) -> list[NativeObject]:
    """All native objects of these translations."""
    return [native for each in translations.values() for native in each.objects]
