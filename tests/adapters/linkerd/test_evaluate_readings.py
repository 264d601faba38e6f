"""How proxies read requests: what they refuse, what they hand on, and where versions of HTTP differ."""

from __future__ import annotations

import pytest

from adapters.linkerd.evaluate.mesh import evaluator
from hub.api import Answer, Facts, NativeObject, Request
from tests.adapters.linkerd.objects import (
    RAW,
    WEB,
    ask,
    call,
    granted,
    header,
    opened,
    path,
    route,
    rule,
    server,
    split,
    to,
)

ALL = (server(), *opened("all", "web", path("^(?:.*)$")))
PORTED = granted("Server/api", "web")


def judged(objects: tuple[NativeObject, ...], request: Request, facts: Facts) -> Answer:
    """The answer of a mesh with these objects."""
    return evaluator(objects, facts).judge(request)


@pytest.mark.parametrize(
    ("request_", "loss"),
    [
        *((ask(method=method), "method.nonstandard") for method in ("", "CONNECT", "A B", "GÉT", "GET\n")),
        *((ask(at), "path.refused") for at in ("", "x", "?x", "/a b", "/<", "/`", "/a\x7f", '/x?"', "/\udcff", "/\ud800", "http://")),
        *((ask(headers=(line,)), "header.rejected") for line in (("x", "a\x00"), ("x", "a\rb"), ("a b", "x"), ("", "x"), ("é", "x"))),
    ],
)  # fmt: skip
def test_proxy_answers_by_itself_what_is_not_http(request_: Request, loss: str, facts: Facts) -> None:
    """With a loss that says why; where the port is opaque it is bytes as any other."""
    assert judged(ALL, request_, facts) == Answer("deny", by=("Server/shop/api",), losses=(loss,))
    assert judged((), request_, facts).losses == (loss,)
    assert judged((server(proxyProtocol="opaque"), *PORTED), request_, facts).verdict == "allow"


@pytest.mark.parametrize("at", ["/", '/"{}|^\\', "/é", "/%zz", "/a?b?c", "*", "/..;/x"])
def test_path_is_handed_on_as_it_is(at: str, facts: Facts) -> None:
    """The application gets to see what was sent."""
    assert judged(ALL, ask(at), facts) == Answer("allow", by=("AuthorizationPolicy/shop/for-all",))


@pytest.mark.parametrize(
    ("at", "received"),
    [("http://api.example/x?y", "/x?y"), ("HTTPS://api.example:8080/x", "/x"), ("http://d", "/"), ("/x?y#z", "/x?y")],
)
def test_target_in_absolute_form_is_matched_by_its_path(at: str, received: str, facts: Facts) -> None:
    """So is one with a fragment, which is cut off; its host is that of the target."""
    answer = judged((server(), *opened("r", "web", path(f"^{received.partition('?')[0]}$"))), ask(at), facts)
    assert (answer.verdict, answer.received) == ("allow", received)
    hosted = (server(), *opened("r", "web", path("^/x$"), hostnames=["*.example"]))
    assert judged(hosted, ask("http://api.example/x"), facts).verdict == "allow"
    assert judged(hosted, ask("http://example/x"), facts).verdict == "deny"


def test_blanks_around_a_value_are_cut_off_by_http1_alone(facts: Facts) -> None:
    """An answer is that of the version which lets more pass; where they lead elsewhere, a loss says so."""
    lines = (("x-tier", " gold\t"),)
    for pattern in ("^gold$", "^ gold\\t$"):
        tier = path("^/$", headers=[header("x-tier", pattern)])
        assert judged((server(), *opened("r", "web", tier)), ask(headers=lines), facts).verdict == "allow"
    gold = rule(to("store-v2"), matches=[{"headers": [header("x-tier", "^gold$")]}])
    answer = judged((split(gold, rule(to("store-v1"))),), call(headers=lines), facts)
    assert (answer.weights, answer.losses) == ({"store-v2": "1"}, ("header.rejected",))


@pytest.mark.parametrize("protocol", ["unknown", "HTTP/1", "HTTP/2"])
def test_declared_version_is_for_callers_without_a_proxy(protocol: str, facts: Facts) -> None:
    """Proxies speak HTTP/2 to each other; others must speak what is declared, and blanks show which version that was."""
    tier = path("^/$", headers=[header("x-tier", "^gold$")])
    open_ = server(proxyProtocol=protocol, accessPolicy="audit"), route("r", tier)
    lines = (("x-tier", " gold"),)
    assert judged(open_, ask(headers=lines), facts).verdict == "allow"
    assert judged(open_, ask(src=RAW, headers=lines), facts).verdict == ("deny" if protocol == "HTTP/2" else "allow")
    assert judged(open_, ask(src=RAW, headers=(("x-tier", "gold"),)), facts).verdict == "allow"


def test_path_counts_in_bytes(facts: Facts) -> None:
    """A prefix of three bytes loses to a regex, and wins over one of two."""
    longer, shorter = path("/é", "PathPrefix"), path("/a", "PathPrefix")
    objects = (server(), *opened("a", "web", longer), *opened("b", "rogue", path("/", "PathPrefix")))
    assert judged(objects, ask("/é/x"), facts).verdict == "allow"
    both = (server(), *opened("a", "web", longer, shorter), *opened("b", "rogue", path("^/a/.$", method="GET")))
    assert judged(both, ask("/a/é"), facts).verdict == "deny"
    assert judged(both, ask("/a/é/"), facts).verdict == "allow"
    wide = (
        server(),
        *opened("a", "web", path("^/..$", method="GET")),
        *opened("b", "rogue", path("/éé", "PathPrefix")),
    )
    assert judged(wide, ask("/éé"), facts).verdict == "allow"


def test_query_values_are_decoded(facts: Facts) -> None:
    """As forms are; any one of several is enough, and an empty one is a value."""
    asked = path("/", "PathPrefix", queryParams=[header("a b", r"^1 \x{e9}$"), header("c", "", "Exact")])
    objects = (server(), *opened("r", "web", asked))
    assert judged(objects, ask("/?a+b=0&a%20b=1+%C3%A9&c"), facts).verdict == "allow"
    assert judged(objects, ask("/?a+b=0&c"), facts).verdict == "deny"
    assert judged(objects, ask("/"), facts).verdict == "deny"


def test_names_of_headers_have_no_case_and_several_must_all_match(facts: Facts) -> None:
    """Lines are compared one by one, as bytes for exact values."""
    both = path("^/$", headers=[header("X-A", "1", "Exact"), header("x-b", "^[0-9]$")])
    objects = (server(), *opened("r", "web", both))
    assert judged(objects, ask(headers=(("x-a", "0"), ("x-A", "1"), ("X-B", "7"))), facts).verdict == "allow"
    assert judged(objects, ask(src=WEB, headers=(("x-a", "1"),)), facts).verdict == "deny"


@pytest.mark.parametrize(
    ("at", "value", "losses"),
    [
        *((odd, "gold", ("path.guarded",)) for odd in ("/a//b", "/a/..", "/./a", "/a;b", "/%41", "/a\\b", "/é", "*")),
        ("/a", "gold", ()),
        ("/public", "é", ("header.rejected",)),
        ("/a;b", "é", ("header.rejected", "path.guarded")),
        ("/a;b", "silver", ()),
    ],
)  # fmt: skip
def test_path_or_value_that_reads_in_two_ways_is_a_loss_where_others_would_pass(
    at: str, value: str, losses: tuple[str, ...], facts: Facts
) -> None:
    """Nothing is normalised, so who grants paths may leave such ones out; those who get nothing anyway lose nothing."""
    tier = path("^/public$", method="GET", headers=[header("x-tier", "^gold$")])
    objects = (server(), *opened("r", "web", tier))
    lines = (("x-tier", value),)
    assert judged(objects, ask(at, headers=lines), facts) == Answer("deny", by=("Server/shop/api",), losses=losses)
    assert judged(objects, ask(at, "shop/rogue", headers=lines), facts).losses == ()
    assert judged(objects, ask(at, method="PUT", headers=lines), facts).losses == ()
