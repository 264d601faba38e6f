"""A request as Linkerd's proxies read it: what they refuse, and what routes and the application see.

Nothing is normalised: neither dot segments nor escapes nor slashes. Routes are asked about the path without its query; a
target in absolute form is matched by its path and handed on as it is. HTTP/1.1 and HTTP/2 are read apart where they differ:
HTTP/2 keeps blanks around values, which HTTP/1.1 cuts off, and it has no absolute form. Lines about framing and connections
are judged as any other line: a proxy may refuse or remove them, which can only let less pass.
Source: observed on Linkerd edge-26.8; which bytes a target, a method and a value may have, https://docs.rs/http and
https://docs.rs/httparse, with which the proxies read requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from hub.api import Request, raw_bytes

METHOD, PATH, HEADER, GUARDED = "method.nonstandard", "path.refused", "header.rejected", "path.guarded"
OPENED = "linkerd.opened-network"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_TARGET = re.compile(r"(/[^\x00-\x20#<>?`\x7f]*)(?:\?([^\x00-\x20\x22#<>\x7f]*))?(?:#.*)?", re.DOTALL)
_ABSOLUTE = re.compile(r"https?://([A-Za-z0-9._:-]+)(/.*)?", re.DOTALL | re.IGNORECASE)
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_PLAIN = re.compile(r"/|(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9._~!$&'()*+,=:@-]+)+/?")
_VISIBLE = re.compile(rb"[\t\x20-\x7e]*")
_BLANKS = b" \t"


class Http(Struct, frozen=True):
    """A request as routes see it; header names are lower-case, `host` is None where the caller's own is not known."""

    method: str
    path: str
    query: str | None
    headers: Mapping[str, tuple[bytes, ...]]
    host: str | None

    @property
    def is_plain(self) -> bool:
        """Whether the path reads one way only: no empty, dot or escaped parts, parameters, or bytes beyond ASCII."""
        return _PLAIN.fullmatch(self.path) is not None

    @property
    def is_visible(self) -> bool:
        """Whether all header values are visible ASCII: no other one matches a regex."""
        return all(_VISIBLE.fullmatch(value) is not None for values in self.headers.values() for value in values)


class Reading(Struct, frozen=True):
    """What a proxy makes of a request over one version of HTTP; `received` is the target if the application gets another one.

    `absolute`: its target is in absolute form, so there is no other version of it.
    """

    http2: bool
    http: Http
    faults: tuple[str, ...]
    received: str | None = None
    absolute: bool = False


def readings(request: Request) -> tuple[Reading, ...]:
    """The request over HTTP/1.1, and over HTTP/2 where it can be sent so."""
    absolute = _ABSOLUTE.fullmatch(request.path)
    first = _read(request, absolute, http2=False)
    return (first,) if absolute else (first, _read(request, None, http2=True))


def _read(request: Request, absolute: re.Match[str] | None, *, http2: bool) -> Reading:
    lines, refused = _lines(request, http2=http2)
    text = request.path if absolute is None else absolute.group(2) or "/"
    path, query = _target(text)
    hosts = lines.get("host", ()) if absolute is None else (absolute.group(1).encode(),)
    http = Http(request.method, path or "", query, lines, _host(hosts))
    faults = {METHOD} if _TOKEN.fullmatch(request.method) is None or request.method == "CONNECT" else set()
    faults |= ({HEADER} if refused else set()) | ({PATH} if path is None else set())
    seen = text.partition("#")[0]
    received = None if faults or seen == request.path else seen
    return Reading(http2, http, tuple(sorted(faults)), received, absolute is not None)


def _target(text: str) -> tuple[str | None, str | None]:
    """Path and query; no path where a proxy answers 400: not a target, or bytes that are not UTF-8."""
    found = ("*", None) if text == "*" else _split(text)
    try:
        raw_bytes(text).decode()
    except UnicodeDecodeError:
        return None, None
    return found


def _split(text: str) -> tuple[str | None, str | None]:
    found = _TARGET.fullmatch(text)
    return (None, None) if found is None else (found.group(1), found.group(2))


def _lines(request: Request, *, http2: bool) -> tuple[dict[str, tuple[bytes, ...]], bool]:
    """The header lines by lower-case name, and whether a proxy refuses one of them."""
    lines: dict[str, tuple[bytes, ...]] = {}
    refused = False
    for name, text in request.headers:
        value = raw_bytes(text) if http2 else raw_bytes(text).strip(_BLANKS)
        refused |= _BAD_VALUE.search(value) is not None or _TOKEN.fullmatch(name) is None
        lines[name.lower()] = (*lines.get(name.lower(), ()), value)
    return lines, refused


def _host(hosts: tuple[bytes, ...]) -> str | None:
    """The host without its port and last dot, in lower case; what several Host lines mean is not known."""
    if len(hosts) != 1:
        return None
    name = hosts[0].decode("latin-1").lower()
    return re.sub(r":[0-9]*$", "", name).removesuffix(".")
