"""Where requests of different callers overlap: each cell has all who may send it, and one route is enough to say so."""

from __future__ import annotations

import re
from random import Random

import pytest
import re2

from adapters.linkerd.config import LinkerdConfig
from adapters.linkerd.translate import cells as translate_cells
from adapters.linkerd.translate.unit import translate
from hub.api import PathOptions, normalise
from hub.model import Grant, HttpMatch, Translation
from tests.adapters.linkerd.choice import allowed, bodies
from tests.servers.units import access, http_grant, inbound

PATHS = ("/a", "/a/.*", "/a/[0-9]+", "/a/b", ".*", "/(a|b)/c?", None)
METHODS = (None, None, ("GET",), ("GET", "POST"), ("HEAD",))
HEADERS: tuple[tuple[tuple[str, str], ...], ...] = (
    (),
    (),
    (("x-a", "1"),),
    (("x-b", ".+"),),
    (("x-a", "1"), ("x-b", ".+")),
)
ASKED = ("/a", "/a/", "/a/b", "/a/7", "/a/b/7", "/b/", "/b/c", "/", "/a/../b", "/a//b", "/a/%62")


def made(*grants: Grant) -> Translation:
    """What the grants come to on one HTTP port."""
    return translate(access(*grants, ports=(inbound(8080),)), LinkerdConfig())


def meant(grants: list[Grant], path: str, method: str, headers: tuple[tuple[str, str], ...]) -> set[str]:
    """Who may send a request: the union over all grants."""
    return {
        source.replace("spiffe://td/ns/d/sa/", "d/")
        for grant in grants
        for match in grant.http or ()
        if (match.path is None or re2.fullmatch(match.path, path))
        and (match.methods is None or method in match.methods)
        and all(
            any(name == each and re2.fullmatch(pattern, value) for name, value in headers)
            for each, pattern in match.headers
        )
        for source in grant.sources
    }


def test_a_narrower_path_of_another_caller() -> None:
    """Both may send what both are granted, and each the rest of its own."""
    found = made(http_grant("a", ["web"], HttpMatch("/v1/.*")), http_grant("b", ["shop"], HttpMatch("/v1/books")))
    assert allowed(found, 8080, "/v1/books") == {"d/web", "d/shop"}
    assert allowed(found, 8080, "/v1/other") == {"d/web"}
    assert found.losses == ()


def test_a_method_of_another_caller() -> None:
    """The match with the method is the more specific one, so it has the callers of both."""
    found = made(http_grant("a", ["web"], HttpMatch("/a")), http_grant("b", ["shop"], HttpMatch("/a", ("GET",))))
    assert allowed(found, 8080, "/a") == {"d/web", "d/shop"}
    assert allowed(found, 8080, "/a", "POST") == {"d/web"}


def test_headers_of_different_callers() -> None:
    """More headers go first, so the conjunction stands beside each of them."""
    one, other = HttpMatch("/a", None, (("x-a", "1"),)), HttpMatch("/a", None, (("x-b", "2"),))
    found = made(http_grant("a", ["web"], one), http_grant("b", ["shop"], other))
    assert allowed(found, 8080, "/a", headers=(("x-a", "1"),)) == {"d/web"}
    assert allowed(found, 8080, "/a", headers=(("x-b", "2"),)) == {"d/shop"}
    assert allowed(found, 8080, "/a", headers=(("x-a", "1"), ("x-b", "2"))) == {"d/web", "d/shop"}
    assert allowed(found, 8080, "/a") == set()


def test_a_header_against_a_method() -> None:
    """The header counts more than the method, and the cell of both has both callers."""
    one, other = HttpMatch("/a", None, (("x-a", "1"),)), HttpMatch("/a", ("GET",))
    found = made(http_grant("a", ["web"], one), http_grant("b", ["shop"], other))
    assert allowed(found, 8080, "/a", "GET", (("x-a", "1"),)) == {"d/web", "d/shop"}
    assert allowed(found, 8080, "/a", "PUT", (("x-a", "1"),)) == {"d/web"}


def test_a_method_stands_with_every_set_of_headers() -> None:
    """Else a release that compares methods first would take the match that has a method and no header."""
    header, method = HttpMatch("/a", None, (("x-a", "1"),)), HttpMatch("/a", ("GET",))
    found = made(http_grant("a", ["shop", "web"], header), http_grant("b", ["shop"], method))
    assert allowed(found, 8080, "/a", "GET", (("x-a", "1"),)) == {"d/shop", "d/web"}
    assert allowed(found, 8080, "/a", "GET") == {"d/shop"}


def test_two_conditions_on_one_header_in_a_cell() -> None:
    """A route cannot ask for both, so the overlap grants nothing, and what does not overlap stays."""
    one, other = HttpMatch("/a", None, (("x-a", "1"),)), HttpMatch("/a", None, (("x-a", "2"),))
    found = made(http_grant("a", ["web"], one), http_grant("b", ["shop"], other, HttpMatch("/b")))
    assert {loss.code for loss in found.losses} == {"linkerd.header-not-expressible"}
    assert allowed(found, 8080, "/a", headers=(("x-a", "1"),)) == set()
    assert allowed(found, 8080, "/b") == {"d/shop"}
    assert [(grant.origin.name, grant.http) for grant in found.carried or ()] == [("b", (HttpMatch("/b"),))]


def test_every_path_beside_a_part_of_them() -> None:
    """What is left of every path is a prefix, which is less specific than any pattern."""
    found = made(http_grant("a", ["web"], HttpMatch(None, ("GET",))), http_grant("b", ["shop"], HttpMatch("/admin/.*")))
    assert found.losses == ()
    assert allowed(found, 8080, "/admin/x") == {"d/web", "d/shop"}
    assert allowed(found, 8080, "/admin/x", "PUT") == {"d/shop"}
    assert allowed(found, 8080, "/admin/../x") == {"d/web"}
    assert allowed(found, 8080, "/") == {"d/web"}


def test_every_path_beside_the_shortest() -> None:
    """The prefix is as long as the path "/", so there what is left is a pattern, for normal paths."""
    found = made(
        http_grant("a", ["web"], HttpMatch(None, ("GET",))), http_grant("b", ["shop"], HttpMatch("/(?:x/.*)?"))
    )
    assert found.losses == ()
    assert allowed(found, 8080, "/") == {"d/web", "d/shop"}
    assert allowed(found, 8080, "/y") == {"d/web"}
    assert allowed(found, 8080, "/x/../y") == set()


def test_too_many_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the overlap is granted, and the rest of the port stays."""
    monkeypatch.setattr(translate_cells, "MAX_PATHS", 1)
    grants = [
        http_grant("a", ["web"], HttpMatch("/v1/.*"), HttpMatch("/x")),
        http_grant("b", ["shop"], HttpMatch("/v1/a")),
    ]
    found = made(*grants)
    assert {loss.code for loss in found.losses} == {"linkerd.cells-too-many"}
    assert allowed(found, 8080, "/v1/a") == set()
    assert allowed(found, 8080, "/x") == {"d/web"}


@pytest.mark.thorough
def test_an_overlap_that_no_route_can_say() -> None:
    """The paths of one without those of the other need a longer pattern than the schema takes: nothing of both is granted."""
    found = made(
        http_grant("a", ["web"], HttpMatch("/v1/.*")), http_grant("b", ["shop"], HttpMatch(r"/v1/[^/]+\.json"))
    )
    assert {loss.code for loss in found.losses} == {"linkerd.cells-too-many"}
    assert bodies(found, "HTTPRoute") == {}


def test_too_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be analysed in time grants nothing."""
    monkeypatch.setattr(translate_cells, "PORT_STEPS", 10)
    found = made(http_grant("a", ["web"], HttpMatch("/v1/.*")), http_grant("b", ["shop"], HttpMatch("/v1/a")))
    assert {loss.code for loss in found.losses} == {"linkerd.cells-too-many"}
    assert bodies(found, "HTTPRoute") == {}


def test_disjoint_conditions_need_no_cells() -> None:
    """Every pattern stands as it was written."""
    found = made(http_grant("a", ["web"], HttpMatch("/a/[0-9]+")), http_grant("b", ["shop"], HttpMatch("/b")))
    paths = {
        match["path"]["value"]
        for one in bodies(found, "HTTPRoute").values()
        for rule in one["rules"]
        for match in rule["matches"]
    }
    assert paths == {"^(?:/a/[0-9]+)$", "^(?:/b)$"}


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(12))
def test_random_grants(seed: int) -> None:
    """Exactly who SMI lets in, for paths in normal form; for others nobody more."""
    random = Random(seed)
    grants = [
        http_grant(
            f"t{number}",
            random.sample(["web", "shop", "job"], random.randint(1, 2)),
            *{
                HttpMatch(random.choice(PATHS), random.choice(METHODS), random.choice(HEADERS))
                for _ in range(random.randint(1, 2))
            },
        )
        for number in range(random.randint(2, 4))
    ]
    found = made(*grants)
    assert found.losses == ()
    for path in ASKED:
        normal = normalise(path.encode(), PathOptions(normalize=True, merge=True)) == path.encode()
        for method in ("GET", "POST", "HEAD", "PROPFIND"):
            for headers in ((), (("x-a", "1"),), (("x-b", "2"),), (("x-a", "0"), ("x-a", "1"), ("x-b", "2"))):
                got, wanted = allowed(found, 8080, path, method, headers), meant(grants, path, method, headers)
                assert got == wanted if normal else got <= wanted, (path, method, headers, grants)


def test_patterns_are_anchored_and_short() -> None:
    """Whatever is written: full matches in ASCII, within the limits of the schema."""
    found = made(http_grant("a", ["web"], HttpMatch("/v1/.*")), http_grant("b", ["shop"], HttpMatch("/v1/[^/]+")))
    assert len(bodies(found, "HTTPRoute")) == 2
    for route in bodies(found, "HTTPRoute").values():
        for rule in route["rules"]:
            assert len(rule["matches"]) <= 8
            for match in rule["matches"]:
                value = match["path"]["value"]
                assert re.fullmatch(r"\^\(\?:[\x20-\x7e]+\)\$", value)
                assert len(value) <= 1024
