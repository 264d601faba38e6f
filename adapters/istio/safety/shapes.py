"""The closed list of fields that Istio objects of smihub have: whatever is not named here is refused.

Lists and objects that are there are never empty, since Istio reads an empty one as "any" (observed on Istio 1.31).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from adapters.istio.safety.filter_shapes import FilterSpec
from adapters.istio.safety.texts import (
    LabelKey,
    LabelValue,
    Method,
    Name,
    Namespace,
    Path,
    Port,
    PortText,
    Principal,
    Some,
    Text,
)


class Metadata(Struct, forbid_unknown_fields=True):
    """A name and nothing else: annotations can switch a policy off (`istio.io/dry-run`)."""

    name: Name
    namespace: Namespace


class Selector(Struct, forbid_unknown_fields=True, rename="camel"):
    """The workloads that are meant; no label has an empty value, which would mean its absence too."""

    match_labels: Annotated[dict[LabelKey, LabelValue], Meta(min_length=1)]


class CheckedOperation(Struct, forbid_unknown_fields=True, rename="camel"):
    """One operation."""

    ports: Some[PortText] | UnsetType = UNSET
    not_ports: Some[PortText] | UnsetType = UNSET
    methods: Some[Method] | UnsetType = UNSET
    paths: Some[Path] | UnsetType = UNSET
    not_paths: Some[Path] | UnsetType = UNSET


class To(Struct, forbid_unknown_fields=True):
    """One entry of `to`."""

    operation: CheckedOperation


class Source(Struct, forbid_unknown_fields=True):
    """Callers, by exact names of certificates."""

    principals: Some[Principal]


class From(Struct, forbid_unknown_fields=True):
    """One entry of `from`."""

    source: Source


class When(Struct, forbid_unknown_fields=True):
    """One condition."""

    key: Annotated[
        str,
        Meta(
            pattern=r"\A(?:request\.headers\[(?::path|[a-z0-9!#$%&'*+.^_`|~-]+)\]"
            r"|experimental\.envoy\.filters\.http\.rbac\[smihub_[0-9a-f]{40}_shadow_engine_result\])\Z"
        ),
    ]
    values: Some[Text]


class CheckedRule(Struct, forbid_unknown_fields=True):
    """One rule."""

    callers: Annotated[tuple[From, ...], Meta(min_length=1, max_length=1)] = msgspec.field(name="from")
    to: Some[To] | UnsetType = UNSET
    when: Some[When] | UnsetType = UNSET


class PolicySpec(Struct, forbid_unknown_fields=True):
    """What a policy says; `rules` absent denies."""

    action: Literal["ALLOW"]
    selector: Selector
    rules: Annotated[tuple[CheckedRule, ...], Meta(min_length=1, max_length=512)] | UnsetType = UNSET


class Mtls(Struct, forbid_unknown_fields=True):
    """Mutual TLS and nothing beside it."""

    mode: Literal["STRICT"]


class PeersSpec(Struct, forbid_unknown_fields=True):
    """What a PeerAuthentication says."""

    mtls: Mtls
    selector: Selector


class StringMatch(Struct, forbid_unknown_fields=True):
    """Exactly one of three ways to match a text."""

    exact: Text | UnsetType = UNSET
    prefix: Text | UnsetType = UNSET
    regex: Text | UnsetType = UNSET


class Exact(Struct, forbid_unknown_fields=True):
    """A method."""

    exact: Method


class HttpCondition(Struct, forbid_unknown_fields=True, rename="camel"):
    """One entry of `match` of an HTTP route; the port is always there."""

    port: Port
    uri: StringMatch | UnsetType = UNSET
    method: Exact | UnsetType = UNSET
    headers: Annotated[dict[str, StringMatch], Meta(min_length=1)] | UnsetType = UNSET
    without_headers: Annotated[dict[str, StringMatch], Meta(min_length=1)] | UnsetType = UNSET


class TcpCondition(Struct, forbid_unknown_fields=True):
    """The one entry of `match` of a TCP route."""

    port: Port


class PortNumber(Struct, forbid_unknown_fields=True):
    """A Service port."""

    number: Port


class Destination(Struct, forbid_unknown_fields=True):
    """A Service by its full name, and its port, without which Istio guesses."""

    host: Name
    port: PortNumber


class WeightedDestination(Struct, forbid_unknown_fields=True):
    """A destination and its weight, which is never zero."""

    destination: Destination
    weight: Annotated[int, Meta(ge=1, le=2**31 - 1)] | UnsetType = UNSET


class Answer(Struct, forbid_unknown_fields=True):
    """What is answered where nobody serves."""

    status: Literal[503]


class HttpRoute(Struct, forbid_unknown_fields=True, rename="camel"):
    """One layer of a split HTTP port."""

    match: Some[HttpCondition]
    route: Some[WeightedDestination] | UnsetType = UNSET
    direct_response: Answer | UnsetType = UNSET


class TcpRoute(Struct, forbid_unknown_fields=True):
    """The one layer of a split TCP port."""

    match: Annotated[tuple[TcpCondition, ...], Meta(min_length=1, max_length=1)]
    route: Some[WeightedDestination]


class RoutesSpec(Struct, forbid_unknown_fields=True):
    """Where calls to one host go."""

    hosts: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=1)]
    http: Some[HttpRoute] | UnsetType = UNSET
    tcp: Some[TcpRoute] | UnsetType = UNSET


class AuthorizationPolicy(Struct, forbid_unknown_fields=True, rename="camel", tag_field="kind"):
    """The whole of an AuthorizationPolicy."""

    api_version: Literal["security.istio.io/v1"]
    metadata: Metadata
    spec: PolicySpec


class PeerAuthentication(Struct, forbid_unknown_fields=True, rename="camel", tag_field="kind"):
    """The whole of a PeerAuthentication."""

    api_version: Literal["security.istio.io/v1"]
    metadata: Metadata
    spec: PeersSpec


class EnvoyFilter(Struct, forbid_unknown_fields=True, rename="camel", tag_field="kind"):
    """The whole of an EnvoyFilter."""

    api_version: Literal["networking.istio.io/v1alpha3"]
    metadata: Metadata
    spec: FilterSpec


class VirtualService(Struct, forbid_unknown_fields=True, rename="camel", tag_field="kind"):
    """The whole of a VirtualService."""

    api_version: Literal["networking.istio.io/v1"]
    metadata: Metadata
    spec: RoutesSpec


Manifest = AuthorizationPolicy | PeerAuthentication | VirtualService | EnvoyFilter
