"""What policies ask of an HTTP request, row by row as real sidecars answered (Istio 1.31 with Envoy 1.40)."""

from __future__ import annotations

import string
from typing import Any

import pytest
from msgspec.structs import replace

from hub.api import Answer, Source, UnmodelledError
from tests.adapters.istio.test_evaluate_workloads import (
    CLIENT,
    OTHER,
    PLAIN,
    POD1,
    allows,
    call,
    facts,
    granting,
    http,
    judged,
    placed,
    policy,
)

Json = Any


def path_is(*values: str, negated: bool = False) -> Json:
    """A condition on `:path`."""
    return {"key": "request.headers[:path]", "notValues" if negated else "values": list(values)}


def tier_is(*values: str) -> Json:
    """A condition on the header x-tier."""
    return {"key": "request.headers[X-Tier]", "values": list(values)}


def lines(*values: str, name: str = "x-tier") -> tuple[tuple[str, str], ...]:
    """Header lines of one name."""
    return tuple((name, value) for value in values)


# ------------------------------------------------------------------------------------------------- paths and :path

PATHS = granting({"paths": ["/v1/*", "*.json", "/exact", "/m*d", "/r/[0-9]+"]})
STARS = granting({"paths": ["*x*", "/a**"]})
LITERAL = granting(None, path_is("/v1/[0-9]+", "^/v2/.*$", "/v3/.*"))
MINUS = granting({"paths": ["/a*"], "notPaths": ["/a/x*", "*.key"]})

PATH_ROWS: list[tuple[str, Any, str, str]] = [
    (
        ":path prefix",
        granting(None, path_is("/v1/*")),
        "/v1/a /v1/ /v1/a?q=1 /x/../v1/a /v1/..%2fadmin",
        "/v1 /v2/a /v2/a?q=/v1/a //v1/a /v1/../admin /v1/%2e%2e/admin",
    ),
    (":path exact", granting(None, path_is("/v1/a")), "/v1/a", "/v1/a?q=1 /v1/a/ /v1/A"),
    (":path suffix", granting(None, path_is("*.json")), "/x.json /secret?x=.json", "/x.json?q=1 /x"),
    (":path presence", granting(None, path_is("*")), "/ /x?y /x", ""),
    (":path is no regex", LITERAL, "/v1/[0-9]+ /v3/.x", "/v1/7 /v2/a /v3/a"),
    (":path star inside", granting(None, path_is("/a*b")), "/a*b", "/axb"),
    (":path notValues", granting(None, path_is("/v1/*", negated=True)), "/v2/a", "/v1/a"),
    (
        "paths",
        PATHS,
        "/v1/a /v1/ /q.json /q.json?z=1 /exact /exact?q=1 /m*d /r/[0-9]+",
        "/v1 /secret?x=.json /exact/ /Exact /mid /r/7",
    ),
    ("paths, edge stars", STARS, "/zx* /a* /a*q", "/zx /x1 /ab"),
    ("paths, presence", granting({"paths": ["*"]}), "/ /x", ""),
    ("paths, empty text", granting({"paths": [""]}), "", "/ /x"),
    ("paths with a query", granting({"paths": ["/metrics?x=1"]}), "", "/metrics?x=1 /metrics"),
    ("paths, query and fragment", granting({"paths": ["/m2"]}), "/m2 /m2?a=/b /m2#frag /m2?a#b", "/m2/ /m3#/m2"),
    ("paths minus paths", MINUS, "/a /ab /a/y?z.key", "/a/x /a/xy /a/b.key /a/b.key?c /b"),
    ("notPaths alone", granting({"notPaths": ["/admin*"]}), "//admin /Admin /b", "/admin /admin/x /%61dmin"),
    ("notPaths, template", granting({"notPaths": ["/a/{*}"]}), "/a /a/b/c", "/a/b"),
    ("template in a segment", granting({"paths": ["/u/{*}/orders"]}),
     "/u/1/orders /u/admin/orders /u/a.b/orders /u/1/orders?x=1 /u/a%2Fb/orders /u/a*b/orders /u/a=b/orders",
     "/u/1/2/orders /u//orders /u/1/orders/"),
    ("template to the end", granting({"paths": ["/f/{**}"]}),
     "/f/ /f/a /f/a/b/c /f/a//b /f/a%2Fb /f/a?q=1", "/f /f/a[1]"),
    ("template amid", granting({"paths": ["/a/{**}/z"]}), "/a/b/z /a/b/c/z /a//z", "/a/z"),
    ("two templates", granting({"paths": ["/a/{*}/{**}"]}), "/a/b/ /a/b/c /a/b/c/d", "/a/b"),
    ("template, slash", granting({"paths": ["/a/{*}/"]}), "/a/b/", "/a/b"),
    ("template of one segment", granting({"paths": ["/{*}"]}), "/a", "/ /a/b"),
    ("template of all", granting({"paths": ["/{**}"]}), "/ /a /a/b", ""),
]  # fmt: skip


@pytest.mark.parametrize(("object_", "good", "bad"), [row[1:] for row in PATH_ROWS], ids=[row[0] for row in PATH_ROWS])
def test_paths_are_matched_after_normalisation(object_: Any, good: str, bad: str) -> None:
    """One star is eaten, the rest is literal; `paths` has no query, `:path` has one."""
    assert [path for path in good.split() if not allows(object_, http(path))] == []
    assert [path for path in bad.split() if allows(object_, http(path))] == []


SENT = string.ascii_letters + string.digits + "!$%&'()*+,-.:;=@_~" + '"<>^{}|`'
UNMATCHED = "#/?[\\]"


@pytest.mark.parametrize("character", sorted(set(string.printable) - set(string.whitespace)))
def test_alphabet_of_templates(character: str) -> None:
    """What stands in a segment as sent or encoded by normalisation matches `{*}`; the rest does not."""
    assert (character in SENT) != (character in UNMATCHED)
    assert allows(granting({"paths": ["/u/{*}/z"]}), http(f"/u/a{character}b/z")) is (character in SENT)


@pytest.mark.parametrize(
    "template",
    [
        *("{*}", "{**}", "a/{*}", "{*}/a", "//a/{*}", "/a/{*}//", "/a//{*}", "/{*}//"),
        *("/a/{*}*", "/a/x{*}", "/a/{*}x", "/a/{**}/{*}", "/{**}/{**}", "/a[/{*}", "/a*/{*}", "/{x}/{*}", "/é/{*}"),
    ],
)
def test_raises_when_template_is_no_safe_one(template: str) -> None:
    """Shapes that terminate Envoy, or that Istio's own check rejects."""
    for field in ("paths", "notPaths"):
        with pytest.raises(UnmodelledError):
            judged([granting({field: [template]})], http())


def test_braces_without_a_star_are_text() -> None:
    """Only `{*}` and `{**}` make a template, and braces arrive encoded."""
    assert not allows(granting({"paths": ["/a/{x}"]}), http("/a/{x}"))
    assert allows(granting({"paths": ["/a/%7Bx%7D"]}), http("/a/{x}"))


# ------------------------------------------------------------------------------------------------- normalisation

NORMAL: list[tuple[str, bool, str | None]] = [
    ("/public/../admin", False, "/admin"),
    ("/public/%2e%2e/admin", False, "/admin"),
    ("/public/%2E%2E/admin", False, "/admin"),
    ("/public/..%2fadmin", True, None),
    ("/public/%2e%2e%2fadmin", True, "/public/..%2fadmin"),
    ("/public/..%5cadmin", True, None),
    ("/public\\..\\admin", False, "/admin"),
    ("/public//../admin", True, "/public/admin"),
    ("//public/a", False, None),
    ("/public//a", True, None),
    ("/public%2Fa", False, None),
    ("/%70ublic/a", True, "/public/a"),
    ("/PUBLIC/a", False, None),
    ("/public/..;/admin", False, "/admin"),
    ("/public/;x/../admin", True, "/public/admin"),
    ("/public/#/../../admin", True, "/public/"),
    ("/m2#frag", False, "/m2"),
    ("/public/%61?b=%61/../c", True, "/public/a?b=%61/../c"),
    ("/public/a?b#c", True, "/public/a?b"),
    ("/public/a?b=1", True, None),
]


@pytest.mark.parametrize(("path", "allowed", "received"), NORMAL)
@pytest.mark.parametrize("object_", [granting({"paths": ["/public/*"]}), granting(None, path_is("/public/*"))])
def test_path_is_judged_as_the_application_gets_it(
    object_: Any,
    path: str,
    allowed: bool,  # noqa: FBT001 - a table's column
    received: str | None,
) -> None:
    """Dot segments, escapes and backslashes are resolved; slashes are kept, whether escaped or many."""
    answer = judged([object_], http(path))
    assert (answer.verdict == "allow", answer.received) == (allowed, received)


def test_plaintext_caller_passes_one_sidecar_and_a_mesh_client_two() -> None:
    """The second sidecar normalises what the first made: an escaped dot segment with a parameter goes in two steps."""
    grant = policy({"to": [{"operation": {"paths": ["/public/*"]}}]})
    path = "/public/%2e%2e;/admin"
    assert judged([grant], http(path, src=PLAIN)).received == "/public/..;/admin"
    assert judged([grant], http(path)).received == "/admin"
    assert (
        judged([], http("/%61", dst=POD1), replace(facts(placed("web1", {}, ((9001, "tcp"),))), exposed={})).received
        is None
    )


REFUSED = [
    ({"path": "/public/a%00b"}, "path.refused"),
    ({"path": "public/a"}, "path.refused"),
    ({"path": ""}, "path.refused"),
    ({"path": "*"}, "path.refused"),
    ({"path": "http://web/public/a"}, "path.refused"),
    ({"path": "/public/a b"}, "path.refused"),
    ({"path": "/public/a\n"}, "path.refused"),
    ({"method": "F O"}, "method.nonstandard"),
    ({"method": ""}, "method.nonstandard"),
    ({"method": "CONNECT"}, "method.nonstandard"),
    ({"headers": (("x-tier", "a\nb"),)}, "header.rejected"),
    ({"headers": (("x-tier", "a\x00"),)}, "header.rejected"),
    ({"headers": (("x tier", "a"),)}, "header.rejected"),
    ({"headers": ((":path", "/public/a"),)}, "header.rejected"),
    ({"headers": (("host", "a b"),)}, "header.rejected"),
    ({"headers": (("content-length", "1"), ("content-length", "1"))}, "header.rejected"),
    ({"headers": (("content-length", "x"),)}, "header.rejected"),
    ({"headers": (("transfer-encoding", "gzip"),)}, "header.rejected"),
    ({"headers": (("connection", "upgrade"), ("upgrade", "h2c"))}, "header.rejected"),
]


@pytest.mark.parametrize(
    ("parts", "received", "losses"),
    [
        ({"path": "/public/é?é"}, "/public/%C3%A9?é", ("path.refused",)),
        ({"path": "/public/\udcff"}, "/public/%FF", ("path.refused",)),
        ({"method": "get"}, None, ("method.nonstandard",)),
        ({"headers": (("x-tier", " a"),)}, None, ()),
    ],
)
def test_what_one_version_of_http_carries(parts: Json, received: str | None, losses: tuple[str, ...]) -> None:
    """HTTP/2 takes what HTTP/1.1 refuses (bytes in paths arrive escaped), HTTP/1.1 cuts off outer blanks: that passes."""
    assert judged([], http(**parts)) == Answer("allow", losses=losses, received=received)


def test_header_with_an_outer_blank() -> None:
    """Over HTTP/1.1 it is none, over HTTP/2 it is part of the value; cookies are joined there."""
    grant = granting(None, {"key": "request.headers[x-tier]", "values": ["gold"]})
    answer = judged([grant], http(headers=(("x-tier", " gold"),)))
    assert (answer.verdict, answer.losses) == ("allow", ("header.rejected",))
    assert not allows(grant, http(headers=(("x-tier", "x gold"),)))
    crumbs = granting(None, {"key": "request.headers[cookie]", "values": ["a=1; b=2"]})
    assert allows(crumbs, http(headers=(("cookie", "a=1"), ("cookie", "b=2"))))
    assert allows(crumbs, http(headers=(("cookie", ""), ("cookie", "a=1"), ("cookie", "b=2"))))


def test_what_http2_alone_loses() -> None:
    """A cookie that is empty, and a request with two Hosts: HTTP/1.1 takes both, so they pass, with a loss."""
    cookie = granting(None, {"key": "request.headers[cookie]", "values": ["*"]})
    hosts = http(headers=(("host", "a"), ("Host", "a")))
    for policies, request in (([cookie], http(headers=(("cookie", ""),))), ([], hosts)):
        answer = judged(policies, request)
        assert (answer.verdict, answer.losses) == ("allow", ("header.rejected",))


@pytest.mark.parametrize(("parts", "code"), REFUSED)
def test_sidecar_itself_refuses(parts: Json, code: str) -> None:
    """What is answered 400 is denied with a loss, whatever policies say; the application sees nothing."""
    request = http(**{"path": "/public/a", **parts})
    assert judged([], request) == Answer("deny", losses=(code,))
    assert judged([policy()], request) == Answer("deny", by=("AuthorizationPolicy/default/x",), losses=(code,))
    assert allows([], http("/a", headers=(("x_tier", "a"), ("connection", "upgrade"), ("upgrade", "websocket"))))


# ------------------------------------------------------------------------------------------------- methods

METHOD_ROWS: list[tuple[Json, str, str]] = [
    ({"methods": ["GET"]}, "GET", "HEAD POST OPTIONS PURGE"),
    ({"methods": ["HEAD", "PURGE"]}, "HEAD PURGE", "GET POST"),
    ({"methods": ["G*", "*T"]}, "GET PUT POST", "HEAD DELETE"),
    ({"methods": ["*"]}, "GET HEAD PURGE get", "F/O"),
    ({"methods": ["get"]}, "get", "GET Get"),
    ({"notMethods": ["POST"]}, "GET HEAD", "POST"),
    ({"methods": []}, "GET POST", ""),
]


@pytest.mark.parametrize(("operation", "good", "bad"), METHOD_ROWS)
def test_methods_are_case_sensitive_texts(operation: Json, good: str, bad: str) -> None:
    """GET does not include HEAD; stars work as in paths."""
    grant = granting(operation)
    assert [method for method in good.split() if not allows(grant, http(method=method))] == []
    assert [method for method in bad.split() if allows(grant, http(method=method))] == []


def test_method_as_a_condition() -> None:
    """`request.headers[:method]` is the method."""
    grant = granting(None, {"key": "request.headers[:method]", "values": ["GET"]})
    assert allows(grant, http())
    assert not allows(grant, http(method="POST"))


# ------------------------------------------------------------------------------------------------- headers

HEADER_ROWS: list[tuple[str, list[tuple[str, ...]], list[tuple[str, ...]]]] = [
    (
        "gold",
        [("gold",), ("guest", "gold"), ("gold", "guest"), ("gold", "gold")],
        [("guest,gold",), ("Gold",), ("",), ()],
    ),
    ("gold*", [("gold1",), ("guest", "gold1")], [("guest,gold1",), ("Gold1",)]),
    ("*gold", [("xgold",), ("guest", "gold"), ("gold", "guest"), ("guest,gold",)], [("goldx",)]),
    ("guest,gold", [("guest,gold",)], [("guest", "gold")]),
    ("*", [("x",), ("",)], [()]),
    ("*/*", [("*/*",), ("text/*",)], [("text/html",)]),
    ("a**", [("a*",), ("a*b",)], [("ab",)]),
    ("é", [("é",)], [("e",)]),
]


@pytest.mark.parametrize(("value", "good", "bad"), HEADER_ROWS)
@pytest.mark.parametrize("source", [CLIENT, PLAIN])
def test_header_is_matched_line_by_line(value: str, good: Json, bad: Json, source: Source) -> None:
    """Names in any case; one line is enough; an empty value is present."""
    grant = policy({"when": [tier_is(value)]})
    assert [some for some in good if not allows(grant, http(headers=lines(*some), src=source))] == []
    assert [some for some in bad if allows(grant, http(headers=lines(*some), src=source))] == []
    assert [some for some in good if not allows(grant, http(headers=lines(*some, name="X-TIER")))] == []


def test_header_without_a_value() -> None:
    """notValues: another value, or none; lists without values ask nothing."""
    grant = granting(None, {"key": "request.headers[x-tier]", "notValues": ["guest"]})
    assert [allows(grant, http(headers=lines(*some))) for some in (("gold",), (), ("guest",), ("x", "guest"))] == [
        *(True, True, False, False)
    ]
    without: list[Json] = [{"values": []}, {}]
    for condition in without:
        assert allows(granting(None, {"key": "request.headers[x-tier]", **condition}), http())


def test_inline_headers_are_joined_before_policies_look() -> None:
    """Envoy keeps one value of them: what differs from a reading of single lines is told as a loss."""
    grant = granting(None, {"key": "request.headers[user-agent]", "values": ["a"]})
    assert allows(grant, http(headers=lines("a", name="user-agent")))
    joined = http(headers=lines("a", "b", name="User-Agent"))
    assert judged([grant], joined).losses == ("header.rejected",)
    assert judged([grant], http(headers=lines("c", "b", name="user-agent"))).losses == ()
    both = granting(None, {"key": "request.headers[user-agent]", "values": ["a,b"]})
    assert judged([both], joined) == Answer("allow", by=("AuthorizationPolicy/default/x",))
    for empty in (("", "a"), ("a", ""), ("", "a", "")):  # Envoy appends no empty line, and none to an empty value
        assert allows(grant, http(headers=lines(*empty, name="user-agent")))


def test_header_named_by_connection_is_gone() -> None:
    """It belongs to the hop, so no policy sees it."""
    grant = granting(None, tier_is("gold"))
    assert not allows(grant, http(headers=(("x-tier", "gold"), ("connection", "close, X-Tier"))))


# ------------------------------------------------------------------------------------------------- all together


def test_all_parts_of_a_rule_are_asked() -> None:
    """Prefix, suffix, header and method of one rule; through the Service as well."""
    grant = granting({"ports": ["9001"], "methods": ["GET"], "paths": ["*.json"]}, path_is("/v1/*"), tier_is("gold*"))
    gold = lines("gold-2")
    for ask in (http, call):
        assert allows(grant, ask("/v1/a.json", headers=lines("gold")))
        assert allows(grant, ask("/v1/a.json?b=1", headers=gold))
        for request in (
            ask("/v1/a.json", headers=lines("tin")),
            ask("/v1/a.json"),
            ask("/v2/a.json", headers=gold),
            ask("/v1/a?x=.json", headers=gold),
            ask("/v1/a.json", method="POST", headers=gold),
            ask("/v1/a.json", headers=gold, src=OTHER),
        ):
            assert not allows(grant, request)


def test_rules_and_operations_are_unions() -> None:
    """Any entry of `to`, any rule, any policy; each with its own parts."""
    one = policy({"to": [{"operation": {"paths": ["/a"]}}, {"operation": {"paths": ["/b"], "methods": ["POST"]}}]})
    two = policy({"to": [{"operation": {"paths": ["/c"]}}]}, {"to": [{"operation": {"paths": ["/d"]}}]}, name="y")
    assert [path for path in ("/a", "/b", "/c", "/d", "/e") if allows([one, two], http(path))] == ["/a", "/c", "/d"]
    assert judged([one, two], http("/d")).by == ("AuthorizationPolicy/default/y",)
    assert judged([one, two], http("/e")).by == ("AuthorizationPolicy/default/x", "AuthorizationPolicy/default/y")


EMPTY_LISTS: list[Json] = [
    {"from": []},
    {"from": [{"source": {}}]},
    {"from": [{"source": {"principals": []}}]},
    {"to": []},
    {"to": [{}]},
    {"to": [{"operation": {}}]},
    {"to": [{"operation": {"paths": [], "methods": ["GET"]}}]},
    {"when": []},
]


@pytest.mark.parametrize("rule", EMPTY_LISTS)
def test_empty_lists_ask_nothing(rule: Json) -> None:
    """They mean "any", not "none"."""
    assert allows(policy(rule), http("/any", src=OTHER))


def test_grpc_denial_is_a_denial() -> None:
    """It is told as status 7 in a 200, which changes nothing here."""
    grant = granting({"paths": ["/pkg.Service/Get"]})
    grpc = lines("application/grpc", name="content-type")
    assert allows(grant, http("/pkg.Service/Get", "POST", headers=grpc))
    assert not allows(grant, http("/pkg.Service/Set", "POST", headers=grpc))
