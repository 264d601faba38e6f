"""The closed list of fields that config entries of smihub have, in the API's spelling: whatever is not named here is refused.

Source: https://developer.hashicorp.com/consul/docs/connect/config-entries. Consul takes more than an Envoy does: observed on Consul
1.22, it stores negative weights, patterns that do not compile, and namespaces that it then ignores.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, field

Service = Annotated[str, Meta(pattern=r"\A[a-z0-9](?:[-_a-z0-9]*[a-z0-9])?\Z", max_length=256)]
AnyService = Annotated[str, Meta(pattern=r"\A(?:\*|[a-z0-9](?:[-_a-z0-9]*[a-z0-9])?)\Z", max_length=256)]
Text = Annotated[str, Meta(min_length=1, max_length=4096)]
HeaderName = Annotated[str, Meta(pattern=r"\A[a-z0-9!#$%&'*+.^_`|~-]+\Z", max_length=256)]
Method = Literal["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]


class Header(Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    """A pattern for a value; an empty one would be left out, and the condition with it."""

    name: HeaderName
    regex: Text
    invert: Literal[True] | UnsetType = UNSET


class HttpShape(Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    """Conditions on a request: a pattern of the path, or the prefix of every path."""

    path_prefix: Literal["/"] | UnsetType = UNSET
    path_regex: Text | UnsetType = UNSET
    methods: Annotated[tuple[Method, ...], Meta(min_length=1)] | UnsetType = UNSET
    header: Annotated[tuple[Header, ...], Meta(min_length=1)] | UnsetType = UNSET


class PermissionShape(Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    """What is allowed or denied; without conditions Consul refuses it."""

    action: Literal["allow", "deny"]
    http: HttpShape = field(name="HTTP")


class Source(Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    """Who, and either an action or permissions."""

    name: AnyService
    action: Literal["allow", "deny"] | UnsetType = UNSET
    permissions: Annotated[tuple[PermissionShape, ...], Meta(min_length=2)] | UnsetType = UNSET


class Intentions(
    Struct, frozen=True, forbid_unknown_fields=True, rename="pascal", tag_field="Kind", tag="service-intentions"
):
    """Who may call a service."""

    name: AnyService
    sources: Annotated[tuple[Source, ...], Meta(min_length=1)]


class Defaults(
    Struct, frozen=True, forbid_unknown_fields=True, rename="pascal", tag_field="Kind", tag="service-defaults"
):
    """The protocol and nothing else: a mode of mutual TLS, or an exposed path, would let callers in without a certificate."""

    name: Service
    protocol: Literal["http"]


class Share(Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    """A part of the calls; a namespace would be ignored."""

    service: Service
    weight: Annotated[float, Meta(gt=0, le=100)]


class Splitter(
    Struct, frozen=True, forbid_unknown_fields=True, rename="pascal", tag_field="Kind", tag="service-splitter"
):
    """Where calls to a virtual service go."""

    name: Service
    splits: Annotated[tuple[Share, ...], Meta(min_length=1)]


class RouteMatch(Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests."""

    http: HttpShape = field(name="HTTP")


class RouteDestination(Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    """Where they go, as they are."""

    service: Service


class RouterRoute(Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    """Requests, and where they go."""

    match: RouteMatch
    destination: RouteDestination


class Router(Struct, frozen=True, forbid_unknown_fields=True, rename="pascal", tag_field="Kind", tag="service-router"):
    """Which calls to a service go to a virtual one."""

    name: Service
    routes: Annotated[tuple[RouterRoute, ...], Meta(min_length=1)]


Entry = Intentions | Defaults | Splitter | Router
"""Every entry that smihub writes."""


class Metadata(Struct, frozen=True, forbid_unknown_fields=True):
    """A name and a namespace of Kubernetes."""

    name: Annotated[str, Meta(pattern=r"\A[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?\Z", max_length=253)]
    namespace: Annotated[str, Meta(pattern=r"\A[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\Z", max_length=63)]


class Resource(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A custom resource around an entry."""

    api_version: Literal["consul.hashicorp.com/v1alpha1"]
    kind: Literal["ServiceDefaults", "ServiceIntentions", "ServiceRouter", "ServiceSplitter"]
    metadata: Metadata
    spec: dict[str, object]
