"""Gateway API's routes as far as `evaluate` knows them: any other field, kind or value is an UnmodelledError.

Source: https://github.com/kubernetes-sigs/gateway-api/tree/v1.6.0/apis/v1: HTTPRoute, GRPCRoute, TCPRoute. Defaults are those of the API.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from hub.api import NativeObject, UnmodelledError

Port = Annotated[int, Meta(ge=1, le=65535)]
Weight = Annotated[int, Meta(ge=0, le=1_000_000)]
GROUP = "gateway.networking.k8s.io"


class Strict(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A part whose fields are all known."""


class ParentRef(Strict, frozen=True):
    """To what a route is bound; `port` None is every port. Of a Gateway, or of another namespace, nothing is modelled."""

    name: str
    group: str = GROUP
    kind: str = "Gateway"
    port: Port | None = None


class BackendRef(Strict, frozen=True):
    """Where a share goes: a Service of the route's own namespace."""

    name: str
    port: Port
    group: Literal[""] = ""
    kind: Literal["Service"] = "Service"
    weight: Weight = 1


class PathMatch(Strict, frozen=True):
    """Whole paths, or beginnings by elements. `RegularExpression` is each implementation's own."""

    type: Literal["Exact", "PathPrefix"] = "PathPrefix"
    value: Annotated[str, Meta(pattern="^/")] = "/"


class HeaderMatch(Strict, frozen=True):
    """A header by its name, in any case, and its whole value."""

    name: str
    value: str
    type: Literal["Exact"] = "Exact"


class HttpMatch(Strict, frozen=True):
    """All that is there must hold."""

    path: PathMatch = PathMatch()
    method: str = ""
    headers: tuple[HeaderMatch, ...] = ()


class MethodMatch(Strict, frozen=True):
    """A service of gRPC and, if it is there, a method of it."""

    service: str
    method: str = ""
    type: Literal["Exact"] = "Exact"


class GrpcMatch(Strict, frozen=True):
    """All that is there must hold."""

    method: MethodMatch | None = None
    headers: tuple[HeaderMatch, ...] = ()


class HttpRule(Strict, frozen=True):
    """One match is enough."""

    backend_refs: tuple[BackendRef, ...] = ()
    matches: tuple[HttpMatch, ...] = (HttpMatch(),)


class GrpcRule(Strict, frozen=True):
    """One match is enough; without any, every call matches."""

    backend_refs: tuple[BackendRef, ...] = ()
    matches: tuple[GrpcMatch, ...] = (GrpcMatch(),)


class TcpRule(Strict, frozen=True):
    """All connections."""

    backend_refs: Annotated[tuple[BackendRef, ...], Meta(min_length=1)]


class Metadata(Strict, frozen=True):
    """Labels and annotations mean nothing to Gateway API."""

    name: str
    namespace: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class HttpSpec(Strict, frozen=True):
    """The spec of an HTTPRoute; `hostnames` have no meaning yet in a mesh (GEP-1294), so they are not known here."""

    parent_refs: tuple[ParentRef, ...]
    rules: tuple[HttpRule, ...] = (HttpRule(),)


class GrpcSpec(Strict, frozen=True):
    """The spec of a GRPCRoute."""

    parent_refs: tuple[ParentRef, ...]
    rules: tuple[GrpcRule, ...] = (GrpcRule(),)


class TcpSpec(Strict, frozen=True):
    """The spec of a TCPRoute."""

    parent_refs: tuple[ParentRef, ...]
    rules: Annotated[tuple[TcpRule, ...], Meta(min_length=1, max_length=1)]


class HttpRoute(Strict, frozen=True, tag="HTTPRoute", tag_field="kind"):
    """An HTTPRoute."""

    api_version: Literal["gateway.networking.k8s.io/v1"]
    metadata: Metadata
    spec: HttpSpec


class GrpcRoute(Strict, frozen=True, tag="GRPCRoute", tag_field="kind"):
    """A GRPCRoute."""

    api_version: Literal["gateway.networking.k8s.io/v1"]
    metadata: Metadata
    spec: GrpcSpec


class TcpRoute(Strict, frozen=True, tag="TCPRoute", tag_field="kind"):
    """A TCPRoute."""

    api_version: Literal["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha2"]
    metadata: Metadata
    spec: TcpSpec


AnyRoute = HttpRoute | GrpcRoute | TcpRoute
_DECODER: msgspec.json.Decoder[AnyRoute] = msgspec.json.Decoder(AnyRoute)


def read(native: NativeObject) -> AnyRoute:
    """An object as a route. Raises UnmodelledError."""
    try:
        route = _DECODER.decode(native.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UnmodelledError(f"{native.ref}: {error}") from error
    parents = route.spec.parent_refs
    if any((one.group, one.kind) != ("", "Service") for one in parents) or not parents:
        raise UnmodelledError(f"{native.ref}: a route that is bound to anything but Services is not modelled")
    return route
