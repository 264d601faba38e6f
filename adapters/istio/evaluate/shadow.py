"""EnvoyFilters that put an RBAC filter with shadow rules before Istio's own: it lets everything pass, and notes what it found.

Modelled are insertions into all inbound HTTP chains of the selected workloads, of a filter that is about requests alone. Its result
is dynamic metadata, which a condition of an AuthorizationPolicy may ask for.
Source: https://istio.io/latest/docs/reference/config/networking/envoy-filter/; Envoy, "Role Based Access Control (RBAC) Filter",
"Dynamic Metadata"; Envoy API, config.rbac.v3, type.matcher.v3 and config.route.v3.HeaderMatcher; observed on Istio 1.31 with
Envoy 1.40 (where it stands in the chain, repeated and absent headers, RE2 over bytes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from adapters.istio.evaluate.match import Call, Predicate, Reader, Test, header_values, regex
from hub.api import Fields, NativeManifest

_RBAC = "envoy.filters.http.rbac"
_CONNECTION_MANAGER = "envoy.filters.network.http_connection_manager"
_TYPE = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"
_RESULT = "shadow_engine_result"
ALLOWED, DENIED = "allowed", "denied"


class ShadowFilter(Struct, frozen=True):
    """A filter by the key of its result, and the requests that it finds allowed."""

    label: str
    namespace: str
    selector: frozenset[tuple[str, str]]
    key: str
    allows: Predicate


def shadows_of(manifest: NativeManifest) -> Iterator[ShadowFilter]:
    """The filters that an EnvoyFilter inserts."""
    with Fields(manifest.spec, manifest.label) as left:
        selector, patches = left.inner("workloadSelector"), left.items("configPatches")
        left.number("priority")  # the order among filters that each write a key of their own
    with selector:
        labels = selector.labels("labels")
    if not labels or any("*" in text for pair in labels for text in pair):
        raise left.unmodelled("an EnvoyFilter without labels, or with a star in them")
    for patch in patches:
        key, allows = _inserted(Fields(patch, manifest.label))
        yield ShadowFilter(manifest.label, manifest.namespace, labels, key, allows)


def _inserted(fields: Fields) -> tuple[str, Predicate]:
    """The key and the test of the filter of one patch."""
    with fields as left:
        kind, match, patch = left.text("applyTo"), left.inner("match"), left.inner("patch")
    with match:
        context, listener = match.text("context"), match.inner("listener")
    with listener:
        chain = listener.inner("filterChain")
    with chain:
        manager = chain.inner("filter")
    with manager:
        place, anchor = manager.text("name"), manager.inner("subFilter")
    with anchor:
        places = (kind, context, place, anchor.text("name"))
    if places != ("HTTP_FILTER", "SIDECAR_INBOUND", _CONNECTION_MANAGER, _RBAC):
        raise left.unmodelled("a patch at another place")
    with patch:
        operation, value = patch.text("operation"), patch.inner("value")
    if operation != "INSERT_BEFORE":
        raise left.unmodelled(f'the operation "{operation}"')
    return _filter(value)


def _filter(fields: Fields) -> tuple[str, Predicate]:
    with fields as left:
        name, config = left.text("name"), left.inner("typed_config")
    with config:
        kind, prefix = config.text("@type"), config.text("shadow_rules_stat_prefix")
        rules = config.inner("shadow_rules")
    # Under the name of Istio's own filter it would be patched with that, and without a prefix of its own overwritten.
    if kind != _TYPE or name in ("", _RBAC) or not prefix or prefix.startswith("istio_"):
        raise left.unmodelled("a filter of another type, or under a name or prefix of Istio's")
    with rules:
        action, policies = rules.text("action", "ALLOW"), rules.pairs("policies")
    if action != "ALLOW":
        raise left.unmodelled(f'the shadow action "{action}"')
    return prefix + _RESULT, _any([_policy(policies[one], left.where) for one in sorted(policies)])


def _policy(value: Any, where: str) -> Predicate:
    with Fields(value, where) as left:
        permissions, principals = left.items("permissions"), left.items("principals")
    if not permissions or principals != [{"any": True}]:
        raise left.unmodelled("a policy without permissions, or about callers")
    return _any([_permission(one, where) for one in permissions])


def _permission(value: Any, where: str) -> Predicate:
    kind, inner = _only(value, where)
    compiled = _KINDS.get(kind)
    if compiled is None:
        raise Fields({}, where).unmodelled(f'the permission "{kind}"')
    return compiled(inner, where)


def _only(value: Any, where: str) -> tuple[str, Any]:
    """The one field of a message of which a field is chosen."""
    if not isinstance(value, dict) or len(value) != 1:
        raise Fields({}, where).unmodelled("other than exactly one of several fields")
    ((kind, inner),) = value.items()
    return str(kind), inner


def _members(value: Any, where: str) -> list[Predicate]:
    with Fields(value, where) as left:
        rules = left.items("rules")
    if not rules:
        raise left.unmodelled("an empty set of rules, which Envoy rejects")
    return [_permission(one, where) for one in rules]


def _and_rules(value: Any, where: str) -> Predicate:
    members = _members(value, where)
    return lambda call: all(member(call) for member in members)


def _or_rules(value: Any, where: str) -> Predicate:
    return _any(_members(value, where))


def _not_rule(value: Any, where: str) -> Predicate:
    kind, inner = _only(value, where)
    if kind != "header":
        test = _permission(value, where)
        return lambda call: not test(call)
    name, matches = _header_parts(inner, where)
    return lambda call: name in call.wild or not matches(call)


def _url_path(value: Any, where: str) -> Predicate:
    with Fields(value, where) as left:
        test = _text(left.take("path"), where)
    return lambda call: test(call.http.plain)


def _header(value: Any, where: str) -> Predicate:
    name, matches = _header_parts(value, where)
    return lambda call: matches(call) or (name in call.wild and name in call.http.headers)


def _header_parts(value: Any, where: str) -> tuple[str, Predicate]:
    """The name of a header, and whether one of its values matches; an absent one has none."""
    with Fields(value, where) as left:
        name, match = left.text("name").lower(), left.take("string_match")
    read: Reader = header_values(name, where)
    test = _text(match, where)
    return name, lambda call: any(test(one) for one in read(call.http))


def _text(value: Any, where: str) -> Test:
    """A StringMatcher: a whole text, or RE2 for a whole text."""
    kind, inner = _only(value, where)
    if kind == "exact" and isinstance(inner, str):
        wanted = inner.encode()
        return lambda text: text == wanted
    if kind != "safe_regex":
        raise Fields({}, where).unmodelled(f'the text match "{kind}"')
    with Fields(inner, where) as left:
        pattern = left.text("regex")
    return regex(pattern, where)


def _any(members: Sequence[Predicate]) -> Predicate:
    return lambda call: any(member(call) for member in members)


_KINDS: dict[str, Callable[[Any, str], Predicate]] = {
    "and_rules": _and_rules,
    "or_rules": _or_rules,
    "not_rule": _not_rule,
    "url_path": _url_path,
    "header": _header,
}


def results(filters: Sequence[ShadowFilter], call: Call) -> dict[str, str]:
    """What these filters write into the metadata of one call."""
    return {one.key: ALLOWED if one.allows(call) else DENIED for one in filters}
