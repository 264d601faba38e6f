"""Documents brought into the normal form and explained without sources, sinks and configuration: for tests and probes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import yaml
from msgspec import Struct, field

from hub.api import AdapterSpec
from hub.baselines import baselines_of, covers
from hub.endpoints import EndpointView
from hub.explain import Compiled, ExplainedMesh, Explainer, compiled
from hub.model import Baseline, Document, Origin, Reading, Translation, Unit, UnitKey
from hub.semantics import EVERYTHING, GovernedNamespaces, Semantics
from hub.smi import Decoded, decode
from hub.store import Store
from hub.translated import translated


class Scope(Struct, frozen=True):
    """How documents are read: the trust domain of all identities, our reading of SMI, the domain's name, and whom SMI rules."""

    trust_domain: str = "cluster.local"
    reading: Reading = field(default_factory=Reading)
    domain: str = "default"
    governed: GovernedNamespaces = EVERYTHING


def _everything(key: UnitKey, unit: Unit) -> bool:
    return True


class SinklessMesh(Struct, frozen=True):
    """A mesh without a sink: its name, its adapter, the adapter's configuration (None: the defaults), and what it governs."""

    name: str
    spec: AdapterSpec[Any]
    config: Any = None
    governs: Callable[[UnitKey, Unit], bool] = _everything


def compile_documents(documents: Sequence[Document], scope: Scope) -> Compiled:
    """Bring documents into the normal form; the order of documents has no meaning."""
    store = Store(scope.trust_domain, scope.reading, scope.domain)
    for (source, part), objects in _parts(documents).items():
        store.upsert(source, part, objects)
    return compiled(store, EndpointView(store))


def _parts(documents: Iterable[Document]) -> dict[tuple[str, str], list[Decoded]]:
    """Decoded objects by the source and the file that they came from."""
    parts: dict[tuple[str, str], list[Decoded]] = {}
    for document in documents:
        parts.setdefault((document.origin.source, document.origin.file), []).append(decode(document))
    return parts


def translate_units(units: Mapping[UnitKey, Unit], mesh: SinklessMesh) -> dict[UnitKey, Translation]:
    """The native objects of every unit that the mesh governs, and of the baselines around them, each unit by itself."""
    config = _settings(mesh)
    mine = {key: unit for key, unit in units.items() if mesh.governs(key, unit)}
    for key in sorted(baselines_of(mesh.spec, mine)):
        mine[key] = Baseline(key.namespace, all(each in mine for each in units if covers(key, each)))
    return {key: translated(mesh.spec, key, unit, config) for key, unit in mine.items()}


def _translated(mesh: SinklessMesh, key: UnitKey, unit: Unit) -> Translation:
    return translated(mesh.spec, key, unit, _settings(mesh))


def _settings(mesh: SinklessMesh) -> Any:
    return mesh.spec.config() if mesh.config is None else mesh.config


def explainer_of(
    documents: Sequence[Document], meshes: Sequence[SinklessMesh], scope: Scope | None = None
) -> Explainer:
    """Both readings of some documents."""
    return explained(documents, meshes, scope)[0]


def explained(
    documents: Sequence[Document], meshes: Sequence[SinklessMesh], scope: Scope | None = None
) -> tuple[Explainer, tuple[ExplainedMesh, ...]]:
    """Both readings of some documents, and what each mesh made of their units."""
    scope = Scope() if scope is None else scope
    semantics = Semantics(documents, trust_domain=scope.trust_domain, governed=scope.governed, reading=scope.reading)
    intent = compile_documents(documents, scope)
    judged = tuple(
        ExplainedMesh(
            mesh.name, mesh.spec.under(_settings(mesh)), translate_units(intent.units, mesh), partial(_translated, mesh)
        )
        for mesh in meshes
    )
    return Explainer(semantics, intent, judged), judged


# --------------------------------------------------------------------------- YAML text

_READING = Reading()


def decoded(text: str, source: str = "test", file: str = "text.yaml") -> tuple[Decoded, ...]:
    """Every document of a YAML text, decoded; its origin is the source and its position in the text."""
    values = [value for value in yaml.safe_load_all(text) if value is not None]
    documents = (Document(value, Origin(source, file, line + 1), line) for line, value in enumerate(values))
    return tuple(map(decode, documents))


def store_of(objects: Iterable[Decoded] | str, reading: Reading = _READING) -> Store:
    """A store of trust domain `td` with one source, in which every object is a part of its own."""
    store = Store("td", reading)
    for index, each in enumerate(decoded(objects) if isinstance(objects, str) else objects):
        store.upsert("test", f"part-{index}", (each,))
    return store
