"""The closed list of fields that Linkerd objects of smihub have: whatever is not named here is refused.

Source: the schemas of policy.linkerd.io and of the Gateway API. They take more than Linkerd's policy controller can read:
observed on Linkerd edge-26.8, it then keeps what an object said before, or ignores it, and its status says neither.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType

_T = TypeVar("_T")
_DNS = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*"
_VALUE = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"

Name = Annotated[str, Meta(pattern=rf"\A{_DNS}\Z", max_length=253)]
Namespace = Annotated[str, Meta(pattern=r"\A[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\Z", max_length=63)]
LabelValue = Annotated[str, Meta(pattern=rf"\A{_VALUE}\Z")]
Port = Annotated[int, Meta(ge=1, le=65535)]
HeaderName = Annotated[str, Meta(pattern=r"\A[a-z0-9!#$%&'*+.^_`|~-]+\Z", max_length=256)]
Cidr = Annotated[str, Meta(pattern=r"\A[0-9a-f.:]{2,39}/[0-9]{1,3}\Z")]
Method = Literal["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]
Only = Annotated[tuple[_T, ...], Meta(min_length=1, max_length=1)]
PolicyGroup = Literal["policy.linkerd.io"]


class Metadata(Struct, forbid_unknown_fields=True):
    """A name and nothing else: annotations can change timeouts and retries."""

    name: Name
    namespace: Namespace


class Selector(Struct, forbid_unknown_fields=True, rename="camel"):
    """The Pods of one account; without a label it would be every Pod of the namespace."""

    match_labels: Annotated[dict[str, LabelValue], Meta(min_length=1, max_length=1)]


class ServerSpec(Struct, forbid_unknown_fields=True, rename="camel"):
    """A port that denies: every other `accessPolicy` lets somebody in, on each of its routes too."""

    access_policy: Literal["deny"]
    pod_selector: Selector
    port: Port
    proxy_protocol: Literal["unknown", "opaque"]


class Account(Struct, forbid_unknown_fields=True, frozen=True):
    """A service account as a caller; of another kind, Linkerd keeps the callers before it."""

    kind: Literal["ServiceAccount"]
    name: Name
    namespace: Namespace


class AuthenticationSpec(Struct, forbid_unknown_fields=True, rename="camel"):
    """Who the callers are; never nobody, which cannot be said."""

    identity_refs: Annotated[tuple[Account, ...], Meta(min_length=1)]


class Target(Struct, forbid_unknown_fields=True):
    """A Server or a route; a namespace would be everything in it."""

    group: Literal["policy.linkerd.io", "gateway.networking.k8s.io"]
    kind: Literal["Server", "HTTPRoute"]
    name: Name


class Network(Struct, forbid_unknown_fields=True):
    """Some addresses, as the settings name them."""

    cidr: Cidr


class NetworksSpec(Struct, forbid_unknown_fields=True):
    """From where the callers come; never from nowhere, which cannot be said."""

    networks: Annotated[tuple[Network, ...], Meta(min_length=1)]


class AuthenticationRef(Struct, forbid_unknown_fields=True):
    """Callers of the same namespace: what they prove, or where they call from."""

    group: PolicyGroup
    kind: Literal["MeshTLSAuthentication", "NetworkAuthentication"]
    name: Name


class AuthorizationSpec(Struct, forbid_unknown_fields=True, rename="camel"):
    """Exactly one required authentication: without any, everybody is allowed, and two are ignored."""

    required_authentication_refs: Only[AuthenticationRef]
    target_ref: Target


class ServerParent(Struct, forbid_unknown_fields=True, tag_field="kind", tag="Server"):
    """A Server of the same namespace; with a port or a section Linkerd ignores the route, and says it accepts it."""

    group: PolicyGroup
    name: Name


class ServiceParent(Struct, forbid_unknown_fields=True, tag_field="kind", tag="Service"):
    """One port of a Service; without it the route would be for all of them."""

    group: Literal["core", ""]
    name: Name
    namespace: Namespace
    port: Port


class PathMatch(Struct, forbid_unknown_fields=True):
    """A pattern; a prefix is only for every path."""

    type: Literal["RegularExpression", "PathPrefix"]
    value: Annotated[str, Meta(min_length=1, max_length=1024)]


class HeaderMatch(Struct, forbid_unknown_fields=True):
    """A pattern for the values of one header."""

    name: HeaderName
    type: Literal["RegularExpression"]
    value: Annotated[str, Meta(min_length=1, max_length=4096)]


class CheckedMatch(Struct, forbid_unknown_fields=True):
    """One match."""

    path: PathMatch
    method: Method | UnsetType = UNSET
    headers: Annotated[tuple[HeaderMatch, ...], Meta(min_length=1, max_length=16)] | UnsetType = UNSET


class BackendRef(Struct, forbid_unknown_fields=True):
    """A Service of the same namespace; weights are never zero: if all are, it ends the routing of a client."""

    group: Literal[""]
    kind: Literal["Service"]
    name: Name
    port: Port
    weight: Annotated[int, Meta(ge=1, le=1_000_000)]


Backends = Annotated[tuple[BackendRef, ...], Meta(min_length=1, max_length=16)]


class HttpRule(Struct, forbid_unknown_fields=True, rename="camel"):
    """Requests, and for a Service where they go. No filters: some of them are ignored with the whole route."""

    matches: Annotated[tuple[CheckedMatch, ...], Meta(min_length=1, max_length=8)]
    backend_refs: Backends | UnsetType = UNSET


class HttpRouteSpec(Struct, forbid_unknown_fields=True, rename="camel"):
    """No host names: other hosts would get 404."""

    parent_refs: Only[ServerParent | ServiceParent]
    rules: Annotated[tuple[HttpRule, ...], Meta(min_length=1, max_length=16)]


class TcpRule(Struct, forbid_unknown_fields=True, rename="camel"):
    """Where connections go."""

    backend_refs: Backends


class TcpRouteSpec(Struct, forbid_unknown_fields=True, rename="camel"):
    """One rule: Linkerd ignores a route with more."""

    parent_refs: Only[ServiceParent]
    rules: Only[TcpRule]


class Server(Struct, forbid_unknown_fields=True, rename="camel", tag_field="kind"):
    """The whole of a Server."""

    api_version: Literal["policy.linkerd.io/v1beta3"]
    metadata: Metadata
    spec: ServerSpec


class MeshTLSAuthentication(Struct, forbid_unknown_fields=True, rename="camel", tag_field="kind"):
    """The whole of a MeshTLSAuthentication."""

    api_version: Literal["policy.linkerd.io/v1alpha1"]
    metadata: Metadata
    spec: AuthenticationSpec


class NetworkAuthentication(Struct, forbid_unknown_fields=True, rename="camel", tag_field="kind"):
    """The whole of a NetworkAuthentication."""

    api_version: Literal["policy.linkerd.io/v1alpha1"]
    metadata: Metadata
    spec: NetworksSpec


class AuthorizationPolicy(Struct, forbid_unknown_fields=True, rename="camel", tag_field="kind"):
    """The whole of an AuthorizationPolicy."""

    api_version: Literal["policy.linkerd.io/v1alpha1"]
    metadata: Metadata
    spec: AuthorizationSpec


class HTTPRoute(Struct, forbid_unknown_fields=True, rename="camel", tag_field="kind"):
    """The whole of an HTTPRoute."""

    api_version: Literal["policy.linkerd.io/v1beta3", "gateway.networking.k8s.io/v1"]
    metadata: Metadata
    spec: HttpRouteSpec


class TCPRoute(Struct, forbid_unknown_fields=True, rename="camel", tag_field="kind"):
    """The whole of a TCPRoute."""

    api_version: Literal["gateway.networking.k8s.io/v1alpha2"]
    metadata: Metadata
    spec: TcpRouteSpec


Manifest = Server | MeshTLSAuthentication | NetworkAuthentication | AuthorizationPolicy | HTTPRoute | TCPRoute
