"""Envoy's matchers of strings, headers and paths, compiled to predicates over one call.

Everything is bytes: Envoy runs RE2 in its Latin-1 mode, so `.` and classes match one byte of a UTF-8 header value.
Source: Envoy `StringMatcher`, `HeaderMatcher`, `PathMatcher` (type.matcher.v3, config.route.v3); the treatment of
repeated, absent and empty headers and of the regex encoding were observed on Envoy 1.40.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import re2
from msgspec import Struct

from adapters.vm import wire
from adapters.vm.evaluate.fields import Fields
from hub.api import UnmodelledError

MAX_PROGRAM = 32768
"""`re2.max_program_size.error_level` of our bootstrap: larger regexes are rejected."""

_MANAGED_NAMES = (
    "host connection keep-alive proxy-connection te transfer-encoding upgrade content-length x-forwarded-client-cert"
    " x-forwarded-proto x-request-id x-envoy-internal x-envoy-retry-on x-envoy-retry-grpc-on x-envoy-max-retries"
    " x-envoy-upstream-alt-stat-name x-envoy-upstream-rq-timeout-ms x-envoy-upstream-rq-per-try-timeout-ms"
    " x-envoy-expected-rq-timeout-ms x-envoy-force-trace x-envoy-ip-tags x-envoy-original-url"
    " x-envoy-hedge-on-per-try-timeout x-envoy-upstream-rq-timeout-alt-response x-envoy-retriable-status-codes"
    " x-envoy-retriable-header-names x-envoy-upstream-stream-duration-ms"
)
_MANAGED = frozenset(_MANAGED_NAMES.split())


class Connection(Struct, frozen=True):
    """An accepted connection: over TLS or not, the URI SAN of the peer's certificate, whether that was validated."""

    secure: bool
    uri: bytes | None
    validated: bool
    port: int


class Call(Struct, frozen=True):
    """What matchers see: a connection and, over HTTP, the request after Envoy's own reading of it.

    `path` is `:path` with its query. `free` names the matchers (`url_path`, `header`) whose negations are taken as
    fulfilled, `wild` the headers (and `:path`) whose tests are, whatever they ask: so what is refused because it can be read
    in two ways is told from what is denied anyway.
    """

    connection: Connection
    method: bytes = b""
    path: bytes = b""
    headers: Mapping[str, tuple[bytes, ...]] = {}
    free: frozenset[str] = frozenset()
    wild: frozenset[str] = frozenset()

    @property
    def plain_path(self) -> bytes:
        """The path without its query."""
        return self.path.partition(b"?")[0]


Test = Callable[[bytes], bool]
Predicate = Callable[[Call], bool]


def regex(message: wire.Message, where: str) -> Test:
    """A RegexMatcher: RE2 must match the whole text. Raises UnmodelledError for a pattern that Envoy rejects."""
    with Fields(message, where) as left:
        left.neutral("google_re2")
        text = left.take("regex", "")
    if not text:
        raise left.rejected("an empty regex")
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.log_errors = False
    try:
        compiled = re2.compile(text.encode(), options)
    except re2.error as error:
        raise left.rejected(f'regex "{text[:80]}": {error}') from error
    if compiled.programsize > MAX_PROGRAM:
        raise left.rejected(f"a regex of {compiled.programsize} instructions")
    return lambda value: compiled.fullmatch(value) is not None


def string(message: wire.Message, where: str) -> Test:
    """A StringMatcher."""
    with Fields(message, where) as left:
        fold = left.flag("ignore_case")
        kind, value = left.only()
        if kind == "safe_regex":
            return regex(value, where)
        return _text(kind, value, fold, left)


def _text(kind: str, value: str, fold: bool, left: Fields) -> Test:  # noqa: FBT001 - a vendor field, not a switch of ours
    wanted = value.lower().encode() if fold else value.encode()
    if not wanted and kind != "exact":
        raise left.rejected(f'an empty "{kind}"')
    tests: dict[str, Test] = {
        "exact": lambda text: text == wanted,
        "prefix": lambda text: text.startswith(wanted),
        "suffix": lambda text: text.endswith(wanted),
        "contains": lambda text: wanted in text,
    }
    if kind not in tests:
        raise UnmodelledError(f'{left.where}: the meaning of "{kind}" is not modelled')
    test = tests[kind]
    return (lambda text: test(text.lower())) if fold else test


def url_path(message: wire.Message, where: str) -> Predicate:
    """A PathMatcher: the path without its query."""
    with Fields(message, where) as left:
        _, value = left.only()
    return on_path(string(value, where))


def on_path(test: Test) -> Predicate:
    """A test of the path without its query."""
    return lambda call: ":path" in call.wild or test(call.plain_path)


def header(message: wire.Message, where: str) -> Predicate:
    """A HeaderMatcher: one value that matches is enough; an absent header matches no value test, inverted or not."""
    with Fields(message, where) as left:
        name = left.take("name", "").lower()
        invert, missing = left.flag("invert_match"), left.flag("treat_missing_header_as_empty")
        values = _reader(name, where)
        default = (b"",) if missing else ()
        present = left.take("present_match")
        test = None if present is not None else _value_test(left)
    if test is None:
        wanted = (present is not False) != invert
        return lambda call: bool(values(call) or default) == wanted
    chosen = test

    def holds(call: Call) -> bool:
        found = values(call) or default
        return bool(found) and (name in call.wild or any(map(chosen, found)) != invert)

    return holds


def _value_test(left: Fields) -> Test | None:
    """The test of a header's values; None if the matcher has no kind, which tests presence."""
    for kind in ("exact", "prefix", "suffix", "contains"):
        value = left.take(f"{kind}_match")
        if value is not None:
            return _text(kind, value, False, left)
    legacy = left.take("safe_regex_match")
    if legacy is not None:
        return regex(legacy, left.where)
    modern = left.take("string_match")
    return None if modern is None else string(modern, left.where)


def _reader(name: str, where: str) -> Callable[[Call], tuple[bytes, ...]]:
    if name == ":method":
        return lambda call: (call.method,)
    if name == ":path":
        return lambda call: (call.path,)
    if not name or name.startswith(":") or name in _MANAGED:
        raise UnmodelledError(
            f'{where}: Envoy itself sets or removes the header "{name}", so its value is not modelled'
        )
    return lambda call: call.headers.get(name, ())
