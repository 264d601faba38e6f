"""Inbound HTTP: policies, levels, wrappers and odd requests, as a real Envoy 1.40 answers them."""

from __future__ import annotations

from typing import Any

import pytest

from hub.api import (
    Answer,
    Destination,
    Identity,
    NativeObject,
    ObjectRef,
    Placement,
    Request,
    Source,
    UnmodelledError,
)
from tests.adapters.vm.native import (
    API,
    APP,
    FILTER_CONFIG,
    GOOD,
    HTTP_RBAC,
    LISTENER,
    OTHER,
    RBAC_NAME,
    TABLE,
    TLS,
    WEB,
    cluster,
    facts,
    header_is,
    http,
    judged,
    listener,
    manager,
    native,
    path_is,
    per_route,
    placed,
    policy,
    rbac_filter,
    rules,
    san,
    table,
    tls,
    workload,
)

GUARD = ".*(?:;|%25|%[01][0-9A-Fa-f]|%7[Ff]|%[cC][01]|%23|%3[bBfF]|%2[fF]|%5[cC]).*"
OPEN = per_route(None)
ANY = {"any": True}
Json = Any


def mesh(*objects: NativeObject, **hcm: Json) -> list[NativeObject]:
    """The inbound HTTP listener with these other objects."""
    return [listener(LISTENER, [manager(**hcm)], TLS), *objects]


def granting(*permissions: Json, principals: list[Json] | None = None) -> list[NativeObject]:
    """A mesh with one policy for web."""
    entry = per_route({"rules": rules({"web": policy(principals or san(WEB), *permissions)})})
    return mesh(table(entry))


def allows(objects: list[NativeObject], request: Request) -> bool:
    """Whether the mesh lets the request in."""
    return judged(objects, request).verdict == "allow"


GOLD = {"string_match": {"safe_regex": {"regex": "gold.*"}}}
POLICIES = {
    "read": policy(
        san(WEB),
        {"and_rules": {"rules": [path_is("/v1/.*"), {"or_rules": {"rules": [
            header_is(":method", string_match={"exact": method}) for method in ("GET", "HEAD")
        ]}}]}},
    ),
    "order": policy(
        san(WEB),
        {"and_rules": {"rules": [
            path_is("/orders"), header_is(":method", string_match={"exact": "POST"}), header_is("x-tier", **GOLD)
        ]}},
    ),
    "third": policy(san("spiffe://td/ns/s/sa/third"), path_is("/t")),
}  # fmt: skip
POLICY = mesh(table(per_route({"rules": rules(POLICIES)})))
THIRD = "spiffe://td/ns/s/sa/third"


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        (http(), True),
        (http(method="HEAD"), True),
        (http("/v1/a?x=1"), True),
        (http(headers=(("host", "unknown.example"),)), True),
        (http(method="DELETE"), False),
        (http(method="POST"), False),
        (http("/orders", method="POST", headers=(("x-tier", "gold1"),)), True),
        (http("/orders", method="POST", headers=(("X-TIER", "gold"),)), True),
        (http("/orders", method="POST"), False),
        (http("/orders", method="POST", headers=(("x-tier", "silver"),)), False),
        (http("/orders", method="POST", headers=(("x-tier", "agold"),)), False),
        (http("/orders", headers=(("x-tier", "gold"),)), False),
        (http("/t", src=THIRD), True),
        (http("/t"), False),
        (http(src=THIRD), False),
        (http(src=OTHER), False),
        (http("/v1"), False),
        (http("/x/v1/a"), False),
        (http("/V1/a"), False),
        (http("/admin?q=/v1/a"), False),
        (http("/v1/../admin"), False),
        (http("/x/../v1/a"), True),
    ],
)
def test_policy_decides_when_requests_differ(request_: Request, allowed: bool) -> None:  # noqa: FBT001 - a table's column
    """A policy of paths, methods and headers for two sources."""
    assert allows(POLICY, request_) is allowed


def test_answer_names_policy_when_allowed() -> None:
    """The decision is told by resource and policy; a default denial by resource alone."""
    assert judged(POLICY, http()) == Answer("allow", by=(f"RouteConfiguration/{TABLE}#read",))
    assert judged(POLICY, http(src=OTHER)) == Answer("deny", by=(f"RouteConfiguration/{TABLE}",))


def test_tls_refuses_when_certificate_is_foreign_or_absent() -> None:
    """A certificate of another trust domain is not of our CA; outsiders and unknown pods have none."""
    assert judged(POLICY, http(src="spiffe://elsewhere/ns/s/sa/web")).losses == ("source.foreign-trust-domain",)
    for source in (Source(outside=True), Source(pod="s/ghost")):
        request = Request(source, Destination(identity="d/api"), 8080, path="/v1/a")
        assert judged(POLICY, request) == Answer("deny", by=(f"Listener/{LISTENER}",))


def levels(**entries: Json) -> list[NativeObject]:
    """A route table with RBAC entries at the named levels: config, host, route, member."""

    def at(level: str) -> Json:
        return {"typed_per_filter_config": {RBAC_NAME: entries[level]}} if level in entries else {}

    member = {"name": APP, "weight": 1, **at("member")}
    action = {"weighted_clusters": {"clusters": [member]}} if "member" in entries else {"cluster": APP}
    host = {"name": "in", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": action, **at("route")}]}
    config = {"name": TABLE, "virtual_hosts": [{**host, **at("host")}], **at("config")}
    return mesh(native("RouteConfiguration", config))


DISABLED = {"@type": FILTER_CONFIG, "disabled": True}
WRAPPED = {"@type": FILTER_CONFIG, "config": GOOD}


LEVELS: list[Any] = [
    (levels(), False, False),
    (levels(config=GOOD), True, False),
    (levels(host=GOOD), True, False),
    (levels(config=GOOD, host=OPEN), True, True),
    (levels(config=OPEN, host=GOOD), True, False),
    (levels(host=GOOD, route=OPEN), True, True),
    (levels(host=GOOD, route=DISABLED), True, True),
    (levels(host=GOOD, member=OPEN), True, True),
    (levels(host=DISABLED, route=GOOD), True, False),
    (levels(host=WRAPPED), True, False),
    (levels(host={**WRAPPED, "is_optional": True}), True, False),
    (levels(host=DISABLED), True, True),
    (levels(host={**WRAPPED, "disabled": True}), True, True),
    (levels(host=per_route({})), True, True),
    (levels(host=per_route({"shadow_rules": rules()})), True, True),
    (levels(host=per_route({"rules": rules()})), False, False),
    (levels(host=per_route({"rules": rules(action="LOG")})), True, True),
    (levels(host=per_route({"rules": rules(action="DENY")})), True, True),
    (levels(host=per_route({"rules": rules({"p": policy(san(WEB), ANY)}, "DENY")})), False, True),
    (mesh(table(None, typed_per_filter_config={"rbac": GOOD})), False, False),
    (mesh(table(GOOD), filters=[{**rbac_filter(), "name": "r0"}]), False, False),
    (mesh(table(GOOD), filters=[]), True, True),
    (mesh(table(GOOD), filters=[rbac_filter(rules_stat_prefix="x")]), True, False),
    (mesh(table(None), filters=[rbac_filter(rules_stat_prefix="x")]), True, True),
    (mesh(table(GOOD), filters=[{**rbac_filter(), "disabled": True}]), True, False),
    (mesh(table(None), filters=[{**rbac_filter(), "disabled": True}]), True, True),
    (mesh(table(GOOD), filters=[rbac_filter(), {**rbac_filter(), "name": "two"}]), False, False),
    (mesh(), False, False),
    (mesh(native("RouteConfiguration", {"name": TABLE})), False, False),
    (mesh(table(GOOD, domains=["other.example"])), False, False),
    (mesh(table(GOOD, routes=[])), False, False),
    (mesh(table(GOOD, routes=[{"match": {"prefix": "/"}, "direct_response": {"status": 200}}])), False, False),
    (mesh(table(GOOD, routes=[{"match": {"prefix": "/"}, "redirect": {}}])), False, False),
    (
        mesh(table(GOOD, routes=[{"match": {"prefix": "/"}, "route": {"cluster": APP, "prefix_rewrite": "/q"}}])),
        True,
        False,
    ),
    (mesh(table(GOOD, routes=[{"match": {"prefix": "/"}, "route": {"cluster": "app/none"}}])), False, False),
    (mesh(table(GOOD, request_headers_to_remove=["x-original-url"])), True, False),
]


@pytest.mark.parametrize(("objects", "good", "other"), LEVELS)
def test_levels_decide_as_envoy_does(objects: list[NativeObject], good: bool, other: bool) -> None:  # noqa: FBT001 - a table's columns
    """Whether the granted and the other source get in, for every place where policy can stand or be lost."""
    assert (allows(objects, http()), allows(objects, http(src=OTHER))) == (good, other)


def test_second_host_decides_when_host_header_names_the_first() -> None:
    """A policy at one domain only: the catch-all host without an entry is closed."""
    route = [{"match": {"prefix": "/"}, "route": {"cluster": APP}}]
    first = {"name": "a", "domains": ["a.example"], "routes": route, "typed_per_filter_config": {RBAC_NAME: GOOD}}
    config = {"name": TABLE, "virtual_hosts": [first, {"name": "b", "domains": ["*"], "routes": route}]}
    objects = mesh(native("RouteConfiguration", config))
    assert allows(objects, http(headers=(("host", "A.example"),)))
    assert not allows(objects, http())


@pytest.mark.parametrize(
    ("principal", "web", "other", "outside"),
    [
        (ANY, True, True, True),
        ({"authenticated": {}}, True, True, True),
        ({"authenticated": {"principal_name": {"exact": WEB}}}, True, False, False),
        ({"authenticated": {"principal_name": {"exact": ""}}}, True, True, True),
        ({"authenticated": {"principal_name": {"safe_regex": {"regex": ".*"}}}}, True, True, True),
        (san(WEB)[0], True, False, False),
        ({"and_ids": {"ids": [san(WEB)[0], {"not_id": san(OTHER)[0]}]}}, True, False, False),
        ({"or_ids": {"ids": [*san(WEB), *san(OTHER)]}}, True, True, False),
        ({"not_id": san(WEB)[0]}, False, True, True),
        ({"header": {"name": "x-me", "string_match": {"exact": "web"}}}, True, True, True),
    ],
)
def test_principal_matches_as_envoy_does(principal: Json, web: bool, other: bool, outside: bool) -> None:  # noqa: FBT001 - a table's columns
    """Each kind of principal for two mesh certificates and for nobody, where no certificate is required."""
    entry = per_route({"rules": rules({"p": policy([principal], ANY)})})
    open_tls = tls({"validation_context": {"trusted_ca": {"inline_string": "smihub:trust-bundle"}}}, required=False)
    objects = [listener(LISTENER, [manager()], open_tls), table(entry)]
    sources = (Source(spiffe=WEB), Source(spiffe=OTHER), Source(outside=True))
    destination, headers = Destination(identity="d/api"), (("x-me", "web"),)
    got = [allows(objects, Request(source, destination, 8080, headers=headers)) for source in sources]
    assert got == [web, other, outside]


EMPTY = {"inline_string": ""}


@pytest.mark.parametrize(
    "entry",
    [
        {"@type": FILTER_CONFIG},
        {"@type": HTTP_RBAC, "rules": rules()},
        per_route({"rules": rules({"p": policy([], ANY)})}),
        per_route({"rules": rules({"p": policy([ANY])})}),
        per_route({"rules": rules({"p": policy([{}], ANY)})}),
        per_route({"rules": rules({"p": policy([ANY], {})})}),
        per_route({"rules": rules({"p": policy([ANY], {"any": False})})}),
        per_route({"rules": rules({"p": policy([ANY], {"and_rules": {}})})}),
        per_route({"rules": rules({"p": policy([ANY], {"or_rules": {"rules": []}})})}),
        per_route({"rules": rules({"p": policy([{"and_ids": {}}], ANY)})}),
        per_route({"rules": rules({"p": policy([{"source_ip": {"address_prefix": "::"}}], ANY)})}),
        per_route({"rules": rules({"p": policy([ANY], {"destination_ip": {"address_prefix": "::"}})})}),
        per_route({"rules": rules({"p": policy([ANY], path_is("(?=a)"))})}),
        per_route({"rules": rules({"p": policy([ANY], path_is(""))})}),
        per_route({"rules": rules({"p": policy([ANY], path_is("(a{1000}){40}"))})}),
        per_route({"rules": rules({"p": policy([ANY], path_is("a{1000}" * 40))})}),
        per_route({"rules": rules({"p": policy([ANY], header_is("x-request-id", present_match=True))})}),
        per_route({"rules": rules({"p": policy([ANY], header_is(":authority", present_match=True))})}),
        per_route({"rules": rules({"p": policy([ANY], header_is("a", string_match={"prefix": ""}))})}),
        per_route({"rules": rules({"p": policy([ANY], header_is("a", range_match={"end": 5}))})}),
        per_route({"rules": rules({"p": {**policy([ANY], ANY), "condition": {"const_expr": {"int64_value": 1}}}})}),
        per_route({"rules": rules(), "matcher": {"on_no_match": {"action": {"name": "a"}}}}),
    ],
)
def test_policy_is_unmodelled_when_envoy_rejects_it_or_we_do_not_know_it(entry: Json) -> None:
    """Nothing is guessed: neither what Envoy would NACK nor a field that is not modelled."""
    objects = mesh(table(entry))
    with pytest.raises(UnmodelledError):
        judged(objects, http())


@pytest.mark.parametrize(
    "objects",
    [
        mesh(table(GOOD), early_header_mutation_extensions=[{"name": "x"}]),
        mesh(table(GOOD), forward_client_cert_details="FORWARD_ONLY"),
        mesh(table(GOOD), codec_type="HTTP2"),
        mesh(table(GOOD), use_remote_address=True),
        mesh(table(GOOD), upgrade_configs=[{"upgrade_type": "CONNECT"}]),
        mesh(table(GOOD), http_protocol_options={"accept_http_10": True}),
        mesh(table(GOOD, request_headers_to_add=[{"header": {"key": "x-tier", "value": "gold"}}])),
        mesh(table(GOOD, routes=[{"match": {"prefix": "/"}, "route": {"cluster_header": "x-to"}}])),
        mesh(table(GOOD, routes=[{"match": {"connect_matcher": {}}, "route": {"cluster": APP}}])),
        mesh(table(GOOD, domains=["*.example"])),
        mesh(table(GOOD, domains=["*", "*"])),
        mesh(table(GOOD), native("Cluster", {"name": "x"}), native("Listener", {"name": "elsewhere"})),
        [listener(LISTENER, [manager()], TLS, use_original_dst=True), table(GOOD)],
        [listener(LISTENER, [manager()], TLS, listener_filters=[{"name": "x"}]), table(GOOD)],
        [listener(LISTENER, [manager(), manager()], TLS), table(GOOD)],
        [listener(LISTENER, [], TLS), table(GOOD)],
    ],
)
def test_mesh_is_unmodelled_when_a_field_is_not_known(objects: list[NativeObject]) -> None:
    """A set field that nobody models is never passed over."""
    with pytest.raises(UnmodelledError):
        judged(objects, http())


def test_mesh_is_unmodelled_when_bytes_hold_an_unknown_field() -> None:
    """Field numbers that the schema does not name are found, although a parser would skip them."""
    listed, good = mesh(table(GOOD))
    odd = NativeObject(good.ref, good.role, good.body + b"\xfa\x7f\x01x")
    with pytest.raises(UnmodelledError):
        judged([listed, odd], http())


VALUES = [(), ("gold",), ("guest",), ("guest", "gold"), ("guest,gold",), ("",), (" gold ",)]


HEADERS: list[Any] = [
    ({"string_match": {"exact": "gold"}}, "0101001", "1010111"),
    ({"string_match": {"exact": "GOLD", "ignore_case": True}}, "0101001", "1010111"),
    ({"string_match": {"prefix": "go"}}, "0101001", "1010111"),
    ({"string_match": {"suffix": "ld"}}, "0101101", "1010011"),
    ({"string_match": {"contains": "ol"}}, "0101101", "1010010"),
    ({"string_match": {"safe_regex": {"regex": "go.*"}}}, "0101001", "1010111"),
    ({"string_match": {"exact": ""}}, "0000010", "1111101"),
    ({"exact_match": "gold"}, "0101001", "1010111"),
    ({"safe_regex_match": {"regex": "go.*"}}, "0101001", "1010111"),
    ({"prefix_match": "go"}, "0101001", "1010111"),
    ({"present_match": True}, "0111111", "1000000"),
    ({"present_match": False}, "1000000", "0111111"),
    ({}, "0111111", "1000000"),
    ({"invert_match": True}, "1000000", "0111111"),
    ({"string_match": {"exact": "gold"}, "invert_match": True}, "0010111", "1101001"),
    ({"string_match": {"exact": ""}, "treat_missing_header_as_empty": True}, "1000010", "0111101"),
    (
        {"string_match": {"exact": "gold"}, "invert_match": True, "treat_missing_header_as_empty": True},
        "1010111",
        "0101001",
    ),
    ({"present_match": True, "treat_missing_header_as_empty": True}, "1111111", "0000000"),
]


@pytest.mark.parametrize(("match", "rule", "negated"), HEADERS)
def test_header_matches_value_by_value(match: Json, rule: str, negated: str) -> None:
    """Absent, repeated, joined, empty and padded values, alone and negated; each row was observed.

    The blanks of the padded one are there over HTTP/2 and not over HTTP/1.1, and what passes on one of them passes.
    """
    requests = [http(headers=tuple(("x-tier", value) for value in values)) for values in VALUES]
    plain, inverse = granting(header_is("x-tier", **match)), granting({"not_rule": header_is("x-tier", **match)})
    assert "".join("01"[allows(plain, one)] for one in requests) == rule
    assert "".join("01"[allows(inverse, one)] for one in requests) == negated


def test_header_complement_guards_when_a_second_value_differs() -> None:
    """A negated complement is the only guard against a second value."""
    gold = header_is("x-tier", string_match={"exact": "gold"})
    rest = {"not_rule": header_is("x-tier", string_match={"safe_regex": {"regex": "(?:[^g]|g[^o]|gu).*|"}})}
    objects = granting({"and_rules": {"rules": [gold, rest]}})
    both, twice = (("x-tier", "gold"), ("x-tier", "guest")), (("x-tier", "gold"), ("x-tier", "gold"))
    assert (allows(objects, http(headers=both)), allows(objects, http(headers=twice))) == (False, True)


@pytest.mark.parametrize(("pattern", "matches"), [("g..o", True), ("g.o", False), ("géo", True), ("g[^a]o", False)])
def test_header_regex_counts_bytes_when_value_is_not_ascii(pattern: str, matches: bool) -> None:  # noqa: FBT001 - a table's column
    """Envoy's RE2 reads Latin-1, so one character of UTF-8 is several to a regex."""
    objects = granting(header_is("x-tier", string_match={"safe_regex": {"regex": pattern}}))
    assert allows(objects, http(headers=(("x-tier", "géo"),))) is matches


def test_header_lines_are_joined_when_envoy_keeps_one_value() -> None:
    """Repeated lines of an inline header are one value with a comma; of other headers they stay apart."""
    lines = [(("accept", "a"), ("Accept", "b")), (("x-tier", "a"), ("x-tier", "b"))]
    exact = {value: {"string_match": {"exact": value}} for value in ("a", "b", "a,b")}
    got = [
        [allows(granting(header_is(one[0][0], **match)), http(headers=one)) for match in exact.values()]
        for one in lines
    ]
    assert got == [[False, False, True], [True, True, False]]
    empty = (("accept", ""), ("accept", "a"))
    assert allows(granting(header_is("accept", **exact["a"])), http(headers=empty))


NON_ASCII = {"not_rule": header_is("accept", string_match={"safe_regex": {"regex": r"\C*[^\x00-\x7f]\C*"}})}
ONE_LINE = header_is("accept", string_match={"safe_regex": {"regex": "[^,]*"}})


@pytest.mark.parametrize(
    ("values", "verdict", "losses"),
    [
        (("gxo",), "allow", ()),
        (("géo",), "deny", ("header.rejected",)),
        (("gxo", "b"), "deny", ("header.rejected",)),
        (("b", "c"), "deny", ()),
        (("é",), "deny", ("header.rejected",)),  # whether characters would match is not for an Envoy to say
        (("no",), "deny", ()),
    ],
)
def test_header_guard_is_named_when_only_it_denies(
    values: tuple[str, ...], verdict: str, losses: tuple[str, ...]
) -> None:
    """Joined lines and bytes above ASCII are guarded against; the loss is told only where the value itself would do."""
    wanted = header_is("accept", string_match={"safe_regex": {"regex": "g.o"}})
    objects = granting({"and_rules": {"rules": [wanted, ONE_LINE, NON_ASCII]}})
    answer = judged(objects, http(headers=tuple(("accept", value) for value in values)))
    assert (answer.verdict, answer.losses) == (verdict, losses)


def test_path_header_counts_the_query_when_matched() -> None:
    """`:path` as a header has the query, `url_path` has not."""
    objects = granting(header_is(":path", string_match={"exact": "/v1/a?x=1"}))
    assert allows(objects, http("/v1/a?x=1"))
    assert not allows(objects, http("/v1/a"))


@pytest.mark.parametrize(
    ("path", "verdict", "losses"),
    [
        ("/public/x", "allow", ()),
        ("/public/%20%61%c3%a9?;%25", "allow", ()),
        ("/public/;x", "deny", ("path.guarded",)),
        ("/public/%252e", "deny", ("path.guarded",)),
        ("/public/%2fx", "deny", ("path.guarded",)),
        ("/public/..%2fadmin", "deny", ("path.guarded",)),
        ("/public/%00", "deny", ("path.guarded",)),
        ("/public/#x", "deny", ("path.guarded",)),
        ("/public/é", "allow", ("path.guarded",)),  # over HTTP/2, as this guard is about other paths
        ("/public/../admin", "deny", ("path.guarded",)),
        ("/admin/;x", "deny", ()),
        ("/admin%2fx", "deny", ("path.guarded",)),
        ("/admin", "deny", ()),
        ("public/x", "deny", ("path.guarded",)),
    ],
)
def test_path_guard_is_named_when_only_it_denies(path: str, verdict: str, losses: tuple[str, ...]) -> None:
    """The loss is told where the path would pass without the guard, and for every path that Envoy itself refuses."""
    guard = {"not_rule": path_is(GUARD)}
    answer = judged(granting({"and_rules": {"rules": [path_is("/public/.*"), guard]}}), http(path))
    assert (answer.verdict, answer.losses) == (verdict, losses)


@pytest.mark.parametrize(
    ("request_", "losses"),
    [
        (http(method="F O"), ("method.nonstandard",)),
        (http(method=""), ("method.nonstandard",)),
        (http(method="CONNECT"), ("method.nonstandard",)),
        (http(headers=(("x_a", "1"),)), ("header.rejected",)),
        (http(headers=(("x a", "1"),)), ("header.rejected",)),
        (http(headers=(("x-a", "1\n2"),)), ("header.rejected",)),
        (http(headers=(("transfer-encoding", "identity"),)), ("header.rejected",)),
        (http(headers=(("content-length", "0"), ("content-length", "0"))), ("header.rejected",)),
        (http(headers=(("connection", "upgrade"), ("upgrade", "websocket"))), ("header.rejected",)),
    ],
)
def test_request_is_refused_when_the_codec_rejects_it(request_: Request, losses: tuple[str, ...]) -> None:
    """What Envoy answers 4xx before any policy, with the code that says so; no code where policy denies as well."""
    answer = judged(granting(ANY), request_)
    assert (answer.verdict, answer.losses) == ("deny", losses)
    assert judged(mesh(table(None)), request_).losses == ()


@pytest.mark.parametrize(
    ("request_", "losses"),
    [
        (http(method="FOO"), ("method.nonstandard",)),
        (http(method="get"), ("method.nonstandard",)),
        (http("/\udcff"), ("path.guarded",)),
        (http("/x?é"), ("path.guarded",)),
    ],
)
def test_request_passes_when_one_version_takes_it(request_: Request, losses: tuple[str, ...]) -> None:
    """What HTTP/2 carries and HTTP/1.1 refuses passes, and says why it may not."""
    answer = judged(granting(ANY), request_)
    assert (answer.verdict, answer.losses) == ("allow", losses)
    refused = http(
        method=request_.method, path=request_.path, headers=(("te", "x"), ("upgrade", "h2c"), ("connection", "upgrade"))
    )
    assert judged(granting(ANY), refused).verdict == "deny"


def test_cookie_lines_are_joined_over_http2() -> None:
    """Either one line, or all of them with a semicolon."""
    lines = (("cookie", "a=1"), ("Cookie", "b=2"))
    for pattern, losses in (("a=1", ("header.rejected",)), ("a=1; b=2", ()), (".*a=1.*", ())):
        answer = judged(
            granting(header_is("cookie", string_match={"safe_regex": {"regex": pattern}})), http(headers=lines)
        )
        assert (answer.verdict, set(losses) - set(answer.losses)) == ("allow", set())


def test_empty_cookies_are_lost_over_http2() -> None:
    """One that is empty is no cookie there, and empty ones before another leave no trace."""
    for pattern, lines, losses in (
        (".*", ("",), ("header.rejected",)),
        (".*", ("", ""), ("header.rejected",)),
        ("a", ("", "a"), ()),
        ("a; ", ("a", ""), ()),
    ):
        grant = granting(header_is("cookie", string_match={"safe_regex": {"regex": pattern}}))
        answer = judged(grant, http(headers=tuple(("cookie", line) for line in lines)))
        assert (answer.verdict, set(losses) - set(answer.losses)) == ("allow", set()), (pattern, lines)
    assert judged(granting(header_is("cookie", present_match=True)), http(headers=(("cookie", " "),))).losses == ()


def test_second_host_is_refused_over_http2() -> None:
    """HTTP/1.1 takes it, so it passes, with a loss."""
    answer = judged(granting(ANY), http(headers=(("host", "a"), ("Host", "a"))))
    assert (answer.verdict, answer.losses) == ("allow", ("header.rejected",))
    assert judged(granting(ANY), http(headers=(("host", "a"),))).losses == ()


def test_path_without_slash_is_always_a_loss() -> None:
    """Envoy refuses the path before any policy, so that no policy can tell whether it would be taken."""
    assert judged(granting(path_is(".*")), http("x")) == Answer(
        "deny", by=(f"RouteConfiguration/{TABLE}#web",), losses=("path.guarded",)
    )
    assert judged(granting(path_is("/.*")), http("x")).losses == ("path.guarded",)
    assert judged(granting(ANY), http("/a#", method="FOO")).losses == ("method.nonstandard", "path.guarded")


def test_method_passes_when_envoy_knows_it() -> None:
    """TRACE and WebDAV methods are ordinary to Envoy's parser."""
    assert all(allows(granting(ANY), http(method=method)) for method in ("TRACE", "PATCH", "PURGE"))


def test_header_is_unseen_when_connection_names_it() -> None:
    """Envoy drops a header that `Connection` names before its filters look."""
    objects = granting(header_is("x-tier", present_match=True))
    assert not allows(objects, http(headers=(("x-tier", "1"), ("connection", "close, X-Tier"))))


def test_underscore_header_is_unseen_when_dropped() -> None:
    """DROP_HEADER hides it, ALLOW shows it."""
    entry = per_route({"rules": rules({"p": policy(san(WEB), header_is("x_a", present_match=True))})})
    drop = mesh(table(entry), common_http_protocol_options={"headers_with_underscores_action": "DROP_HEADER"})
    keep = mesh(table(entry), common_http_protocol_options={})
    request = http(headers=(("x_a", "1"),))
    assert (allows(drop, request), allows(keep, request)) == (False, True)


def test_route_matches_value_by_value_when_header_repeats() -> None:
    """A route by header is taken if one of the values matches, before the routes after it."""
    special = {"prefix": "/", "headers": [{"name": "x-tier", "string_match": {"exact": "gold"}}]}
    routes = [
        {"match": special, "direct_response": {"status": 503}},
        {"match": {"prefix": "/"}, "route": {"cluster": APP}},
    ]
    objects = mesh(table(GOOD, routes=routes))
    assert allows(objects, http(headers=(("x-tier", "guest"),)))
    assert not allows(objects, http(headers=(("x-tier", "guest"), ("x-tier", "gold"))))


@pytest.mark.parametrize(
    ("match", "paths"),
    [
        ({"path": "/v1/a"}, "/v1/a"),
        ({"prefix": "/v1/a"}, "/v1/a /v1/ab /v1/a/b"),
        ({"path_separated_prefix": "/v1/a"}, "/v1/a /v1/a/b"),
        ({"safe_regex": {"regex": "/v1/a."}}, "/v1/ab"),
    ],
)
def test_route_path_ignores_the_query(match: Json, paths: str) -> None:
    """Every kind of path match sees the path alone."""
    objects = mesh(table(GOOD, routes=[{"match": match, "route": {"cluster": APP}}]))
    taken = [path for path in ("/v1/a", "/v1/ab", "/v1/a/b", "/v1/b") if allows(objects, http(f"{path}?/v1/a"))]
    assert " ".join(taken) == paths


def test_port_is_unexposed_when_nothing_receives() -> None:
    """No such port, no workload, no listener, a listener not sent to this Workload or not bound: all denied."""
    unexposed = Answer("deny", losses=("port.unexposed",))
    good = [listener(LISTENER, [manager()], TLS), table(GOOD)]
    assert judged(good, Request(Source(spiffe=WEB), Destination(identity="d/api"), 8081)) == unexposed
    assert judged(good, Request(Source(spiffe=WEB), Destination(identity="d/none"), 8080)) == unexposed
    assert judged(good, Request(Source(spiffe=WEB), Destination(pod="d/none"), 8080)) == unexposed
    assert judged([table(GOOD)], http()) == unexposed
    assert judged(good, http(), facts(placed("two"))) == unexposed
    assert judged([listener(LISTENER, [manager()], TLS, bind_to_port=False), table(GOOD)], http()) == unexposed


def test_identity_is_allowed_when_every_workload_allows() -> None:
    """One workload of the identity whose Envoy lacks the listener denies the identity; pods answer for themselves."""
    good = [listener(LISTENER, [manager()], TLS), table(GOOD), workload("two", [])]
    known = facts(placed("one"), placed("two"), placed("one", "Pod"))
    assert judged(good, http(), known).verdict == "deny"
    one = Request(Source(pod="d/one"), Destination(pod="d/one"), 8080, path="/v1/a")
    assert judged(good, one, known).verdict == "deny"  # the caller is d/api itself, which has no grant
    assert (
        judged(good, Request(Source(spiffe=WEB), Destination(pod="d/one"), 8080, path="/v1/a"), known).verdict
        == "allow"
    )


def test_listener_is_unmodelled_when_it_binds_something_else() -> None:
    """A listener whose address is not what its name says would open another port."""
    where = {"socket_address": {"address": "10.0.0.1", "port_value": 8081}}
    with pytest.raises(UnmodelledError):
        judged([listener(LISTENER, [manager()], TLS, address=where), table(GOOD)], http())


def test_cluster_is_needed_when_route_leads_to_it() -> None:
    """An application cluster without endpoints serves nobody."""
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "app/empty"}}]
    objects = mesh(table(GOOD, routes=routes), cluster("app/empty", endpoints=0))
    assert not allows(objects, http())


def test_objects_are_unmodelled_when_kind_or_copy_is_unknown() -> None:
    """A kind of another family, or two objects of one name, raise at once."""
    bad = NativeObject(table(GOOD).ref.__class__("", "Pod", "d", "x"), table(GOOD).role, b"")
    with pytest.raises(UnmodelledError):
        judged([bad], http())
    with pytest.raises(UnmodelledError):
        judged([table(GOOD), table(GOOD)], http())


def test_own_identity_is_judged_like_any_other() -> None:
    """The destination itself has no privilege."""
    assert not allows(POLICY, http(src=API))


@pytest.mark.parametrize(
    ("source", "verdict"),
    [
        (Source(identity="s/web"), "allow"),
        (Source(identity="s/other"), "deny"),
        (Source(pod="s/caller"), "allow"),
        (Source(pod="s/ghost"), "deny"),
        (Source(spiffe="spiffe://td.evil/ns/s/sa/web"), "deny"),
        (Source(spiffe="web"), "deny"),
        (Source(), "deny"),
    ],
)
def test_caller_is_known_by_its_one_certificate(source: Source, verdict: str) -> None:
    """Identities, pods and ids of our trust domain have a certificate of ours; nobody else has."""
    caller = Placement(ObjectRef("", "Pod", "s", "caller"), Identity("td", "s", "web"))
    request = Request(source, Destination(identity="d/api"), 8080, path="/v1/a")
    assert judged(POLICY, request, facts(placed(), caller)).verdict == verdict


def test_pod_name_means_the_workload_when_kinds_share_it() -> None:
    """A Workload goes before a Pod, a Pod before a template."""
    kinds = {"Deployment": "other", "Pod": "other", "Workload": "web"}
    callers = [Placement(ObjectRef("", kind, "s", "c"), Identity("td", "s", who)) for kind, who in kinds.items()]
    request = Request(Source(pod="s/c"), Destination(identity="d/api"), 8080, path="/v1/a")
    assert judged(POLICY, request, facts(placed(), *callers)).verdict == "allow"


def test_principal_name_needs_tls_when_connection_is_plain() -> None:
    """On plain text not even an empty name matches."""
    entry = per_route({"rules": rules({"p": policy([{"authenticated": {"principal_name": {"exact": ""}}}], ANY)})})
    assert not allows([listener(LISTENER, [manager()]), table(entry)], http())
