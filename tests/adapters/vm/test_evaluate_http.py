"""Inbound HTTP: paths, odd requests and places that nothing serves, as a real Envoy 1.40 answers them."""

from __future__ import annotations

import pytest

from hub.api import (
    Answer,
    Destination,
    Request,
    Source,
)
from tests.adapters.vm.native import (
    ANY,
    APP,
    GOOD,
    LISTENER,
    TABLE,
    TLS,
    WEB,
    Json,
    allows,
    cluster,
    facts,
    granting,
    http,
    judged,
    listener,
    manager,
    mesh,
    path_is,
    placed,
    table,
)

GUARD = ".*(?:;|%25|%[01][0-9A-Fa-f]|%7[Ff]|%[cC][01]|%23|%3[bBfF]|%2[fF]|%5[cC]).*"


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


def test_cluster_is_needed_when_route_leads_to_it() -> None:
    """An application cluster without endpoints serves nobody."""
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "app/empty"}}]
    objects = mesh(table(GOOD, routes=routes), cluster("app/empty", endpoints=0))
    assert not allows(objects, http())
