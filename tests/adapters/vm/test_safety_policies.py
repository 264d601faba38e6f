"""The structural check refuses every policy of an HTTP port that admits more, and every place where none holds."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.vm.shapes import (
    ANY,
    CONDITIONS,
    ENTRIES,
    ENTRY,
    GONE,
    HOST,
    OPEN_RBAC,
    PER_ROUTE,
    PERMISSION,
    POLICY,
    PRINCIPAL,
    RULES,
    SAN,
    Path,
    disabled,
    good,
    refused,
)
from tests.servers.units import spiffe

BAD: list[tuple[str, str, Path, Any]] = [
    # --- RBAC of an HTTP port: what opens
    ("per-route entry empty", "policy", ENTRY, {"@type": PER_ROUTE}),
    ("per-route rbac without rules", "policy", (*ENTRY, "rbac"), {}),
    ("only shadow rules", "policy", (*ENTRY, "rbac"), {"shadow_rules": {}}),
    ("shadow rules beside rules", "policy", (*ENTRY, "rbac", "shadow_rules"), {}),
    ("matcher beside rules", "policy", (*ENTRY, "rbac", "matcher"), {}),
    ("action DENY", "policy", (*RULES, "action"), "DENY"),
    ("action LOG", "policy", (*RULES, "action"), "LOG"),
    ("action DENY without policies", "policy", RULES, {"action": "DENY"}),
    ("audit logging", "policy", (*RULES, "audit_logging_options"), {}),
    ("no permissions", "policy", (*POLICY, "permissions"), GONE),
    ("no principals", "policy", (*POLICY, "principals"), GONE),
    ("a CEL condition", "policy", (*POLICY, "condition"), {}),
    ("permission any alone", "policy", PERMISSION, ANY),
    ("permission without the path guard", "policy", (*CONDITIONS, 4), GONE),
    ("the guard alone", "policy", CONDITIONS, [good("policy", (*CONDITIONS, 4))]),
    ("another guard", "policy", (*CONDITIONS, 4, "not_rule", "url_path", "path", "safe_regex", "regex"), "/none"),
    ("any beside a condition", "policy", (*CONDITIONS, 0), ANY),
    ("only negative conditions", "policy", PERMISSION, {"not_rule": {"url_path": {"path": {"exact": "/x"}}}}),
    ("empty and_rules", "policy", CONDITIONS, []),
    ("or_rules of whole permissions", "policy", PERMISSION, {"or_rules": {"rules": [ANY]}}),
    ("path as a header", "policy", (*CONDITIONS, 2, "header", "name"), ":path"),
    ("authority as a header", "policy", (*CONDITIONS, 2, "header", "name"), ":authority"),
    ("a header that Envoy sets", "policy", (*CONDITIONS, 2, "header", "name"), "x-request-id"),
    ("a header of Envoy's own", "policy", (*CONDITIONS, 2, "header", "name"), "x-envoy-foo"),
    ("host as a header", "policy", (*CONDITIONS, 2, "header", "name"), "host"),
    ("an underscored header", "policy", (*CONDITIONS, 2, "header", "name"), "x_a"),
    ("an upper-case header", "policy", (*CONDITIONS, 2, "header", "name"), "X-A"),
    ("present_match", "policy", (*CONDITIONS, 2, "header"), {"name": "x-a", "present_match": True}),
    ("a header matcher without a test", "policy", (*CONDITIONS, 2, "header"), {"name": "x-a"}),
    ("missing header as empty", "policy", (*CONDITIONS, 2, "header", "treat_missing_header_as_empty"), True),
    ("an inverted header", "policy", (*CONDITIONS, 2, "header", "invert_match"), True),
    ("a header prefix", "policy", (*CONDITIONS, 2, "header"), {"name": "x-a", "prefix_match": "a"}),
    ("a path that ignores case", "policy", (*CONDITIONS, 0, "url_path", "path"), {"exact": "/a", "ignore_case": True}),
    ("a path prefix", "policy", (*CONDITIONS, 0, "url_path", "path"), {"prefix": "/"}),
    ("an empty path regex", "policy", (*CONDITIONS, 0, "url_path", "path", "safe_regex", "regex"), ""),
    ("metadata as a condition", "policy", (*CONDITIONS, 0), {"metadata": {"filter": "x"}}),
    ("a port as a condition", "policy", (*CONDITIONS, 0), {"destination_port": 80}),
    ("an address as a condition", "policy", (*CONDITIONS, 0), {"destination_ip": {"address_prefix": "::"}}),
    ("a uri template", "policy", (*CONDITIONS, 0), {"requested_server_name": {"exact": "a"}}),
    # --- principals
    ("principal any", "policy", PRINCIPAL, ANY),
    ("principal any behind another", "policy", (*POLICY, "principals"), [good("policy", PRINCIPAL), ANY]),
    ("authenticated without a name", "policy", PRINCIPAL, {"authenticated": {}}),
    ("principal_name exact", "policy", PRINCIPAL, {"authenticated": {"principal_name": {"exact": spiffe("web")}}}),
    ("principal_name empty", "policy", PRINCIPAL, {"authenticated": {"principal_name": {"exact": ""}}}),
    (
        "principal_name of a regex",
        "policy",
        PRINCIPAL,
        {"authenticated": {"principal_name": {"safe_regex": {"regex": ".*"}}}},
    ),
    ("principal by negation", "policy", PRINCIPAL, {"not_id": {"authenticated": {}}}),
    ("principals by or", "policy", PRINCIPAL, {"or_ids": {"ids": [ANY]}}),
    ("principals by and", "policy", PRINCIPAL, {"and_ids": {"ids": [ANY]}}),
    ("principal by header", "policy", PRINCIPAL, {"header": {"name": "x-user", "string_match": {"exact": "web"}}}),
    ("principal by address", "policy", PRINCIPAL, {"direct_remote_ip": {"address_prefix": "127.0.0.1"}}),
    ("principal by path", "policy", PRINCIPAL, {"url_path": {"path": {"exact": "/"}}}),
    (
        "any validated certificate",
        "policy",
        (*PRINCIPAL, "custom", "typed_config", "any_validated_client_certificate"),
        True,
    ),
    ("san matcher gone", "policy", SAN, GONE),
    ("a DNS name", "policy", (*SAN, "san_type"), "DNS"),
    ("an empty SAN", "policy", (*SAN, "matcher"), {"exact": ""}),
    ("a SAN prefix", "policy", (*SAN, "matcher"), {"prefix": "spiffe://td/"}),
    ("a SAN regex", "policy", (*SAN, "matcher"), {"safe_regex": {"regex": ".*"}}),
    ("a SAN that ignores case", "policy", (*SAN, "matcher", "ignore_case"), True),
    ("a SAN that is no SPIFFE id", "policy", (*SAN, "matcher", "exact"), "https://web"),
    ("a trust domain as a SAN", "policy", (*SAN, "matcher", "exact"), "spiffe://td"),
    # --- where the policy stands
    ("no entry", "policy", ENTRIES, GONE),
    ("entry under another name", "policy", ENTRIES, {"rbac": good("policy", ENTRY)}),
    ("a second entry", "policy", (*ENTRIES, "envoy.filters.http.cors"), disabled()),
    ("disabled filter", "policy", ENTRY, disabled(disabled=True)),
    ("wrapped entry", "policy", ENTRY, disabled(config=good("policy", ENTRY))),
    ("wrapped and optional", "policy", ENTRY, disabled(config=good("policy", ENTRY), is_optional=True)),
    ("plain RBAC as an entry", "policy", ENTRY, OPEN_RBAC["typed_config"]),
    (
        "entry at the route",
        "policy",
        (*HOST, "routes", 0, "typed_per_filter_config"),
        {"envoy.filters.http.rbac": good("policy", ENTRY)},
    ),
    (
        "open entry at the route",
        "policy",
        (*HOST, "routes", 0, "typed_per_filter_config"),
        {"envoy.filters.http.rbac": {"@type": PER_ROUTE}},
    ),
    ("entry at the table", "policy", ("typed_per_filter_config",), good("policy", ENTRIES)),
    (
        "entry at a weighted cluster",
        "policy",
        (*HOST, "routes", 0, "route"),
        {
            "weighted_clusters": {
                "clusters": [
                    {
                        "name": "app/d/api/127.0.0.1:8081",
                        "weight": 1,
                        "typed_per_filter_config": {"envoy.filters.http.rbac": {"@type": PER_ROUTE}},
                    }
                ]
            }
        },
    ),
    ("a host of its own domain", "policy", (*HOST, "domains"), ["open.example"]),
    ("two hosts", "policy", ("virtual_hosts",), [good("policy", HOST), {"name": "x", "domains": ["x"]}]),
    ("no host", "policy", ("virtual_hosts",), GONE),
    ("vhds", "policy", ("vhds",), {}),
    ("a second route", "policy", (*HOST, "routes"), [good("policy", (*HOST, "routes", 0))] * 2),
    ("a route by prefix", "policy", (*HOST, "routes", 0, "match", "prefix"), "/v1"),
    ("a rewritten path", "policy", (*HOST, "routes", 0, "route", "prefix_rewrite"), "/admin"),
    ("a cluster from a header", "policy", (*HOST, "routes", 0, "route"), {"cluster_header": "x-to", "timeout": "0s"}),
    ("a mirror", "policy", (*HOST, "routes", 0, "route", "request_mirror_policies"), [{"cluster": "app/d/x"}]),
    ("a redirect", "policy", (*HOST, "routes", 0), {"match": {"prefix": "/"}, "redirect": {"path_redirect": "/"}}),
    ("another identity's application", "policy", (*HOST, "routes", 0, "route", "cluster"), "app/d/pay/127.0.0.1:1"),
    ("an added header", "policy", (*HOST, "request_headers_to_add"), [{"header": {"key": "a", "value": "b"}}]),
    ("spoofable headers kept", "policy", (*HOST, "request_headers_to_remove"), GONE),
    ("one spoofable header kept", "policy", (*HOST, "request_headers_to_remove", 0), GONE),
    ("a foreign name", "policy", ("name",), "in/d/api"),
]


@pytest.mark.thorough
@pytest.mark.parametrize(("key", "path", "new"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_policy_when_one_place_is_wrong(key: str, path: Path, new: Any) -> None:
    """One changed place is refused, and the error names the resource."""
    refused(key, path, new)
