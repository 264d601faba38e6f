"""A request as Istio's sidecars read it: what they refuse, and what policies, routes and the application see.

Path normalisation is Istio's default, BASE (https://istio.io/latest/docs/ops/best-practices/security/): dot segments
and needless escapes are resolved, slashes are neither merged nor unescaped. A fragment is cut off. Observed on
Istio 1.31 with Envoy 1.40. HTTP/1.1 and HTTP/2 are read apart where they differ: HTTP/2 carries bytes beyond ASCII in paths
(which are escaped), methods that nobody registered, and outer blanks of values, which HTTP/1.1 cuts off; it joins cookies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import dropwhile, islice, product
from operator import not_

from msgspec import Struct
from msgspec.structs import replace

from adapters.istio.evaluate.match import Http
from hub.api import INLINE_HEADERS, KEEP_UNCHANGED, METHODS, PathOptions, Request, normalise, raw_bytes, target

METHOD, PATH, HEADER = "method.nonstandard", "path.refused", "header.rejected"
_BASE = PathOptions(normalize=True, merge=False, slashes=KEEP_UNCHANGED)
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_AUTHORITY = re.compile(rb"[A-Za-z0-9!$%&'()*+,.:;=@\[\]_~-]*")
_WIDE = re.compile(rb"[\xc0-\xff][\x80-\xbf]*")
_HOP_BY_HOP = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))
_UPGRADES = ("websocket",)
_WAYS = 256
Lines = Mapping[str, tuple[bytes, ...]]


class Reading(Struct, frozen=True):
    """What a sidecar makes of a request: the request, the Host header (None: the caller's own), and what it refuses.

    `meant` is the request as its lines were sent, one byte per character, where Envoy joins them or reads bytes; else None.
    `wild` are the headers of which a filter cannot tell lines, bytes and blanks apart.
    """

    http: Http
    host: bytes | None
    faults: tuple[str, ...]
    meant: Http | None = None
    wild: frozenset[str] = frozenset()

    def again(self) -> Reading:
        """What the next sidecar on the way makes of it: the path is normalised once more."""
        path = None if self.faults else normalise(self.http.path, _BASE)
        if path is None or path == self.http.path:
            return self
        meant = None if self.meant is None else _with_path(self.meant, path)
        return replace(self, http=_with_path(self.http, path), meant=meant)

    def line_by_line(self) -> Iterator[Http]:
        """`meant`, and the same with one line of each header, in every way (the first 256): routes may ask about all lines at once."""
        if self.meant is None:
            return
        yield self.meant
        names = sorted(self.meant.headers)
        for chosen in islice(product(*(self.meant.headers[name] for name in names)), _WAYS):
            yield replace(self.meant, headers={name: (value,) for name, value in zip(names, chosen, strict=True)})


def differs(request: Request) -> bool:
    """Whether the versions of HTTP read a request differently; of what HTTP/2 alone refuses, only a second Host counts."""
    values = [value for _, value in request.headers]
    crumbs, hosts = ([value for name, value in request.headers if name.lower() == one] for one in ("cookie", "host"))
    odd = request.method not in METHODS or any(value != value.strip(" \t") for value in values)
    return odd or len(crumbs) > 1 or "" in crumbs or len(hosts) > 1 or not request.path.isascii()


def read(request: Request, *, http2: bool = False) -> Reading:
    """The reading of the first sidecar."""
    known = _TOKEN.fullmatch(request.method) is not None if http2 else request.method in METHODS
    faults = set() if known and request.method != "CONNECT" else {METHOD}
    lines, refused = _headers(request, http2=http2)
    path = _path(request.path, http2=http2)
    if path is None:
        faults.add(PATH)
    if refused:
        faults.add(HEADER)
    seen = {name: found for name, values in lines.items() if (found := _joined(name, values, http2=http2))}
    plain = Http(raw_bytes(request.method), b"", b"", seen)
    http = _with_path(plain, path or raw_bytes(request.path))
    host = b",".join(lines["host"]) if "host" in lines else None
    meant = _meant(lines)
    wild = frozenset(meant).union(name for name, values in lines.items() if any(b"," in value for value in values))
    as_sent = replace(http, headers={**seen, **meant}) if meant else None
    return Reading(http, host, tuple(sorted(faults)), as_sent, wild)


def _joined(name: str, values: tuple[bytes, ...], *, http2: bool) -> tuple[bytes, ...]:
    """The values of a header as filters see them; none where HTTP/2 hands on no cookie because all of it is empty."""
    if name in INLINE_HEADERS:
        return (b",".join(filter(None, values)),)
    if name != "cookie" or not http2:
        return values
    crumbs = list(dropwhile(not_, values))
    return (b"; ".join(crumbs),) if crumbs else ()


def _with_path(http: Http, path: bytes) -> Http:
    return replace(http, path=path, plain=path.partition(b"?")[0])


def _path(text: str, *, http2: bool) -> bytes | None:
    """The normalised path with its query; None if Envoy answers the request itself. A path, not any request target."""
    raw = target(raw_bytes(text.partition("#")[0]), http2=http2) if text.startswith("/") else None
    return None if raw is None else normalise(raw, _BASE)


def _meant(lines: Lines) -> dict[str, tuple[bytes, ...]]:
    """The values of headers that a reader of single lines and of characters would see otherwise than Envoy."""
    found = {}
    for name, values in lines.items():
        characters = tuple(_WIDE.sub(b"x", value).strip(b" \t") for value in values)
        odd = len(values) > 1 or (name == "cookie" and not values[0])
        if characters != values or (name in (*INLINE_HEADERS, "cookie") and odd):
            found[name] = tuple(dict.fromkeys((*values, *characters)))
    return found


def _headers(request: Request, *, http2: bool) -> tuple[Lines, bool]:
    """The lines that filters see (lower-case names), and whether Envoy refuses one of them."""
    lines: dict[str, tuple[bytes, ...]] = {}
    refused = False
    for name, text in request.headers:
        value = raw_bytes(text) if http2 else raw_bytes(text).strip(b" \t")
        refused |= _BAD_VALUE.search(value) is not None or _TOKEN.fullmatch(name) is None
        lines[name.lower()] = (*lines.get(name.lower(), ()), value)
    refused |= _bad_framing(lines) or _bad_upgrade(lines) or not all(map(_AUTHORITY.fullmatch, lines.get("host", ())))
    refused |= http2 and (not _HOP_BY_HOP.isdisjoint(lines) or len(lines.get("host", ())) > 1)
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
