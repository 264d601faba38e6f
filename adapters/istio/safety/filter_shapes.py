"""The closed list of fields of EnvoyFilters: one RBAC filter with shadow rules, directly before Istio's own in every inbound chain.

Source: Istio documentation, EnvoyFilter; Envoy API, extensions.filters.http.rbac.v3, config.rbac.v3, type.matcher.v3.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from adapters.istio.safety.texts import LabelKey, LabelValue, Method, Some


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
