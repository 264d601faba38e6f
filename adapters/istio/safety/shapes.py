"""The closed list of fields that Istio objects of smihub have: whatever is not named here is refused.

Lists and objects that are there are never empty, since Istio reads an empty one as "any" (observed on Istio 1.31).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

_T = TypeVar("_T")
_DNS = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*"
_VALUE = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"

Name = Annotated[str, Meta(pattern=rf"\A{_DNS}\Z", max_length=253)]
Namespace = Annotated[str, Meta(pattern=r"\A[a-z0-9](?:[-a-z0-9]*[a-z0-9])?\Z", max_length=63)]
LabelKey = Annotated[str, Meta(pattern=rf"\A(?:{_DNS}/)?{_VALUE}\Z", max_length=317)]
LabelValue = Annotated[str, Meta(pattern=rf"\A{_VALUE}\Z")]
Principal = Annotated[str, Meta(pattern=r"\A[a-z0-9._-]+(?:/[A-Za-z0-9._-]+)*\Z", max_length=2048)]
PortText = Annotated[str, Meta(pattern=r"\A[1-9][0-9]{0,4}\Z")]
Port = Annotated[int, Meta(ge=1, le=65535)]
Method = Annotated[str, Meta(pattern=r"\A(?:[A-Za-z0-9!#$%&'+.^_`|~-]+|\*)\Z")]
Path = Annotated[str, Meta(pattern=r"\A[/*][^?#\x00-\x20\x7f]*\Z", min_length=1)]
Text = Annotated[str, Meta(pattern=r"\A[^\x00-\x08\x0a-\x1f\x7f]+\Z")]
Some = Annotated[tuple[_T, ...], Meta(min_length=1)]


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


class Regex(Struct, forbid_unknown_fields=True):
    """An RE2 pattern for a whole text; an empty one is refused by Envoy, and the filter chain with it."""

    regex: Annotated[str, Meta(min_length=1)]


class TextMatch(Struct, forbid_unknown_fields=True):
    """A pattern, or (of a method) a text."""

    safe_regex: Regex | UnsetType = UNSET
    exact: Method | UnsetType = UNSET


class PatternMatch(Struct, forbid_unknown_fields=True):
    """A pattern."""

    safe_regex: Regex


class PathMatch(Struct, forbid_unknown_fields=True):
    """A path without its query."""

    path: PatternMatch


class HeaderMatch(Struct, forbid_unknown_fields=True):
    """A header; without `string_match` it would be enough that it is there."""

    name: str
    string_match: TextMatch


class FilterGuard(Struct, forbid_unknown_fields=True):
    """What must not be so."""

    url_path: PathMatch | UnsetType = UNSET
    header: HeaderMatch | UnsetType = UNSET


class MethodMatch(Struct, forbid_unknown_fields=True):
    """A method."""

    header: HeaderMatch


class Methods(Struct, forbid_unknown_fields=True):
    """One of several methods."""

    rules: Annotated[tuple[MethodMatch, ...], Meta(min_length=2)]


class FilterRule(Struct, forbid_unknown_fields=True):
    """One of these."""

    url_path: PathMatch | UnsetType = UNSET
    header: HeaderMatch | UnsetType = UNSET
    or_rules: Methods | UnsetType = UNSET
    not_rule: FilterGuard | UnsetType = UNSET


class FilterRules(Struct, forbid_unknown_fields=True):
    """All of these."""

    rules: Some[FilterRule]


class FilterPermission(Struct, forbid_unknown_fields=True):
    """One match."""

    and_rules: FilterRules


class Anybody(Struct, forbid_unknown_fields=True):
    """Every caller: who may call, the policy says."""

    any: Literal[True]


class FilterPolicy(Struct, forbid_unknown_fields=True):
    """What is allowed."""

    permissions: Annotated[tuple[FilterPermission, ...], Meta(min_length=1, max_length=256)]
    principals: Annotated[tuple[Anybody, ...], Meta(min_length=1, max_length=1)]


class FilterPolicies(Struct, forbid_unknown_fields=True):
    """One policy alone: of several the first by name would give the result."""

    match: FilterPolicy


class ShadowRules(Struct, forbid_unknown_fields=True):
    """DENY and LOG would say "allowed" of what does not match."""

    action: Literal["ALLOW"]
    policies: FilterPolicies


class Shadow(Struct, forbid_unknown_fields=True):
    """A filter that decides nothing itself: it has no `rules`."""

    kind: Literal["type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"] = msgspec.field(name="@type")
    shadow_rules: ShadowRules
    shadow_rules_stat_prefix: str


class HttpFilter(Struct, forbid_unknown_fields=True):
    """The filter; never of the name of Istio's own, which others patch."""

    name: str
    typed_config: Shadow


class Insertion(Struct, forbid_unknown_fields=True):
    """Before the anchor; INSERT_FIRST would judge what `jwt_authn` has not seen."""

    operation: Literal["INSERT_BEFORE"]
    value: HttpFilter


class AnchorName(Struct, forbid_unknown_fields=True):
    """Istio's own RBAC filter: no chain can ask for the result without it."""

    name: Literal["envoy.filters.http.rbac"]


class Anchor(Struct, forbid_unknown_fields=True, rename="camel"):
    """Within every connection manager; no port, which would leave chains out."""

    name: Literal["envoy.filters.network.http_connection_manager"]
    sub_filter: AnchorName


class FilterChain(Struct, forbid_unknown_fields=True):
    """Every chain that has the anchor."""

    filter: Anchor


class ListenerMatch(Struct, forbid_unknown_fields=True, rename="camel"):
    """Every listener of the context."""

    filter_chain: FilterChain


class PatchMatch(Struct, forbid_unknown_fields=True):
    """Inbound alone; ANY gets into outbound listeners, too."""

    context: Literal["SIDECAR_INBOUND"]
    listener: ListenerMatch


class ConfigPatch(Struct, forbid_unknown_fields=True, rename="camel"):
    """The one patch."""

    apply_to: Literal["HTTP_FILTER"]
    match: PatchMatch
    patch: Insertion


class WorkloadSelector(Struct, forbid_unknown_fields=True):
    """The Pods; without labels they were all of the namespace."""

    labels: Annotated[dict[LabelKey, LabelValue], Meta(min_length=1)]


class FilterSpec(Struct, forbid_unknown_fields=True, rename="camel"):
    """What an EnvoyFilter says. With the highest priority it is inserted last, and so stands directly before the anchor."""

    config_patches: Annotated[tuple[ConfigPatch, ...], Meta(min_length=1, max_length=1)]
    priority: Literal[2147483647]
    workload_selector: WorkloadSelector


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
