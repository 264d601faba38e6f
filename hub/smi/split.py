"""split.smi-spec.io: TrafficSplit v1alpha1 to v1alpha4.

Source: SMI specification, apis/traffic-split/v1alpha1 to v1alpha4.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from fractions import Fraction

from msgspec import Struct

from hub.smi.fields import FieldReader, level, show
from hub.smi.kinds import Body, Kind, VersionLayout, inner, nested, read_body
from hub.smi.specs import GROUP as SPECS
from hub.smi.types import SplitBackend, TrafficSplit
from hub.smi.weight import quantity, whole

GROUP = "split.smi-spec.io"
_RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:Z|[+-][0-9]{2}:[0-9]{2})")
_MATCHES_HINT = 'use apiVersion "split.smi-spec.io/v1alpha4"; this version has no conditions'
_PLAIN = nested(level("service", "backends", matches=_MATCHES_HINT))
_CONDITIONAL = nested(level("service", "backends", "matches"))
_BACKEND = level(
    "service", "weight", matches='move the condition under "spec.matches"; it applies to the whole TrafficSplit'
)
_MATCH = level("kind", "name", "apiGroup")
_QUANTITY = 'a quantity of at least 0, such as 90, "500m" or "1k"'
_WHOLE = "an integer of at least 0, such as 90"


class SplitVersion(Struct, frozen=True):
    """One row of the version table of TrafficSplit."""

    shape: VersionLayout
    weight: Callable[[object], Fraction | None]
    wanted: str  # what a weight looks like, for the remedy


VERSIONS: Mapping[str, SplitVersion] = {
    "v1alpha1": SplitVersion(_PLAIN, quantity, _QUANTITY),
    "v1alpha2": SplitVersion(_PLAIN, whole, _WHOLE),
    "v1alpha3": SplitVersion(_CONDITIONAL, whole, _WHOLE),
    "v1alpha4": SplitVersion(_CONDITIONAL, whole, _WHOLE),
}


def decode_split(reader: FieldReader, value: Body, version: str) -> TrafficSplit:
    """Read a TrafficSplit; names of Services are left as written."""
    row = VERSIONS[version]
    body, path = read_body(reader, value, row.shape)
    where = f"{path}.backends"
    if body.get("backends") == [] or reader.lacks(body, "backends"):
        remedy = "list at least one backend, or delete the TrafficSplit"
        reader.refuse("split.no-backends", where, '"backends" is missing or empty', remedy)
    entries = reader.entries(body, "backends", path, _BACKEND)
    return TrafficSplit(
        ref=reader.ref,
        origin=reader.origin,
        service=reader.text(body, "service", path),
        backends=tuple(_backend(reader, entry, at, row) for at, entry in entries),
        matches=_matches(reader, body, path) if row.shape is _CONDITIONAL else None,
        created=_created(reader, value),
    )


def _backend(reader: FieldReader, body: Body, path: str, row: SplitVersion) -> SplitBackend:
    service = reader.text(body, "service", path)
    if "weight" not in body:
        reader.missing(path, "weight", row.wanted)
        return SplitBackend(service, Fraction(0))
    weight = row.weight(body["weight"])
    # Refused as a whole: a weight read as 0 would send the share of this backend to the others without a word.
    if weight is None or weight < 0:
        message = f"{show(body['weight'])} is not a valid weight in this version"
        reader.refuse("split.weight", f"{path}.weight", message, f"use {row.wanted}")
        return SplitBackend(service, Fraction(0))
    return SplitBackend(service, weight)


def _matches(reader: FieldReader, body: Body, path: str) -> tuple[tuple[str, str], ...] | None:
    """The condition's entries as (kind, name), for hub.intent to resolve; None if the split has no condition."""
    return (
        tuple(_match(reader, *entry) for entry in reader.entries(body, "matches", path, _MATCH))
        if "matches" in body
        else None
    )


def _match(reader: FieldReader, path: str, body: Body) -> tuple[str, str]:
    """Kind and name; kind "" if the entry names another API group, where no HTTPRouteGroup of SMI can be."""
    kind, name = reader.text(body, "kind", path), reader.text(body, "name", path)
    group = reader.optional_text(body, "apiGroup", path)
    if group in {"", SPECS}:
        return kind, name
    message = f"{show(group)} has no HTTPRouteGroup, so this condition never matches"
    reader.report("split.match-group", f"{path}.apiGroup", message, f'use "{SPECS}", or remove "apiGroup"')
    return "", name


def _created(reader: FieldReader, value: Body) -> float:
    """UTC seconds of metadata.creationTimestamp; 0 (oldest) if absent, null or unreadable."""
    raw = inner(value, "metadata", "creationTimestamp")
    if raw is None:
        return 0.0
    if isinstance(raw, str) and _RFC3339.fullmatch(raw):
        try:
            # Never before 0, which is the age of what has no date: nobody gets in front of it by a date in the past.
            return max(0.0, datetime.fromisoformat(raw).timestamp())
        except (ValueError, OverflowError):
            pass
    reader.warn(
        "split.created",
        "metadata.creationTimestamp",
        f"{show(raw)} is not an RFC 3339 time, so this TrafficSplit counts as the oldest",
        'use a time such as "2024-01-31T12:00:00Z", or remove the field',
    )
    return 0.0


def guess_split(value: Body) -> str:
    """The version whose shape a TrafficSplit without apiVersion has."""
    backends = inner(value, "spec", "backends")
    if isinstance(backends, list) and any(isinstance(inner(backend, "weight"), str) for backend in backends):
        return "v1alpha1"
    spec = inner(value, "spec")
    return "v1alpha4" if isinstance(spec, dict) and "matches" in spec else "v1alpha2"


KINDS: Mapping[tuple[str, str], Kind] = {(GROUP, "TrafficSplit"): Kind(tuple(VERSIONS), decode_split, guess_split)}
