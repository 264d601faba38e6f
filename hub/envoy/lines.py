"""The header lines of a request as Envoy reads them, for evaluators of meshes whose sidecars are Envoys. Pure. Observed on Envoy 1.40.

HTTP/1.1 and HTTP/2 are read apart where they differ: HTTP/2 carries methods that nobody registered, and outer blanks of values, which
HTTP/1.1 cuts off; it joins cookies, and refuses headers of a connection and a second Host. Values are bytes.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from itertools import dropwhile
from operator import not_

from hub.envoy.headers import INLINE_HEADERS
from hub.envoy.paths import METHODS
from hub.model import Request, raw_bytes

Lines = Mapping[str, tuple[bytes, ...]]
"""By lower-case name, the values of all its lines."""

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_AUTHORITY = re.compile(rb"[A-Za-z0-9!$%&'()*+,.:;=@\[\]_~-]*")
_WIDE = re.compile(rb"[\xc0-\xff][\x80-\xbf]*")
_HOP_BY_HOP = frozenset(("connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"))
WEBSOCKET = frozenset(("websocket",))


def differs_by_version(request: Request) -> bool:
    """Whether the versions of HTTP read a request differently; of what HTTP/2 alone refuses, only a second Host counts."""
    values = [value for _, value in request.headers]
    crumbs, hosts = ([value for name, value in request.headers if name.lower() == one] for one in ("cookie", "host"))
    odd = request.method not in METHODS or any(value != value.strip(" \t") for value in values)
    return odd or len(crumbs) > 1 or "" in crumbs or len(hosts) > 1 or not request.path.isascii()


def takes_method(method: str, *, http2: bool) -> bool:
    """Whether a method gets past the codec, and names a path (CONNECT has none)."""
    return (_TOKEN.fullmatch(method) is not None if http2 else method in METHODS) and method != "CONNECT"


def header_lines(request: Request, *, http2: bool, upgrades: Collection[str] = WEBSOCKET) -> tuple[Lines, bool]:
    """The lines that filters see, and whether Envoy refuses one of them; of upgrades it takes these alone."""
    lines: dict[str, tuple[bytes, ...]] = {}
    refused = False
    for name, text in request.headers:
        value = raw_bytes(text) if http2 else raw_bytes(text).strip(b" \t")
        refused |= _BAD_VALUE.search(value) is not None or _TOKEN.fullmatch(name) is None
        lines[name.lower()] = (*lines.get(name.lower(), ()), value)
    refused |= (
        _bad_framing(lines)
        or _bad_upgrade(lines, upgrades)
        or not all(map(_AUTHORITY.fullmatch, lines.get("host", ())))
    )
    refused |= http2 and (not _HOP_BY_HOP.isdisjoint(lines) or len(lines.get("host", ())) > 1)
    # A caller can have lines removed by naming them in Connection (RFC 9110, 7.6.1): filters do not see them either.
    for name in _tokens(lines, "connection"):
        lines.pop(name, None)
    return lines, refused


def joined_values(name: str, values: tuple[bytes, ...], *, http2: bool) -> tuple[bytes, ...]:
    """The values of a header as filters see them; none where HTTP/2 hands on no cookie because all of it is empty."""
    if name in INLINE_HEADERS:
        return (b",".join(filter(None, values)),)
    if name != "cookie" or not http2:
        return values
    crumbs = list(dropwhile(not_, values))
    return (b"; ".join(crumbs),) if crumbs else ()


def lines_read_otherwise(lines: Lines) -> dict[str, tuple[bytes, ...]]:
    """The values of headers that a reader of single lines and of characters would see otherwise than Envoy."""
    found = {}
    for name, values in lines.items():
        characters = tuple(_WIDE.sub(b"x", value).strip(b" \t") for value in values)
        odd = len(values) > 1 or (name == "cookie" and not values[0])
        if characters != values or (name in (*INLINE_HEADERS, "cookie") and odd):
            found[name] = tuple(dict.fromkeys((*values, *characters)))
    return found


def _tokens(lines: Lines, name: str) -> list[str]:
    joined = b",".join(lines.get(name, ())).decode("latin-1")
    return [token.strip().lower() for token in joined.split(",")]


def _bad_framing(lines: Lines) -> bool:
    lengths, encodings = lines.get("content-length", ()), lines.get("transfer-encoding", ())
    if lengths and (len(lengths) > 1 or encodings or not lengths[0].isdigit()):
        return True
    return bool(encodings) and encodings != (b"chunked",)


def _bad_upgrade(lines: Lines, upgrades: Collection[str]) -> bool:
    wanted = lines.get("upgrade")
    if wanted is None or "upgrade" not in _tokens(lines, "connection"):
        return False
    return wanted[0].decode("latin-1").lower() not in upgrades
