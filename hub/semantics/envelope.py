"""From documents to objects: Lists, API groups and versions, names, and which copy of an object counts.

The key of an object is (group, kind, namespace, name). Equal copies are one object, unequal ones are none, whether they are
in one source or in several.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from hub.model import Document
from hub.semantics.names import is_label, is_subdomain
from hub.semantics.types import Manifest

KNATIVE = "serving.knative.dev"
"""Knative Serving, whose Services are workloads."""
ACCESS, SPECS, SPLIT, HUB = "access.smi-spec.io", "specs.smi-spec.io", "split.smi-spec.io", "smihub.io"

_ALPHAS = frozenset({"v1alpha1", "v1alpha2", "v1alpha3", "v1alpha4"})
_LATEST = frozenset({"v1alpha4"})
SMI_GROUPS = {
    "TrafficTarget": ACCESS,
    "IdentityBinding": ACCESS,
    "HTTPRouteGroup": SPECS,
    "TCPRoute": SPECS,
    "UDPRoute": SPECS,
    "TrafficSplit": SPLIT,
}
_V1 = frozenset({"v1"})
VERSIONS: Mapping[tuple[str, str], frozenset[str]] = {
    (ACCESS, "TrafficTarget"): _ALPHAS,
    (ACCESS, "IdentityBinding"): _LATEST,
    (SPECS, "HTTPRouteGroup"): _ALPHAS,
    (SPECS, "TCPRoute"): _ALPHAS,
    (SPECS, "UDPRoute"): _LATEST,
    (SPLIT, "TrafficSplit"): _ALPHAS,
    (HUB, "Workload"): frozenset({"v1alpha1"}),
    ("", "Service"): _V1,
    ("", "Pod"): _V1,
    ("", "Endpoints"): _V1,
    ("apps", "Deployment"): _V1,
    ("apps", "StatefulSet"): _V1,
    ("apps", "DaemonSet"): _V1,
    ("apps", "ReplicaSet"): _V1,
    ("argoproj.io", "Rollout"): frozenset({"v1alpha1"}),
    ("apps.openshift.io", "DeploymentConfig"): _V1,
    ("batch", "Job"): _V1,
    ("batch", "CronJob"): _V1,
    (KNATIVE, "Service"): _V1,
    ("discovery.k8s.io", "EndpointSlice"): _V1,
}


_VERSIONLESS = "\0"
"""The version of an object whose kind needs one and that has none."""


def read_objects(documents: Iterable[Document]) -> tuple[list[Manifest], list[Manifest]]:
    """Return the objects that count, in a version that we know, sorted by key; and every copy of those that do not.

    Among the latter are documents of a known kind that are no objects, since no name or no version is theirs.
    """
    copies: dict[tuple[str, str, str, str], list[Manifest]] = {}
    broken: list[Manifest] = []
    for document in documents:
        for value in unwrap(document.value):
            found = _identify(value)
            if found is not None and _is_named(found):
                copies.setdefault(found.key, []).append(found)
            elif found is not None:
                broken.append(found)
    counted: list[Manifest] = []
    for key in sorted(copies):
        one = _the_one(copies[key])
        if one is None or one.version not in VERSIONS[one.group, one.kind]:
            broken += copies[key]
        else:
            counted.append(one)
    return counted, broken


def unwrap(value: object) -> Iterator[object]:
    """Yield the items of a List, or the value itself; a List inside a List is nothing that Kubernetes knows."""
    if not isinstance(value, dict):
        return
    kind, items = value.get("kind"), value.get("items")
    if isinstance(kind, str) and kind.endswith("List"):
        yield from items if isinstance(items, list) else ()
    else:
        yield value


def _identify(value: object) -> Manifest | None:
    """Read kind, group, version and names as they are written; None for what is of no concern."""
    if not isinstance(value, dict) or not isinstance(value.get("kind"), str):
        return None
    kind = value["kind"]
    group, version = _group_and_version(value, kind)
    if (group, kind) not in VERSIONS or (kind == "Rollout" and _refers(value.get("spec"))):
        return None
    meta = value.get("metadata")
    name, namespace = (meta.get("name"), meta.get("namespace")) if isinstance(meta, dict) else ("", None)
    if namespace is None or namespace == "":
        namespace = "default"  # as an API server reads it: null and empty text are what Go calls unset
    return Manifest(group, version, kind, _text(namespace), _text(name), value)


def _refers(spec: object) -> bool:
    """Tell whether a Rollout has no template of its own, but names a workload that has one."""
    return isinstance(spec, dict) and spec.get("workloadRef") is not None and spec.get("template") is None


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_named(found: Manifest) -> bool:
    """Tell whether an object can have this name, in this namespace, and a version."""
    named = is_label(found.name) if found.kind == "Service" else is_subdomain(found.name)
    return named and is_label(found.namespace) and found.version != _VERSIONLESS


def _group_and_version(value: Mapping[object, object], kind: str) -> tuple[str, str]:
    """Split apiVersion; an SMI object may lack the group (its kind has one) or the whole (its shape tells)."""
    written = value.get("apiVersion")
    if kind not in SMI_GROUPS and (not isinstance(written, str) or written == ""):
        return next((group for group, name in VERSIONS if name == kind), "?"), _VERSIONLESS
    if written is None or written == "":
        return SMI_GROUPS[kind], _version_by_shape(value, kind)
    if not isinstance(written, str):
        return "?", ""
    if "/" not in written:
        return SMI_GROUPS.get(kind, ""), written
    group, _, version = written.partition("/")
    return group or "?", version


# --------------------------------------------------------------------------- objects without apiVersion


def _version_by_shape(value: Mapping[object, object], kind: str) -> str:
    """Recognise the version of an SMI object that does not say it: most examples of the documents do not."""
    spec = value.get("spec")
    inner: Mapping[object, object] = spec if isinstance(spec, dict) else {}
    if kind == "TrafficTarget":
        return _target_version(value, inner)
    if kind == "HTTPRouteGroup":
        return "v1alpha2" if "matches" in value else "v1alpha4"
    if kind == "TCPRoute":
        return "v1alpha4" if "matches" in inner else "v1alpha3"
    if kind == "TrafficSplit":
        return _split_version(inner)
    return "v1alpha4"


def _target_version(value: Mapping[object, object], spec: Mapping[object, object]) -> str:
    if "specs" in value or "destination" in value:
        return "v1alpha1"
    destination, sources = spec.get("destination"), spec.get("sources")
    if isinstance(destination, dict) and "port" in destination:
        return "v1alpha2"
    subjects = [destination, *(sources if isinstance(sources, list) else ())]
    bound = any(isinstance(subject, dict) and subject.get("kind") == "IdentityBinding" for subject in subjects)
    return "v1alpha4" if bound else "v1alpha3"


def _split_version(spec: Mapping[object, object]) -> str:
    backends = spec.get("backends")
    listed = backends if isinstance(backends, list) else ()
    if any(isinstance(backend, dict) and isinstance(backend.get("weight"), str) for backend in listed):
        return "v1alpha1"
    return "v1alpha4" if "matches" in spec else "v1alpha2"


# --------------------------------------------------------------------------- copies


def _the_one(copies: Sequence[Manifest]) -> Manifest | None:
    """Return the object that these copies amount to, or None when they contradict each other."""
    first, seen = copies[0], set[tuple[int, int]]()
    return first if all(_equal(first.body, copy.body, seen) for copy in copies[1:]) else None


_COMPARED_AT_MOST = 200_000


def _equal(left: object, right: object, seen: set[tuple[int, int]]) -> bool:
    """Compare two JSON values without recursion; values too large to compare count as unequal.

    Documents may be deep, and YAML aliases make small documents that unfold without end: a pair of containers is
    therefore compared once, also over many copies (`seen`).
    """
    pending = [(left, right)]
    while pending:
        one, other = pending.pop()
        if type(one) is not type(other):
            return False
        if not isinstance(one, dict | list):
            if one != other:
                return False
            continue
        if one is other or (id(one), id(other)) in seen:
            continue
        seen.add((id(one), id(other)))
        pairs = _children(one, other)
        if pairs is None or len(pending) + len(seen) + len(pairs) > _COMPARED_AT_MOST:
            return False
        pending += pairs
    return True


def _children(one: object, other: object) -> list[tuple[object, object]] | None:
    """Pair the members of two containers of one type, or None when they do not pair."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [(one[key], other[key]) for key in one]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return list(zip(one, other, strict=True))
    return None
