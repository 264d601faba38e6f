"""TrafficSplit v1alpha1 to v1alpha4.

Sources: traffic-split/v1alpha1 to v1alpha4. What a reader must know of the versions:

| version  | weight                          | `spec.matches` |
|----------|---------------------------------|----------------|
| v1alpha1 | Kubernetes quantity             | -              |
| v1alpha2 | whole number                    | -              |
| v1alpha3 | whole number                    | HTTPRouteGroup |
| v1alpha4 | whole number                    | HTTPRouteGroup |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction

from hub.semantics import reader
from hub.semantics.quantity import quantity_weight, whole_weight
from hub.semantics.reader import Invalid
from hub.semantics.types import Manifest, Share, WeightedSplit

_CONDITIONAL = frozenset({"v1alpha3", "v1alpha4"})
_ENVELOPE = frozenset({"apiVersion", "kind", "metadata", "status"})
_GROUPS_OF_SPECS = frozenset({None, "", "specs.smi-spec.io"})
_SAME_NAMESPACE = frozenset({"", "svc", "svc.cluster.local"})
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9})[0-9]*)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_OLDEST = (-1_000_000, 0)  # before every moment that can be written


def decode_split(found: Manifest) -> WeightedSplit:
    """Decode a TrafficSplit of any version. Raises `Invalid`."""
    body = reader.fields(found.body, "object", _ENVELOPE | {"spec"})
    known = {"service", "backends"} | ({"matches"} if found.version in _CONDITIONAL else set())
    spec = reader.fields(body.get("spec"), "spec", known)
    backends = reader.items(spec.get("backends"), "backends")
    if not backends:
        raise Invalid("a TrafficSplit needs at least one backend")
    return WeightedSplit(
        namespace=found.namespace,
        name=found.name,
        root=_service(reader.required_text(spec, "service"), found.namespace),
        shares=_sum_per_service([_share(backend, found) for backend in backends]),
        groups=_groups(spec["matches"]) if "matches" in spec else None,
        age=(*_created(found), found.name),
    )


def _share(value: object, found: Manifest) -> Share:
    written = reader.fields(value, "backend", {"service", "weight"})
    service = _service(reader.required_text(written, "service"), found.namespace)
    if "weight" not in written:
        raise Invalid("a backend has no weight")
    read_weight = quantity_weight if found.version == "v1alpha1" else whole_weight
    return Share(service, read_weight(written["weight"]))


def _service(written: str, namespace: str) -> str:
    """Return the bare name of a Service of this namespace; its longer DNS names are accepted, another's are not."""
    name, dot, rest = written.partition(".")
    if not dot:
        return name
    of, _, suffix = rest.partition(".")
    if of != namespace or suffix not in _SAME_NAMESPACE or rest.endswith("."):
        raise Invalid(f"{written!r} is not a Service in namespace {namespace!r}")
    return name


def _sum_per_service(shares: list[Share]) -> tuple[Share, ...]:
    total: dict[str, Fraction] = {}
    for share in shares:
        total[share.service] = total.get(share.service, Fraction(0)) + share.weight
    return tuple(Share(service, total[service]) for service in sorted(total))


def _groups(value: object) -> tuple[str, ...]:
    """Return the names of the HTTPRouteGroups; an entry of another kind or group contributes nothing."""
    names = []
    for item in reader.items(value, "matches"):
        written = reader.fields(item, "match", {"kind", "name", "apiGroup"})
        kind, name = reader.required_text(written, "kind"), reader.required_text(written, "name")
        if kind == "HTTPRouteGroup" and reader.optional_text(written, "apiGroup") in _GROUPS_OF_SPECS:
            names.append(name)
    return tuple(names)


def _created(found: Manifest) -> tuple[int, int]:
    """Return (seconds, nanoseconds) of metadata.creationTimestamp; absent or unreadable counts as oldest."""
    meta = found.body.get("metadata")
    written = meta.get("creationTimestamp") if isinstance(meta, Mapping) else None
    parts = _TIMESTAMP.fullmatch(written) if isinstance(written, str) else None
    if parts is None:
        return _OLDEST
    zone = "+00:00" if parts[3] in "Zz" else parts[3]
    try:
        moment = datetime.fromisoformat(parts[1].upper() + zone)
        elapsed = moment - datetime(1, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        return _OLDEST
    return elapsed.days * 86_400 + elapsed.seconds, int((parts[2] or "0").ljust(9, "0"))
