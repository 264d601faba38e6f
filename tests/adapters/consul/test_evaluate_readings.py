"""How proxies read requests: what they refuse, what they hand on, and where versions of HTTP differ."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.consul.evaluate.mesh import evaluator
from adapters.consul.vocabulary import NOT_ONE_VALUE
from hub.api import Answer, Facts, NativeObject, Request
from tests.adapters.consul.native import (
    HTTP,
    allow,
    ask,
    call,
    deny,
    everyone,
    header,
    intentions,
    lines,
    may,
    refuse,
    route,
    router,
    source,
)


def judged(facts: Facts, objects: tuple[NativeObject, ...], request: Request) -> Answer:
    """The answer of a mesh with these entries."""
    return evaluator((*HTTP, *objects), facts).judge(request)


def web(**http: Any) -> tuple[NativeObject, ...]:
    """The account `a` may send these requests to `web`, and nobody anything else, whatever agents do by default."""
    return (intentions("web", source("a", may(**http), refuse(regex=".*")), deny()),)


_ALL = (intentions("web", allow("a"), deny()),)


@pytest.mark.parametrize(
    ("request_", "loss"),
    [
        *((ask(method=method), "method.nonstandard") for method in ("", "CONNECT", "A B", "GÉT", "GET\n")),
        *((ask(at), "path.refused") for at in ("", "x", "?x", "/a b", "/a\x7f", "/a#b", "*", "http://web/x", "/%00")),
        *((ask(headers=(line,)), "header.rejected") for line in (("x", "a\x00"), ("x", "a\rb"), ("a b", "x"), ("", "x"), ("é", "x"))),
        (ask(headers=(("content-length", "1"), ("content-length", "1"))), "header.rejected"),
        (ask(headers=(("connection", "upgrade"), ("upgrade", "h2c"))), "header.rejected"),
        (ask(headers=(("host", "a/b"),)), "header.rejected"),
    ],
)  # fmt: skip
def test_proxy_answers_by_itself_what_is_not_http(request_: Request, loss: str, facts: Facts) -> None:
    """With a loss that says why; to a service that does not speak HTTP it is bytes as any other."""
    answer = judged(facts, _ALL, request_)
    assert (answer.verdict, answer.losses, answer.received) == ("deny", (loss,), None)
    plain = evaluator((intentions("web", allow("a"), deny()),), facts).judge(request_)
    assert (plain.verdict, plain.losses) == ("allow", ())


@pytest.mark.parametrize(
    ("at", "received"),
    [("/x/../a", "/a"), ("/%61", "/a"), ("/a//b", None), ("/a%2fb", None), ("/a;b", None), ("/a\\b", "/a/b"), ("/é", "/%C3%A9")],
)  # fmt: skip
def test_the_application_gets_what_intentions_judged(at: str, received: str | None, facts: Facts) -> None:
    """Dot segments and needless escapes are resolved; slashes are neither merged nor unescaped."""
    answer = judged(facts, _ALL, ask(at))
    assert (answer.verdict, answer.received) == ("allow", received)
    assert judged(facts, _ALL, call(at=at)).received == received


def test_paths_beyond_ascii_are_of_http2_alone(facts: Facts) -> None:
    """There they are escaped before they are judged, and what HTTP/1.1 says is told beside."""
    answer = judged(facts, web(exact="/%C3%A9"), ask("/é"))
    assert (answer.verdict, answer.losses) == ("allow", ("path.refused",))
    assert judged(facts, web(exact="/é"), ask("/é")).verdict == "deny"


def test_blanks_around_a_value_are_cut_off_by_http1_alone(facts: Facts) -> None:
    """An answer is that of the version which lets more pass; where they lead elsewhere, a loss says so."""
    for text in ("gold", " gold\t"):
        tier = web(Header=[header("x-role", Exact=text)])
        assert judged(facts, tier, ask(headers=lines(" gold\t"))).verdict == "allow"
    gold = router("web", route("web-v1", Header=[header("x-role", Exact="gold")]))
    answer = judged(facts, (*everyone("web-v1", "web"), gold), call(headers=lines(" gold")))
    assert answer.losses == ("header.rejected",)


def test_methods_that_nobody_registered_are_of_http2_alone(facts: Facts) -> None:
    """HTTP/1.1 answers 400; intentions that name no method take them."""
    answer = judged(facts, _ALL, ask(method="BREW"))
    assert (answer.verdict, answer.losses) == ("allow", ("method.nonstandard",))


def test_joined_lines_are_judged_joined(facts: Facts) -> None:
    """Of a few headers Envoy makes one value of all lines; where single ones would pass, a loss says so."""
    agent = web(Header=[header("user-agent", Exact="a")])
    answer = judged(facts, agent, ask(headers=lines("a", "b", name="user-agent")))
    assert (answer.verdict, answer.losses) == ("deny", ("header.rejected",))
    both = web(Header=[header("user-agent", Exact="a,b")])
    assert judged(facts, both, ask(headers=lines("a", "b", name="user-agent"))).verdict == "allow"
    assert judged(facts, agent, ask(headers=lines("b", "c", name="user-agent"))).losses == ()


def test_cookies_are_joined_over_http2(facts: Facts) -> None:
    """Of HTTP/1.1 each line is compared alone."""
    crumbs = lines("a=1", "b=2", name="cookie")
    for text in ("a=1", "a=1; b=2"):
        assert judged(facts, web(Header=[header("cookie", Exact=text)]), ask(headers=crumbs)).verdict == "allow"


def test_values_are_bytes(facts: Facts) -> None:
    """A dot is one byte, of which a character beyond ASCII has several; where characters would pass, a loss says so."""
    one = web(Header=[header("x-role", Regex=".")])
    answer = judged(facts, one, ask(headers=lines("é")))
    assert (answer.verdict, answer.losses) == ("deny", ("header.rejected",))
    assert judged(facts, web(Header=[header("x-role", Regex="..")]), ask(headers=lines("é"))).verdict == "allow"
    assert judged(facts, web(Header=[header("x-role", Exact="é")]), ask(headers=lines("é"))).verdict == "allow"


def test_lines_that_are_named_in_connection_are_removed(facts: Facts) -> None:
    """A caller can have them removed, so an inverted condition on them is met by nothing."""
    hidden = (("connection", "x-role"), ("x-role", "admin"))
    assert (
        judged(facts, web(Header=[header("x-role", Present=True, Invert=True)]), ask(headers=hidden)).verdict == "allow"
    )
    assert judged(facts, web(Header=[header("x-role", Exact="admin")]), ask(headers=hidden)).verdict == "deny"


def test_pseudo_headers(facts: Facts) -> None:
    """`:method` and `:path` are taken; of a normalised path the normal form."""
    assert judged(facts, web(Header=[header(":method", Exact="GET")]), ask()).verdict == "allow"
    assert judged(facts, web(Header=[header(":path", Exact="/a?b")]), ask("/x/../a?b")).verdict == "allow"


@pytest.mark.parametrize(
    ("objects", "request_", "losses"),
    [
        (refuse(regex=".*;.*"), ask("/a;b"), ("path.guarded",)),
        (refuse(regex=".*;.*"), ask("/c;b"), ()),
        (refuse(exact="/ab"), ask("/ab"), ()),
        (refuse(regex=".*;.*", Methods=["GET"]), ask("/a;b"), ()),
    ],
)
def test_a_denial_by_path_alone_is_a_loss_where_the_path_reads_in_two_ways(
    objects: dict[str, Any], request_: Request, losses: tuple[str, ...], facts: Facts
) -> None:
    """And where it would pass without that denial; of a path that reads one way only, it is what is meant."""
    entry = intentions("web", source("a", objects, may(prefix="/a"), refuse(prefix="/")), deny())
    answer = judged(facts, (entry,), request_)
    assert (answer.verdict, answer.losses) == ("deny", losses)


def test_a_value_that_is_barred_is_a_loss_where_it_reads_in_two_ways(facts: Facts) -> None:
    """With a comma it may be two lines that somebody joined; a plain one is what is meant."""
    barred = header("x-role", Regex=".*(?:,|b).*", Invert=True)
    tier = web(exact="/a", Header=[header("x-role", Regex="a.*"), barred])
    assert judged(facts, tier, ask("/a", headers=lines("a,c"))).losses == ("header.rejected",)
    assert judged(facts, tier, ask("/a", headers=lines("c,c"))).losses == ()
    assert judged(facts, tier, ask("/a", headers=lines("ab"))).losses == ()
    guarded = intentions(
        "web", source("a", refuse(regex=".*;.*"), may(prefix="/a", Header=[barred]), refuse(prefix="/")), deny()
    )
    both = judged(facts, (guarded,), ask("/a;b", headers=lines("a,c")))
    assert both.losses == ("header.rejected", "path.guarded")


def test_routes_by_the_path_as_it_was_sent(facts: Facts) -> None:
    """Where the path that the destination sees would lead elsewhere, a loss says so, and where a barred value does."""
    to_v1 = (*everyone("web", "web-v1"), router("web", route("web-v1", regex="/api/.*")))
    assert judged(facts, to_v1, call(at="/z/../api/x")).losses == ("path.guarded",)
    assert judged(facts, to_v1, call(at="/api/../x")).losses == ("path.guarded",)
    assert judged(facts, to_v1, call(at="/z/../apix")).losses == ()
    barred = header("x-role", Regex=".*,.*", Invert=True)
    by_value = (
        *everyone("web", "web-v1"),
        router("web", route("web-v1", Header=[header("x-role", Regex="a.*"), barred])),
    )
    answer = judged(facts, by_value, call(headers=lines("a,b")))
    assert (answer.route, answer.losses) == ("root", ("header.rejected",))
    assert judged(facts, by_value, call(headers=lines("a"))).weights == {"web-v1": "1"}


def test_a_value_that_matches_by_its_characters_alone_is_refused_with_a_reason(facts: Facts) -> None:
    """`(?i)k` is the Kelvin sign too, whose bytes no Envoy matches; the guard of values stands beside the pattern."""
    guard = header("x-role", Regex=NOT_ONE_VALUE, Invert=True)
    entries = (*HTTP, *web(Header=[header("x-role", Regex="(?i)k.*s"), guard]))
    answer = evaluator(entries, facts).judge(ask(headers=lines("a,b", "\u212as")))
    assert (answer.verdict, answer.losses) == ("deny", ("header.rejected",))
