"""A request as Istio's sidecars read it: what they refuse, and what policies, routes and the application see.

Path normalisation is Istio's default, BASE (https://istio.io/latest/docs/ops/best-practices/security/): dot segments
and needless escapes are resolved, slashes are neither merged nor unescaped. A fragment is cut off. Observed on
Istio 1.31 with Envoy 1.40. HTTP/1.1 and HTTP/2 are read apart where they differ: HTTP/2 carries bytes beyond ASCII in paths
(which are escaped), methods that nobody registered, and outer blanks of values, which HTTP/1.1 cuts off; it joins cookies.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, product

from msgspec import Struct
from msgspec.structs import replace

from adapters.istio.evaluate.match import Http
from hub.api import (
    KEEP_UNCHANGED,
    PathOptions,
    Request,
    header_lines,
    joined_values,
    lines_read_otherwise,
    normalise,
    raw_bytes,
    takes_method,
    target,
)

METHOD, PATH, HEADER = "method.nonstandard", "path.refused", "header.rejected"
_BASE = PathOptions(normalize=True, merge=False, slashes=KEEP_UNCHANGED)
_WAYS = 256


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


def read(request: Request, *, http2: bool = False) -> Reading:
    """The reading of the first sidecar."""
    faults = set() if takes_method(request.method, http2=http2) else {METHOD}
    lines, refused = header_lines(request, http2=http2)
    path = _path(request.path, http2=http2)
    if path is None:
        faults.add(PATH)
    if refused:
        faults.add(HEADER)
    seen = {name: found for name, values in lines.items() if (found := joined_values(name, values, http2=http2))}
    plain = Http(raw_bytes(request.method), b"", b"", seen)
    http = _with_path(plain, path or raw_bytes(request.path))
    host = b",".join(lines["host"]) if "host" in lines else None
    meant = lines_read_otherwise(lines)
    wild = frozenset(meant).union(name for name, values in lines.items() if any(b"," in value for value in values))
    as_sent = replace(http, headers={**seen, **meant}) if meant else None
    return Reading(http, host, tuple(sorted(faults)), as_sent, wild)


def _with_path(http: Http, path: bytes) -> Http:
    return replace(http, path=path, plain=path.partition(b"?")[0])


def _path(text: str, *, http2: bool) -> bytes | None:
    """The normalised path with its query; None if Envoy answers the request itself. A path, not any request target."""
    raw = target(raw_bytes(text.partition("#")[0]), http2=http2) if text.startswith("/") else None
    return None if raw is None else normalise(raw, _BASE)
