"""The last look at an EnvoyFilter: it changes nothing but the metadata of requests, and no sidecar refuses it.

A filter that a sidecar refuses freezes all inbound policies of its Pod (observed on Istio 1.31 with Envoy 1.40), so every
pattern is either one of our guards or within what each generation of sidecars takes.
"""

from __future__ import annotations

import re

from msgspec import UNSET

from adapters.istio import names
from adapters.istio.regex import is_compiled, is_portable
from adapters.istio.safety import filter_shapes, shapes
from hub.api import JOIN_GUARD, NON_ASCII, NOT_UTF8, OUTER_BLANK, SERVICE_ACCOUNT_LABEL, demand, is_managed_header

_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_METHOD = ":method"
_VALUE_GUARDS = frozenset({NON_ASCII, NOT_UTF8, OUTER_BLANK})


def check_filter(manifest: shapes.EnvoyFilter, root: str) -> None:
    """Refuse what a sidecar might reject, what is not named by its content, and what would reach other Pods."""
    labels = manifest.spec.workload_selector.labels
    demand(SERVICE_ACCOUNT_LABEL in labels, f"its selector does not have {SERVICE_ACCOUNT_LABEL}")
    demand(manifest.metadata.namespace != root, "a filter in the root namespace reaches into all")
    inserted = manifest.spec.config_patches[0].patch.value
    permissions = inserted.typed_config.shadow_rules.policies.match.permissions
    _named_by_content(manifest, names.content_digest(labels, permissions))
    for permission in permissions:
        _permission(permission.and_rules.rules)


def _named_by_content(manifest: shapes.EnvoyFilter, digest: str) -> None:
    """An older policy must never find another filter's result under the key that it asks for."""
    inserted = manifest.spec.config_patches[0].patch.value
    demand(manifest.metadata.name.startswith(f"smihub.{digest}."), "its name is not the digest of its content")
    demand(inserted.name == names.http_filter(digest), "the name of its filter is not the digest of its content")
    prefix = inserted.typed_config.shadow_rules_stat_prefix
    demand(prefix == names.result_prefix(digest), "its prefix is not the digest of its content")


def _permission(rules: tuple[filter_shapes.FilterRule, ...]) -> None:
    for rule in rules:
        fields = (rule.url_path, rule.header, rule.or_rules, rule.not_rule)
        demand(sum(field is not UNSET for field in fields) == 1, "a rule must ask for exactly one thing")
        if rule.url_path is not UNSET:
            _pattern(rule.url_path.path.safe_regex.regex)
        if rule.header is not UNSET:
            _header(rule.header)
        for one in () if rule.or_rules is UNSET else rule.or_rules.rules:
            demand(one.header.name == _METHOD, "alternatives are methods alone")
            _header(one.header)
        if rule.not_rule is not UNSET:
            _guard(rule.not_rule)
    demand(any(rule.not_rule is UNSET for rule in rules), "a permission of guards alone allows nearly everything")
    paths = any(rule.url_path is not UNSET for rule in rules)
    guarded = any(rule.not_rule is not UNSET and rule.not_rule.url_path is not UNSET for rule in rules)
    demand(guarded or not paths, "a path is matched without the guard against bytes beyond ASCII")


def _header(header: filter_shapes.HeaderMatch) -> None:
    match = header.string_match
    demand((match.exact is UNSET) != (match.safe_regex is UNSET), "a header must match exactly one text or pattern")
    if header.name == _METHOD:
        demand(match.exact not in {UNSET, "*"}, "a method must be matched literally")
        return
    demand(match.exact is UNSET, "a header must be matched by a pattern")
    _name(header.name)
    if match.safe_regex is not UNSET and match.safe_regex.regex != JOIN_GUARD:
        _pattern(match.safe_regex.regex)


def _guard(guard: filter_shapes.FilterGuard) -> None:
    demand((guard.url_path is UNSET) != (guard.header is UNSET), "a guard must be about exactly one thing")
    if guard.url_path is not UNSET:
        demand(guard.url_path.path.safe_regex.regex == NON_ASCII, "a path may be guarded against bytes alone")
    if guard.header is not UNSET:
        _name(guard.header.name)
        match = guard.header.string_match
        known = match.safe_regex is not UNSET and match.safe_regex.regex in _VALUE_GUARDS
        demand(known and match.exact is UNSET, "a header may be guarded against bytes and blanks alone")


def _name(name: str) -> None:
    proper = _HEADER.fullmatch(name) and not is_managed_header(name)
    demand(proper, f'the header "{name}" is not set by the caller')


def _pattern(pattern: str) -> None:
    demand(
        is_portable(pattern) and is_compiled(pattern), "a sidecar may reject a pattern, which would freeze its policies"
    )
