"""HTTPRouteGroup, TCPRoute and UDPRoute, v1alpha1 to v1alpha4.

Sources: traffic-specs/v1alpha1 to v1alpha4. What a reader must know of the versions:

| version  | HTTPRouteGroup matches | TCPRoute             | UDPRoute |
|----------|------------------------|----------------------|----------|
| v1alpha1 | top level              | no fields            | -        |
| v1alpha2 | top level              | no fields            | -        |
| v1alpha3 | `spec`                 | `spec: {}`           | -        |
| v1alpha4 | `spec`                 | `spec.matches.ports` | the same |
"""

from __future__ import annotations

from collections.abc import Mapping

from hub.semantics import reader
from hub.semantics.names import is_header_name
from hub.semantics.reader import Invalid
from hub.semantics.types import L4Route, Manifest, Match

_ENVELOPE = frozenset({"apiVersion", "kind", "metadata", "status"})
_METHODS = frozenset({"*", "GET", "HEAD", "PUT", "POST", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_FLAT = frozenset({"v1alpha1", "v1alpha2"})


def decode_route_group(found: Manifest) -> tuple[Match, ...]:
    """Decode the matches of an HTTPRouteGroup, as written. Raises `Invalid`."""
    if found.version in _FLAT:
        holder = reader.fields(found.body, "object", _ENVELOPE | {"matches"})
    else:
        body = reader.fields(found.body, "object", _ENVELOPE | {"spec"})
        holder = reader.fields(body.get("spec"), "spec", {"matches"})
    return tuple(_match(value) for value in reader.items(holder.get("matches"), "matches"))


def _match(value: object) -> Match:
    written = reader.fields(value, "match", {"name", "pathRegex", "methods", "headers"})
    name = reader.required_text(written, "name")
    if not name:
        raise Invalid("a match has an empty name")
    return Match(
        name=name,
        path=reader.optional_text(written, "pathRegex"),
        methods=_methods(written),
        headers=_headers(written["headers"]) if "headers" in written else (),
    )


def _methods(written: Mapping[str, object]) -> frozenset[str]:
    methods = frozenset(reader.texts(written.get("methods", []), "methods"))
    if not methods <= _METHODS:
        raise Invalid("methods has an entry that is not a method")
    return methods


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    """Read both shapes: a mapping (documents since 2021) and a list of one-key mappings (before, and the SDK)."""
    singles = value if isinstance(value, list) else [value]
    pairs: list[tuple[str, str]] = []
    for single in singles:
        header = reader.pairs(single, "headers")
        if isinstance(value, list) and len(header) != 1:
            raise Invalid("an item of headers does not have exactly one key")
        pairs += header
    if not all(is_header_name(name) for name, _ in pairs):
        raise Invalid("headers has a name that is not a header name")
    return tuple(sorted((name.lower(), pattern) for name, pattern in pairs))


def decode_port_route(found: Manifest) -> L4Route:
    """Decode a TCPRoute or UDPRoute. Raises `Invalid`."""
    if found.version in _FLAT:
        reader.fields(found.body, "object", _ENVELOPE)
        return L4Route(None)
    body = reader.fields(found.body, "object", _ENVELOPE | {"spec"})
    known = {"matches"} if found.version == "v1alpha4" else set[str]()
    spec = reader.fields(body.get("spec", {}), "spec", known)
    matches = reader.fields(spec.get("matches", {}), "matches", {"ports"})
    ports = reader.items(matches.get("ports", []), "ports")
    return L4Route(frozenset(reader.port_number(port, "ports") for port in ports) or None)
