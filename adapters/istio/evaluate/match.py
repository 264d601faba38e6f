"""What policies and routes ask of a call: texts with one star, path templates, headers; compiled to predicates.

Everything is bytes: Envoy compares and runs RE2 byte by byte.
Source: https://istio.io/latest/docs/reference/config/security/authorization-policy/ and Envoy `HeaderMatcher`,
`uri_template`; the order in which stars are eaten, the alphabets of templates and the treatment of repeated, empty and
absent headers were observed on Istio 1.31 with Envoy 1.40.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import re2
from msgspec import Struct

from hub.api import UnmodelledError

MAX_PROGRAM = 32768
"""`re2.max_program_size.error_level` of an Istio sidecar: larger regexes are rejected."""

_MANAGED_NAMES = (
    "host connection content-length expect http2-settings keep-alive proxy-connection te transfer-encoding upgrade"
    " x-forwarded-client-cert x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-request-id"
)
_MANAGED = frozenset(_MANAGED_NAMES.split())
_SEGMENT = rb"[A-Za-z0-9!$%&'()*+,.:;=@_~-]"
_OPERATORS = {"{*}": _SEGMENT + rb"+", "{**}": _SEGMENT.replace(rb"-]", rb"/-]") + rb"*"}
_LITERAL = re.compile(r"[A-Za-z0-9._~%!$&'()+,;:@=-]+")


class Http(Struct, frozen=True, gc=False):
    """A request as filters and routes see it: `path` has the query, `plain` has not; header names are lower-case."""

    method: bytes
    path: bytes
    plain: bytes
    headers: Mapping[str, tuple[bytes, ...]]


NO_HTTP = Http(b"", b"", b"", {})


class Call(Struct, frozen=True, gc=False):
    """What a policy sees: the URI SAN of the caller's certificate (None: no mutual TLS), the port, the request.

    `results` are what RBAC filters with shadow rules found, by key. Of headers in `wild` such filters hold everything fulfilled: so
    what is refused because it can be read in two ways is told from what is denied anyway.
    """

    uri: bytes | None
    port: int
    http: Http = NO_HTTP
    wild: frozenset[str] = frozenset()
    results: Mapping[str, str] = {}


Test = Callable[[bytes], bool]
Predicate = Callable[[Call], bool]
Reader = Callable[[Http], tuple[bytes, ...]]


def one_of(values: Sequence[str], scheme: bytes = b"") -> Test:
    """Whether a text is one of these, each exact or with one star; `scheme` stands before all but suffixes."""
    tests = [_starred(value, scheme) for value in values if value.startswith("*") or value.endswith("*")]
    exact = frozenset(scheme + value.encode() for value in values if not value.startswith("*") and value[-1:] != "*")
    if not tests:
        return exact.__contains__
    return lambda text: text in exact or any(test(text) for test in tests)


def _starred(value: str, scheme: bytes) -> Test:
    """One star is eaten, the leading one first; what is left is literal."""
    if value == "*":
        return lambda _: True
    if value.startswith("*"):
        suffix = value[1:].encode()
        return lambda text: text.endswith(suffix)
    prefix = scheme + value[:-1].encode()
    return lambda text: text.startswith(prefix)


def path_in(values: Sequence[str], where: str) -> Test:
    """Whether a path is one of these texts or path templates."""
    templates = [_template(value, where) for value in values if _is_template(value)]
    plain = one_of([value for value in values if not _is_template(value)])
    if not templates:
        return plain
    return lambda path: plain(path) or any(test(path) for test in templates)


def _is_template(value: str) -> bool:
    return "{*}" in value or "{**}" in value


def _template(value: str, where: str) -> Test:
    """A path template; raises UnmodelledError for shapes that Istio's check rejects, or that terminate Envoy."""
    first, *segments = value.split("/")
    if segments[-1:] == [""] and len(segments) > 1:
        segments = segments[:-1]  # a slash at the end is part of the path
    after = segments[segments.index("{**}") + 1 :] if "{**}" in segments else []
    if first or not segments or any(one in _OPERATORS for one in after) or not all(map(_is_segment, segments)):
        raise UnmodelledError(f'{where}: the path template "{value}" is rejected by Istio, or terminates Envoy 1.40')
    pattern = b"/".join(_OPERATORS.get(one) or re.escape(one.encode()) for one in value.split("/"))
    compiled = re.compile(pattern)
    return lambda path: compiled.fullmatch(path) is not None


def _is_segment(text: str) -> bool:
    return text in _OPERATORS or _LITERAL.fullmatch(text) is not None


def header_values(name: str, where: str) -> Reader:
    """The values of a header, or of the pseudo headers `:path` (with its query) and `:method`."""
    lower = name.lower()
    if lower == ":method":
        return lambda http: (http.method,)
    if lower == ":path":
        return lambda http: (http.path,)
    if not lower or lower.startswith((":", "@", "x-envoy-")) or lower in _MANAGED:
        raise UnmodelledError(f'{where}: Envoy itself sets or removes "{name}", so its value is not modelled')
    return lambda http: http.headers.get(lower, ())


def regex(pattern: str, where: str) -> Test:
    """RE2 that must match the whole text. Raises UnmodelledError for a pattern that Envoy rejects."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    try:
        compiled = re2.compile(pattern.encode(), options)
    except re2.error as error:
        raise UnmodelledError(f'{where}: Envoy rejects the regex "{pattern[:80]}": {error}') from error
    if not pattern or compiled.programsize > MAX_PROGRAM:
        raise UnmodelledError(
            f"{where}: Envoy rejects a regex that is empty or has {compiled.programsize} instructions"
        )
    return lambda text: compiled.fullmatch(text) is not None
