"""Reading sources for `smihub explain`: both readings, cluster by cluster, from the same events.

Which documents count in a cluster is decided here anew, from the raw documents, for the reading that judges the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from hub.api import AdapterSpec
from hub.baselines import baselines_of
from hub.config.file import DEFAULT_FILE, Config
from hub.config.sources import DIRECTORY, STDIN, SourceConfig
from hub.endpoints import EndpointView
from hub.errors import ConfigError
from hub.events import ObjectSource, Snapshot
from hub.explain import Compiled, ExplainedMesh, Explainer, compiled
from hub.faults import blamed
from hub.intake import Intake
from hub.intent.names import is_workload
from hub.meshes import Mesh
from hub.model import Baseline, Document, Problem, Translation, Unit, UnitKey
from hub.plugins import Plugins
from hub.reconcile.hub import Hub
from hub.semantics import Semantics
from hub.smi.types import Workload
from hub.sources.directory import DirectorySource
from hub.sources.selection import Selection
from hub.sources.stream import StreamSource
from hub.store import Store
from hub.translated import translated

TRUST_DOMAIN = "cluster.local"
TOLD = 20
"""Problems told before the answers; `smihub check` tells all. To find the line of a field its file is parsed again."""
_SMI_KINDS = frozenset(
    {"TrafficTarget", "IdentityBinding", "TrafficSplit", "HTTPRouteGroup", "TCPRoute", "UDPRoute", "TrafficMetrics"}
)


class Explained(Struct, frozen=True):
    """An explainer for each cluster, and whether all could be read.

    `problems` are the first few things that are wrong with files and objects, of `all_problems` in number. `left_out` are
    installed meshes that are not asked, since they can have no workload of the folder.
    """

    explainers: Mapping[str, Explainer]
    problems: tuple[Problem, ...]
    all_problems: int
    whole: bool
    left_out: tuple[str, ...] = ()


def explain_folder(folder: Path, plugins: Plugins) -> Explained:
    """Both readings of a folder (`-`: of standard input); every installed adapter is a mesh of its name.

    One that none of the known workloads can be part of is left out, as is one that is asked by a smihub.yaml alone. Raises ConfigError and SourceError.
    """
    if not plugins.adapters:
        raise ConfigError("; ".join(map(str, plugins.problems)) or "no adapter is installed")
    name, store = str(folder), Store(TRUST_DOMAIN)
    written = SourceConfig(name, DIRECTORY, {})
    source: ObjectSource = (
        StreamSource(name)
        if name == STDIN
        else DirectorySource(name, folder, selection=Selection(skip=folder / DEFAULT_FILE))
    )
    intake = Intake([written], {name: source}, {"": store})
    documents, intent = _read(intake)[name], compiled(store, EndpointView(store))
    known = {name: spec for name, spec in sorted(plugins.adapters.items()) if spec.workloads}
    asked = {name: spec for name, spec in known.items() if _can_have_any(spec, store)}
    judged = [
        ExplainedMesh(
            name,
            spec,
            {key: _translated(spec, key, unit) for key, unit in _with_baselines(spec, intent)},
            partial(_translated, spec),
            plugins.families[spec.family].view if spec.family in plugins.families else None,
        )
        for name, spec in asked.items()
    ]
    explainer = Explainer(Semantics(documents, trust_domain=TRUST_DOMAIN), intent, judged)
    return replace(_explained({"": explainer}, intake), left_out=tuple(sorted({*known} - {*asked})))


def _can_have_any(spec: AdapterSpec[Any], store: Store) -> bool:
    """Whether a mesh can have a workload of the store, or the store has none."""
    known = (each.ref for each in store.objects() if isinstance(each, Workload))
    kinds = {"Workload" if is_workload(ref) else "Pod" for ref in known}  # templates make Pods
    return not kinds or bool(kinds.intersection(spec.workloads))


def _translated(spec: AdapterSpec[Any], key: UnitKey, unit: Unit) -> Translation:
    with blamed(spec.name, key):
        return translated(spec, key, unit, spec.config())


def _with_baselines(spec: AdapterSpec[Any], intent: Compiled) -> Iterator[tuple[UnitKey, Unit]]:
    """Every unit, and the skeletons around them where everything is governed."""
    yield from intent.units.items()
    for key in sorted(baselines_of(spec, intent.units)):
        yield key, Baseline(key.namespace, whole=True)


async def explain_hub(hub: Hub) -> Explained:
    """Read the sources of a hub, and give both readings of each cluster.

    Raises SourceError, and what a sink raises that cannot tell what stands in a mesh with a narrower scope than everything.
    """
    read, domain = _read(hub.intake), hub.config.domain
    explainers: dict[str, Explainer] = {}
    for name, cluster in hub.clusters.items():
        documents, intent = tuple(_documents(hub.config, name, read)), compiled(cluster.store, cluster.endpoints)
        judged = [await _judged(mesh, intent) for mesh in hub.meshes if mesh.cluster == name]
        semantics = Semantics(documents, trust_domain=domain.trust_domain, reading=hub.config.reading)
        explainers[name] = Explainer(semantics, intent, judged)
    return _explained(explainers, hub.intake)


def _explained(explainers: Mapping[str, Explainer], intake: Intake) -> Explained:
    found = intake.found()
    return Explained(explainers, intake.located(found[:TOLD]), len(found), not intake.unread)


def _read(intake: Intake) -> dict[str, tuple[Document, ...]]:
    """Read every source into its stores; the raw documents of each."""
    found: dict[str, tuple[Document, ...]] = {}
    for name, source in intake.sources.items():
        events = tuple(source.read())
        intake.ingest(name, events)
        found[name] = Snapshot().after(events).documents
    return found


def _documents(config: Config, cluster: str, read: Mapping[str, Iterable[Document]]) -> Iterator[Document]:
    """The documents that count in a cluster."""
    authority = {namespace: each.name for each in config.sources for namespace in each.namespaces}
    for source in config.sources:
        for document in read[source.name]:
            if not _is_smi(document.value):
                counts = source.cluster == cluster
            else:
                counts = authority.get(_namespace(document.value), source.name) == source.name
            if counts:
                yield document


def _is_smi(value: Any) -> bool:
    """Whether a document is of SMI, by its group or, where it names none, by its kind."""
    api = value.get("apiVersion") if isinstance(value, dict) else None
    if isinstance(api, str) and "/" in api:
        return api.partition("/")[0].endswith("smi-spec.io")
    kind = value.get("kind") if isinstance(value, dict) else None
    return isinstance(kind, str) and kind in _SMI_KINDS


def _namespace(value: Any) -> str:
    metadata = value.get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    return namespace if isinstance(namespace, str) and namespace else "default"


async def _judged(mesh: Mesh, intent: Compiled) -> ExplainedMesh:
    """A mesh with what it governs: what the sources have in its scope now, and what it governed once, which it governs on."""
    held = frozenset[UnitKey]() if mesh.governed.mode == "all" else (await mesh.observed()).units
    units: dict[UnitKey, Unit] = {
        key: unit for key, unit in intent.units.items() if key in held or mesh.governs(key, unit)
    }
    skeletons = {key: mesh.baseline(key) for key in sorted(baselines_of(mesh.spec, {*units, *held}))}
    units |= {key: unit for key, unit in skeletons.items() if unit is not None}
    translations = {}
    for key, unit in units.items():
        with blamed(mesh.spec.name, key):
            translations[key] = mesh.translate(key, unit)
    return ExplainedMesh(mesh.name, mesh.spec, translations, mesh.translate, mesh.view)
