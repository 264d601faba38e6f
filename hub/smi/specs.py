"""specs.smi-spec.io: HTTPRouteGroup and TCPRoute v1alpha1 to v1alpha4, UDPRoute v1alpha4.

Source: SMI specification, apis/traffic-specs/v1alpha1 to v1alpha4; the two wire forms of `headers` are those of
release v0.6.0 and smi-sdk-go (list of single-key maps) and of the main branch (map): both are read in every version.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping

from msgspec import Struct

from hub import regex
from hub.model import HttpMatch
from hub.smi.fields import NOTHING, FieldReader, join, level, show
from hub.smi.kinds import Body, Kind, VersionLayout, flat, inner, nested, read_body
from hub.smi.types import HTTPRouteGroup, NamedMatch, PortRoute

GROUP = "specs.smi-spec.io"
METHODS = ("*", "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE")
"""Method tokens that SMI knows (smi-sdk-go, crds/httproutegroup.yaml); upper case only, `*` means every method."""
_METHODS = frozenset(METHODS)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2
_MATCH = level("name", "pathRegex", "methods", "headers")
_VOID = "this match never matches"

# --------------------------------------------------------------------------- HTTPRouteGroup

_MATCHES = level("matches")
GROUPS: Mapping[str, VersionLayout] = {
    "v1alpha1": flat(_MATCHES),
    "v1alpha2": flat(_MATCHES),
    "v1alpha3": nested(_MATCHES),
    "v1alpha4": nested(_MATCHES),
}


class _Found(Struct, frozen=True):
    """One entry of `matches` and where it stood."""

    path: str
    name: str
    match: HttpMatch | None


def decode_group(reader: FieldReader, value: Body, version: str) -> HTTPRouteGroup:
    """Read an HTTPRouteGroup; a void match stays in it, so that a reference to it is no dangling one."""
    body, path = read_body(reader, value, GROUPS[version])
    where = join(path, "matches")
    if reader.lacks(body, "matches"):
        reader.missing(path, "matches", "a list of matches")
    items = reader.items(body.get("matches", []), where)
    if not items and not reader.invalid:
        reader.warn("group.empty", where, "the group has no match, so it matches nothing", "add a match")
    found = [_match(reader, item, f"{where}[{index}]") for index, item in enumerate(items)]
    return HTTPRouteGroup(reader.ref, reader.origin, _distinct(reader, found))


def _distinct(reader: FieldReader, found: list[_Found]) -> tuple[NamedMatch, ...]:
    """Each name once; a name used twice is void, since SMI calls it the primary key."""
    counts = Counter(entry.name for entry in found)
    matches: dict[str, HttpMatch | None] = {}
    for entry in found:
        if counts[entry.name] > 1 and entry.name:
            message = f"{counts[entry.name]} matches are named {show(entry.name)}; all of them are ignored"
            reader.report("match.duplicate", f"{entry.path}.name", message, "give each match its own name")
            matches[entry.name] = None
        else:
            matches[entry.name] = entry.match
    return tuple(NamedMatch(name, match) for name, match in matches.items())


def _match(reader: FieldReader, value: object, path: str) -> _Found:
    body = reader.mapping(value, path, _MATCH)
    name = reader.text(body, "name", path)
    pattern = reader.optional_text(body, "pathRegex", path) if "pathRegex" in body else None
    methods = _methods(reader, body, path)
    headers = tuple(_headers(reader, body, path))
    if pattern is None and methods == () and not headers:
        if body is not NOTHING and body.get("methods", []) == [] and body.get("headers", {}) in ({}, []):
            remedy = 'set "pathRegex", "methods" or "headers"; to match everything, set pathRegex to ".*"'
            reader.report("match.no-condition", path, f"no condition, so {_VOID}", remedy)
        return _Found(path, name, None)
    usable = [
        pattern is None or _usable_path(reader, body["pathRegex"], path),
        *(_usable(reader, held, where) for _, held, where in headers),
    ]
    any_method = not methods or "*" in methods
    match = HttpMatch(
        path=pattern,
        methods=None if any_method else methods,
        headers=tuple(sorted((header, held) for header, held, _ in headers)),
    )
    return _Found(path, name, match if all(usable) else None)


def _methods(reader: FieldReader, body: Body, path: str) -> tuple[str, ...]:
    """The methods, sorted, each once; () if absent or empty."""
    where = f"{path}.methods"
    methods = reader.texts(body.get("methods", []), where)
    for index, method in enumerate(methods):
        if method not in _METHODS:
            remedy = f'use {", ".join(METHODS[1:-1])} or {METHODS[-1]} in upper case, or "*" for all'
            reader.refuse(
                "field.value", f"{where}[{index}]", f"{show(method)} is not an HTTP method that SMI supports", remedy
            )
    return tuple(sorted(set(methods)))


def _headers(reader: FieldReader, body: Body, path: str) -> Iterator[tuple[str, str, str]]:
    """(lower-case name, pattern, path) of each header condition, from either wire form."""
    where = f"{path}.headers"
    raw = body.get("headers", {})
    if not isinstance(raw, list):
        yield from _header_pairs(reader, raw, where)
        return
    for index, item in enumerate(raw):
        entry = reader.mapping(item, f"{where}[{index}]")
        if isinstance(item, dict) and len(entry) != 1:
            message = f"{len(entry)} headers in one entry of a list"
            reader.refuse("field.value", f"{where}[{index}]", message, "write one header per entry, or use a mapping")
        yield from _header_pairs(reader, entry, f"{where}[{index}]")


def _header_pairs(reader: FieldReader, value: object, path: str) -> Iterator[tuple[str, str, str]]:
    for name, pattern in reader.pairs(value, path):
        if not _TOKEN.fullmatch(name):
            remedy = "use a header name such as x-user; pseudo-headers cannot be matched"
            reader.refuse("field.value", join(path, name), f"{show(name)} is not a valid HTTP header name", remedy)
        yield name.lower(), pattern, join(path, name)


def _usable_path(reader: FieldReader, pattern: object, path: str) -> bool:
    if not isinstance(pattern, str):
        return False  # what is wrong with its type has been said
    if pattern == "":
        remedy = 'use ".*" for every path, or remove "pathRegex"'
        reader.report("regex.empty", f"{path}.pathRegex", f"an empty pathRegex matches no path, so {_VOID}", remedy)
        return False
    return _usable(reader, pattern, f"{path}.pathRegex")


_STARS = re.compile(r"(?:^|(?<=/))\*+|\*{2,}")  # stars of a glob


def _usable(reader: FieldReader, pattern: str, path: str) -> bool:
    """Whether RE2 takes the pattern; if not, only its match is void."""
    reason = regex.error(pattern)
    if reason is None:
        return True
    code = "regex.too-large" if len(pattern) > regex.MAX_PATTERN else "regex.invalid"
    if code == "regex.too-large":
        reader.report(code, path, f"{show(pattern)} is {reason}; {_VOID}", "shorten it, or use several matches")
        return False
    remedy = (
        "use RE2 syntax (https://github.com/google/re2/wiki/Syntax), which has no look-around and no backreferences"
    )
    if _STARS.search(pattern):
        remedy = f'use "{_STARS.sub(".*", pattern)}"; this is an RE2 pattern, not a glob'
    if "too large" in reason:
        remedy = "shorten it, or use several matches"
    if pattern in {"*", "**"}:
        remedy = f'use ".*" for every {"path" if path.endswith(".pathRegex") else "value"}'
    reader.report(code, path, f"{show(pattern)} is not a valid RE2 pattern: {reason}; {_VOID}", remedy)
    return False


def guess_group(value: Body) -> str:
    """The version whose shape an HTTPRouteGroup without apiVersion has."""
    return "v1alpha2" if "matches" in value else "v1alpha4"


# --------------------------------------------------------------------------- TCPRoute, UDPRoute

_PORTS_HINT = 'use apiVersion "specs.smi-spec.io/v1alpha4" to limit ports'
_NO_FIELDS = level(matches=_PORTS_HINT, ports=_PORTS_HINT, port=_PORTS_HINT)
_PORT_MATCHES = level("matches", ports='move "ports" under "spec.matches"')
_PORTS = level("ports")
PORT_ROUTES: Mapping[str, VersionLayout] = {
    "v1alpha1": flat(_NO_FIELDS),
    "v1alpha2": flat(_NO_FIELDS),
    "v1alpha3": nested(_NO_FIELDS),
    "v1alpha4": nested(_PORT_MATCHES),
}


def decode_port_route(reader: FieldReader, value: Body, version: str) -> PortRoute:
    """Read a TCPRoute or UDPRoute; no `matches`, no `ports` or an empty list mean every port."""
    shape = PORT_ROUTES[version]
    if shape.nested and "spec" not in value:
        reader.mapping(value, "", shape.top)
        return PortRoute(reader.ref, reader.origin, None)
    body, path = read_body(reader, value, shape)
    where = join(path, "matches")
    matches = reader.mapping(body["matches"], where, _PORTS) if shape.nested and "matches" in body else {}
    numbers = reader.items(matches.get("ports", []), f"{where}.ports")
    ports = {reader.port(number, f"{where}.ports[{index}]") for index, number in enumerate(numbers)}
    # A bad port has refused the object by now, so an empty set here was written empty and means every port.
    return PortRoute(reader.ref, reader.origin, tuple(sorted(ports)) or None)


def guess_tcp_route(value: Body) -> str:
    """The version whose shape a TCPRoute without apiVersion has."""
    return "v1alpha4" if inner(value, "spec", "matches") is not None else "v1alpha3"


KINDS: Mapping[tuple[str, str], Kind] = {
    (GROUP, "HTTPRouteGroup"): Kind(tuple(GROUPS), decode_group, guess_group),
    (GROUP, "TCPRoute"): Kind(tuple(PORT_ROUTES), decode_port_route, guess_tcp_route),
    (GROUP, "UDPRoute"): Kind(("v1alpha4",), decode_port_route, lambda _: "v1alpha4"),
}
