"""A request as the Envoys of Consul read it: what they refuse, what routes, intentions and the application see.

The proxy of a client routes by the path as it was sent. The proxy of a destination resolves dot segments and needless escapes
(`normalize_path`, the default since Consul 1.20.1), and neither merges nor unescapes slashes; intentions judge what it makes of
the path, and the application gets that. HTTP/1.1 and HTTP/2 are read apart where they differ: HTTP/2 carries bytes beyond ASCII in
paths (which are escaped), methods that nobody registered, and outer blanks of values, which HTTP/1.1 cuts off; it joins cookies.
Source: https://developer.hashicorp.com/consul/docs/reference/config-entry/mesh (RequestNormalization); observed on Consul 1.22
with Envoy 1.40.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, product

from msgspec import Struct
from msgspec.structs import replace

from hub.api import (
    KEEP_UNCHANGED,
    Lines,
    PathOptions,
    Request,
    differs_by_version,
    header_lines,
    joined_values,
    lines_read_otherwise,
    normalise,
    raw_bytes,
    takes_method,
    target,
)

METHOD, PATH, HEADER, GUARDED = "method.nonstandard", "path.refused", "header.rejected", "path.guarded"
_OPTIONS = PathOptions(normalize=True, merge=False, slashes=KEEP_UNCHANGED)
_WAYS = 256
_PLAIN = re.compile(rb"/|(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9._~!$&'()*+,=:@-]+)+/?")
_SINGLE = re.compile(rb"(?:[!-+\x2d-~](?:[ -+\x2d-~]*[!-+\x2d-~])?)?")


class Http(Struct, frozen=True, gc=False):
    """A request as matchers see it: `path` has the query, `plain` has not; header names are lower-case."""

    method: bytes
    path: bytes
    plain: bytes
    headers: Lines


NO_HTTP = Http(b"", b"", b"", {})


class Reading(Struct, frozen=True):
    """What proxies make of a request: as the client's routes it, as the destination's judges it, and what they refuse.

    `meant` are the header lines as they were sent, one byte per character, where Envoy joins them or reads bytes; else None.
    """

    sent: Http
    seen: Http
    faults: tuple[str, ...]
    meant: Lines | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the path reads one way only: no empty, dot or escaped parts, parameters, or bytes beyond ASCII."""
        return self.sent.plain == self.seen.plain and _PLAIN.fullmatch(self.seen.plain) is not None

    @property
    def is_single(self) -> bool:
        """Whether every value reads one way only: of one line, of ASCII, without a comma or a blank outside."""
        values = [value for some in self.seen.headers.values() for value in some]
        return self.meant is None and all(_SINGLE.fullmatch(value) is not None for value in values)

    def meant_as(self, http: Http) -> Http:
        """The request with its lines as they were sent."""
        return http if self.meant is None else replace(http, headers={**http.headers, **self.meant})

    def line_by_line(self) -> Iterator[Http]:
        """What is routed with `meant`, and with one line of each header, in every way (the first 256)."""
        if self.meant is None:
            return
        yield self.meant_as(self.sent)
        names = sorted(self.meant)
        for chosen in islice(product(*(self.meant[name] for name in names)), _WAYS):
            single = {name: (value,) for name, value in zip(names, chosen, strict=True)}
            yield replace(self.sent, headers={**self.sent.headers, **single})


def readings(request: Request) -> tuple[Reading, ...]:
    """The request over HTTP/1.1, and over HTTP/2 where that reads it differently."""
    first = _read(request, http2=False)
    return (first, _read(request, http2=True)) if differs_by_version(request) else (first,)


def rewritten(reading: Reading, prefix: str) -> Reading:
    """The request after the client's proxy has put one slash in the place of this beginning and a slash behind it ("": as it was)."""
    begin, plain = raw_bytes(prefix), reading.sent.plain
    if not begin or reading.faults or not plain.startswith(begin):
        return reading
    path = b"/" + plain[len(begin) :].removeprefix(b"/")
    if path == plain:
        return reading
    whole = path + reading.sent.path[len(plain) :]
    seen = normalise(whole, _OPTIONS)
    sent = replace(reading.sent, path=whole, plain=path)
    if seen is None:
        return replace(reading, sent=sent, seen=sent, faults=(PATH,))
    return replace(reading, sent=sent, seen=replace(reading.seen, path=seen, plain=seen.partition(b"?")[0]))


def _read(request: Request, *, http2: bool) -> Reading:
    lines, refused = header_lines(request, http2=http2)
    raw = target(raw_bytes(request.path), http2=http2) if request.path.startswith("/") else None
    path = None if raw is None else normalise(raw, _OPTIONS)
    faults = set() if takes_method(request.method, http2=http2) else {METHOD}
    faults |= ({PATH} if path is None else set()) | ({HEADER} if refused else set())
    headers = {name: found for name, values in lines.items() if (found := joined_values(name, values, http2=http2))}
    sent = _http(request.method, raw or raw_bytes(request.path), headers)
    seen = sent if path is None else _http(request.method, path, headers)
    return Reading(sent, seen, tuple(sorted(faults)), lines_read_otherwise(lines) or None)


def _http(method: str, path: bytes, headers: Lines) -> Http:
    return Http(raw_bytes(method), path, path.partition(b"?")[0], headers)
