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
from collections.abc import Iterator, Mapping
from itertools import dropwhile, islice, product
from operator import not_

from msgspec import Struct
from msgspec.structs import replace

from hub.api import INLINE_HEADERS, KEEP_UNCHANGED, METHODS, PathOptions, Request, normalise, raw_bytes, target

METHOD, PATH, HEADER, GUARDED = "method.nonstandard", "path.refused", "header.rejected", "path.guarded"
_OPTIONS = PathOptions(normalize=True, merge=False, slashes=KEEP_UNCHANGED)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_AUTHORITY = re.compile(rb"[A-Za-z0-9!$%&'()*+,.:;=@\[\]_~-]*")
_WIDE = re.compile(rb"[\xc0-\xff][\x80-\xbf]*")
_HOP_BY_HOP = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))
_UPGRADES = ("websocket",)
_WAYS = 256
_PLAIN = re.compile(rb"/|(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9._~!$&'()*+,=:@-]+)+/?")
_SINGLE = re.compile(rb"(?:[!-+\x2d-~](?:[ -+\x2d-~]*[!-+\x2d-~])?)?")
Lines = Mapping[str, tuple[bytes, ...]]


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
    return (first, _read(request, http2=True)) if _differs(request) else (first,)


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


def _differs(request: Request) -> bool:
    """Whether the versions of HTTP read a request differently; of what HTTP/2 alone refuses, only a second Host counts."""
    values = [value for _, value in request.headers]
    crumbs, hosts = ([value for name, value in request.headers if name.lower() == one] for one in ("cookie", "host"))
    odd = request.method not in METHODS or any(value != value.strip(" \t") for value in values)
    return odd or len(crumbs) > 1 or "" in crumbs or len(hosts) > 1 or not request.path.isascii()


def _read(request: Request, *, http2: bool) -> Reading:
    known = _TOKEN.fullmatch(request.method) is not None if http2 else request.method in METHODS
    lines, refused = _lines(request, http2=http2)
    raw = target(raw_bytes(request.path), http2=http2) if request.path.startswith("/") else None
    path = None if raw is None else normalise(raw, _OPTIONS)
    faults = {METHOD} if not known or request.method == "CONNECT" else set()
    faults |= ({PATH} if path is None else set()) | ({HEADER} if refused else set())
    headers = {name: found for name, values in lines.items() if (found := _joined(name, values, http2=http2))}
    sent = _http(request.method, raw or raw_bytes(request.path), headers)
    seen = sent if path is None else _http(request.method, path, headers)
    return Reading(sent, seen, tuple(sorted(faults)), _meant(lines) or None)


def _http(method: str, path: bytes, headers: Lines) -> Http:
    return Http(raw_bytes(method), path, path.partition(b"?")[0], headers)


def _joined(name: str, values: tuple[bytes, ...], *, http2: bool) -> tuple[bytes, ...]:
    """The values of a header as matchers see them; none where HTTP/2 hands on no cookie because all of it is empty."""
    if name in INLINE_HEADERS:
        return (b",".join(filter(None, values)),)
    if name != "cookie" or not http2:
        return values
    crumbs = list(dropwhile(not_, values))
    return (b"; ".join(crumbs),) if crumbs else ()


def _meant(lines: Lines) -> dict[str, tuple[bytes, ...]]:
    """The values of headers that a reader of single lines and of characters would see otherwise than Envoy."""
    found = {}
    for name, values in lines.items():
        characters = tuple(_WIDE.sub(b"x", value).strip(b" \t") for value in values)
        odd = len(values) > 1 or (name == "cookie" and not values[0])
        if characters != values or (name in (*INLINE_HEADERS, "cookie") and odd):
            found[name] = tuple(dict.fromkeys((*values, *characters)))
    return found


def _lines(request: Request, *, http2: bool) -> tuple[Lines, bool]:
    """The lines that proxies see (lower-case names), and whether one of them is refused."""
    lines: dict[str, tuple[bytes, ...]] = {}
    refused = False
    for name, text in request.headers:
        value = raw_bytes(text) if http2 else raw_bytes(text).strip(b" \t")
        refused |= _BAD_VALUE.search(value) is not None or _TOKEN.fullmatch(name) is None
        lines[name.lower()] = (*lines.get(name.lower(), ()), value)
    refused |= _bad_framing(lines) or _bad_upgrade(lines) or not all(map(_AUTHORITY.fullmatch, lines.get("host", ())))
    refused |= http2 and (not _HOP_BY_HOP.isdisjoint(lines) or len(lines.get("host", ())) > 1)
    # A caller can have lines removed by naming them in Connection (RFC 9110, 7.6.1): matchers do not see them either.
    for name in _tokens(lines, "connection"):
        lines.pop(name, None)
    return lines, refused


def _tokens(lines: Lines, name: str) -> list[str]:
    joined = b",".join(lines.get(name, ())).decode("latin-1")
    return [token.strip().lower() for token in joined.split(",")]


def _bad_framing(lines: Lines) -> bool:
    lengths, encodings = lines.get("content-length", ()), lines.get("transfer-encoding", ())
    if lengths and (len(lengths) > 1 or encodings or not lengths[0].isdigit()):
        return True
    return bool(encodings) and encodings != (b"chunked",)


def _bad_upgrade(lines: Lines) -> bool:
    wanted = lines.get("upgrade")
    if wanted is None or "upgrade" not in _tokens(lines, "connection"):
        return False
    return wanted[0].decode("latin-1").lower() not in _UPGRADES
