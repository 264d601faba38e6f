"""How routes see a call, and which of several matches is taken.

Source: https://github.com/kubernetes-sigs/gateway-api/tree/v1.6.0/apis/v1: HTTPRouteMatch, HTTPHeaderMatch, PathMatchType, GRPCRouteMatch.
"""

from __future__ import annotations

from collections import Counter

from msgspec import Struct

from hub.api import Request, raw_bytes
from smihub_gamma.schema import GrpcMatch, HeaderMatch, HttpMatch


class Call(Struct, frozen=True):
    """A request as routes see it; the path has no query. `repeated` are headers of which there are several lines."""

    http: bool
    method: str
    path: bytes
    headers: dict[str, bytes]
    repeated: frozenset[str]

    @property
    def grpc(self) -> bool:
        """Whether it is a call of gRPC (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, Requests)."""
        return (
            self.http
            and self.method == "POST"
            and self.headers.get("content-type", b"").startswith(b"application/grpc")
        )


def call_of(request: Request) -> Call:
    """A request; of lines with one name the values stand in one, as RFC 9110, 5.3 has it (implementations may differ)."""
    lines: dict[str, list[bytes]] = {}
    for name, value in request.headers:
        lines.setdefault(name.lower(), []).append(raw_bytes(value).strip(b" \t"))
    counts = Counter(name.lower() for name, _ in request.headers)
    return Call(
        request.protocol == "http",
        request.method,
        raw_bytes(request.path).partition(b"?")[0].partition(b"#")[0],
        {name: b", ".join(values) for name, values in lines.items()},
        frozenset(name for name, count in counts.items() if count > 1),
    )


def rank(match: HttpMatch | GrpcMatch, call: Call) -> tuple[int, ...] | None:
    """How specific a match is, greater first; None where it does not hold."""
    if not all(_has(header, call) for header in _first_of_each(match.headers)):
        return None
    return _http_rank(match, call) if isinstance(match, HttpMatch) else _grpc_rank(match, call)


def _first_of_each(headers: tuple[HeaderMatch, ...]) -> list[HeaderMatch]:
    """Of entries with equivalent names only the first counts."""
    return list({header.name.lower(): header for header in reversed(headers)}.values())


def _has(header: HeaderMatch, call: Call) -> bool:
    return call.headers.get(header.name.lower()) == header.value.encode()


def _http_rank(match: HttpMatch, call: Call) -> tuple[int, ...] | None:
    """Exact path, longest prefix, method, most headers."""
    wanted, exact = match.path.value.encode(), match.path.type == "Exact"
    if match.method not in {"", call.method}:
        return None
    if call.path != wanted if exact else not _begins(call.path, wanted):
        return None
    return int(exact), 0 if exact else len(wanted), int(bool(match.method)), len(match.headers)


def _begins(path: bytes, prefix: bytes) -> bool:
    """By elements: a trailing slash of the prefix is ignored, and `/` has the effect of matching every request."""
    whole = prefix.rstrip(b"/")
    return not whole or path == whole or path.startswith(whole + b"/")


def _grpc_rank(match: GrpcMatch, call: Call) -> tuple[int, ...] | None:
    """Most characters in the service, in the method, most headers."""
    if match.method is None:
        return 0, 0, len(match.headers)
    service, method = match.method.service, match.method.method
    wanted = f"/{service}/{method}".encode()
    if call.path != wanted if method else not call.path.startswith(wanted):
        return None
    return len(service), len(method), len(match.headers)
