"""Requests to judge, and the answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct


class Source(Struct, frozen=True, gc=False):
    """Who calls: exactly one of identity (`ns/sa`), pod (`ns/name`), spiffe, or outside (no certificate of ours)."""

    identity: str | None = None
    pod: str | None = None
    spiffe: str | None = None
    outside: bool = False


class Destination(Struct, frozen=True, gc=False):
    """Whom: exactly one of identity (`ns/sa`), pod (`ns/name`) or service (`ns/name`)."""

    identity: str | None = None
    pod: str | None = None
    service: str | None = None


class Request(Struct, frozen=True, gc=False):
    """One request to judge. `port` is the workload's port, or the Service's port where dst is a service.

    `path` may carry a query (`/x?y`); `headers` are (name, value) lines in order, a name may repeat. Bytes that are no UTF-8
    stand in `path` and values as `raw_text` writes them. Method, path and headers have no meaning unless `protocol` is http,
    of which no version is told: an answer is that of whichever version lets more pass.
    """

    src: Source
    dst: Destination
    port: int
    protocol: Literal["http", "tcp", "udp"] = "http"
    method: str = "GET"
    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()


def raw_bytes(text: str) -> bytes:
    """What a path or a header value is sent as: UTF-8, and the bytes for which U+DC80 to U+DCFF stand (PEP 383)."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # other lone surrogates, which are no text either
        return text.encode("utf-8", "surrogatepass")


def raw_text(raw: bytes) -> str:
    """Bytes as a request holds them; `raw_bytes` gives them back."""
    return raw.decode("utf-8", "surrogateescape")


VerdictWord = Literal["allow", "deny", "ungoverned", "mixed"]
BackendWord = Literal["allow", "deny", "mixed", "no-endpoint"]
RouteWord = Literal["split", "root", "unavailable", "no-service", "no-port"]


class Answer(Struct, frozen=True, omit_defaults=True):
    """A verdict and what decides it (`Kind/namespace/name` of SMI objects, or of native objects).

    The route part is there only where the request addressed a Service: `weights` are exact shares as text
    (`"9/10"`, `"1"`), summing to 1, or empty where nobody serves. The verdict of a Service is allow if every
    backend with a positive share allows, deny if none does, else mixed.
    `losses` are codes that explain why a mesh denies what SMI allows, or lets in what its settings open; SMI's own answers have none.
    `received` is the path that an application gets to see, where a mesh normalises and it is another than was sent: SMI
    judges what is received (docs/smi.md, 3.1).
    """

    verdict: VerdictWord
    by: tuple[str, ...] = ()
    route: RouteWord | None = None
    weights: Mapping[str, str] | None = None
    backends: Mapping[str, BackendWord] | None = None
    losses: tuple[str, ...] = ()
    received: str | None = None


HurdleWord = Literal[
    "account", "caller", "destination", "endpoint", "header", "kind", "method", "namespace", "path", "port", "protocol",
    "route", "service", "unreadable",
]  # fmt: skip


class Hurdle(Struct, frozen=True, order=True, gc=False):
    """One thing that stands between a request and a grant: a stable word, and a message.

    Of a TrafficTarget the message is what follows "but for", of anything else it is what is wrong with it.
    """

    what: HurdleWord
    message: str


class NearMiss(Struct, frozen=True, order=True, omit_defaults=True):
    """An object (`Kind/namespace/name`) that nearly grants a denied request, and all that stands `between`; never empty.

    `via` is the match by which it nearly does. Where no TrafficTarget can be what is missing, the object is the one that
    denies: a Service without endpoints, an account that nobody has.
    """

    object: str
    via: str = ""
    between: tuple[Hurdle, ...] = ()
