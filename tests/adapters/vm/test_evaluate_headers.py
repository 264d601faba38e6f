"""Inbound HTTP: header rules, value by value and line by line, as a real Envoy 1.40 answers them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.vm.native import (
    APP,
    GOOD,
    WEB,
    Json,
    allows,
    granting,
    header_is,
    http,
    judged,
    mesh,
    per_route,
    policy,
    rules,
    san,
    table,
)

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


@pytest.mark.thorough
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


def test_header_is_unseen_when_connection_names_it() -> None:
    """Envoy drops a header that `Connection` names before its filters look."""
    objects = granting(header_is("x-tier", present_match=True))
    assert not allows(objects, http(headers=(("x-tier", "1"), ("connection", "close, X-Tier"))))


@pytest.mark.parametrize("host", ["api.shop:80", "[::1]:80", "user@api", "a,b", "a%zz", ""])
def test_host_that_can_be_an_authority_is_taken(host: str) -> None:
    """Whatever host it is: each was observed on Envoy 1.40."""
    assert judged(granting({"any": True}), http(headers=(("host", host),))).verdict == "allow"


@pytest.mark.parametrize("host", ["a b", "a/b", "a?b", "a#b", "a^b", "a|b", "a`b", "a{b", "a<b", 'a"b', "a\\b", "ä"])
def test_host_that_cannot_be_an_authority_is_refused(host: str) -> None:
    """Envoy answers 400 before any policy is asked: each was observed on Envoy 1.40."""
    answer = judged(granting({"any": True}), http(headers=(("host", host),)))
    assert (answer.verdict, answer.losses) == ("deny", ("header.rejected",))


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
