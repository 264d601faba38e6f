"""Where calls go, share by share: weights, splitters behind splitters, redirects, and whoever is not there."""

from __future__ import annotations

from fractions import Fraction

import pytest
from msgspec.structs import replace

from adapters.consul.evaluate.mesh import evaluator
from hub.api import Answer, Facts, NativeObject, Request
from tests.adapters.consul.native import (
    HTTP,
    call,
    defaults,
    everyone,
    header,
    lines,
    resolver,
    route,
    router,
    split,
    to,
)

_OPEN = (*HTTP, *everyone("web", "web-v1", "web-v2", "web-beta"))


def judged(facts: Facts, *objects: NativeObject, asked: Request | None = None) -> Answer:
    """The answer of a mesh in which everybody may call everything."""
    return evaluator((*_OPEN, *objects), facts).judge(asked or call())


def test_shares_are_what_envoy_gets(facts: Facts) -> None:
    """A hundred times a weight in single precision, without its fraction: of 0.53 that is 52, of 99.47 it is 9947."""
    answer = judged(facts, split("web", to(30, "web-v1"), to(70, "web-v2")))
    assert answer.weights == {"web-v1": "3/10", "web-v2": "7/10"}
    answer = judged(facts, split("web", to(0.53, "web-v1"), to(99.47, "web-v2")))
    assert answer.weights == {"web-v1": "52/9999", "web-v2": "9947/9999"}


# Computed with Go 1.26: int(float32(n)/100 * 100) is another number than n for 569 of those from 0 to 10 000.
@pytest.mark.parametrize(
    ("weight", "units"), [(1.05, 104), (2.1, 209), (4.22, 421), (4.43, 442), (16, 1600), (33.33, 3333)]
)
def test_weights_that_are_cut_off(weight: float, units: int, facts: Facts) -> None:
    """Beside whole numbers, which are exact."""
    rest = round(100 - weight, 2)
    answer = judged(facts, split("web", to(weight, "web-v1"), to(rest, "web-v2")))
    shares = {name: Fraction(part) for name, part in (answer.weights or {}).items()}
    assert shares["web-v1"] / shares["web-v2"] in {
        Fraction(units, 10_000 - round(weight * 100) - off) for off in (0, 1)
    }
    assert sum(shares.values()) == 1


def test_a_weight_below_a_hundredth_is_none(facts: Facts) -> None:
    """Consul rounds it to nothing; halves go up."""
    assert judged(facts, split("web", to(0.004, "web-v1"), to(99.996, "web-v2"))).weights == {"web-v2": "1"}
    answer = judged(facts, split("web", to(49.995, "web-v1"), to(50, "web-v2")))
    assert answer.weights == {"web-v1": "1/2", "web-v2": "1/2"}


def test_splitters_behind_a_share(facts: Facts) -> None:
    """They are followed one step, their shares multiplied; not behind a subset, nor behind the service itself."""
    inner = split("web-v2", to(50), to(50, "web-v1"))
    answer = judged(facts, split("web", to(20, "web-v1"), to(80, "web-v2")), inner)
    assert answer.weights == {"web-v1": "3/5", "web-v2": "2/5"}
    assert answer.by[:2] == ("service-intentions/shop_web-v1", "service-intentions/shop_web-v2")
    subset = to(80, "web-v2", ServiceSubset="all")
    known = resolver("web-v2", Subsets={"all": {}})
    answer = judged(facts, split("web", to(20, "web-v1"), subset), inner, known)
    assert answer.weights == {"web-v1": "1/5", "web-v2": "4/5"}


def test_the_service_itself_is_the_root(facts: Facts) -> None:
    """With all of the calls it is called so; a part of them is a split, and so is all of them elsewhere."""
    assert judged(facts).route == "root"
    assert judged(facts, split("web", to(100))).route == "root"
    assert judged(facts, split("web", to(100, "web-v1"))).route == "split"
    assert judged(facts, split("web", to(50), to(50, "web-v2"))).weights == {"web": "1/2", "web-v2": "1/2"}


def test_nobody_behind_a_share(facts: Facts) -> None:
    """The proxy of the client answers 503, for that share."""
    answer = judged(facts, defaults("nosvc"), split("web", to(50, "web-v1"), to(50, "nosvc")))
    assert (answer.verdict, answer.route) == ("mixed", "split")
    assert answer.backends == {"nosvc": "no-endpoint", "web-v1": "allow"}
    gone = judged(facts, defaults("gone"), split("web", to(100, "gone")))
    assert (gone.verdict, gone.route, gone.weights, gone.backends) == ("deny", "unavailable", {}, {})


def test_redirects(facts: Facts) -> None:
    """They take the place of a service wherever it stands, also in its own share; a default subset is one of its own."""
    away = resolver("web", Redirect={"Service": "shop_web-v1"})
    assert judged(facts, away).weights == {"web-v1": "1"}
    answer = judged(facts, away, split("web", to(40), to(60, "web-v2")))
    assert answer.weights == {"web-v1": "2/5", "web-v2": "3/5"}
    stays = resolver("web", Subsets={"v1": {"OnlyPassing": True}}, DefaultSubset="v1", ConnectTimeout="5s")
    assert judged(facts, stays).weights == {"web": "1"}


def test_routes_lead_to_services_and_subsets(facts: Facts) -> None:
    """Retries and timeouts change nothing; the router of the service that is called alone counts."""
    tuned = route("web-v1", prefix="/v1")
    tuned["Destination"] |= {"NumRetries": 2, "RetryOn": ["5xx"], "RequestTimeout": "3s"}
    subset = route("web-v2", prefix="/v2")
    subset["Destination"] |= {"ServiceSubset": "all"}
    objects = (
        router("web", tuned, subset),
        router("web-v1", route("web-beta")),
        split("web-v2", to(100, "web-v1")),
        resolver("web-v2", Subsets={"all": {}}),
    )
    assert judged(facts, *objects, asked=call(at="/v1")).weights == {"web-v1": "1"}
    assert judged(facts, *objects, asked=call(at="/v2")).weights == {"web-v2": "1"}
    assert judged(facts, *objects).route == "root"


def test_lines_that_could_lead_elsewhere_are_a_loss(facts: Facts) -> None:
    """Envoy joins repeated lines of a few headers before it routes, and compares bytes, not characters."""
    by_agent = router("web", route("web-v1", Header=[header("user-agent", Exact="a")]))
    asked = call(headers=lines("a", "b", name="User-Agent"))
    answer = judged(facts, by_agent, asked=asked)
    assert (answer.route, answer.losses) == ("root", ("header.rejected",))
    assert judged(facts, by_agent, asked=call(headers=lines("a", name="user-agent"))).losses == ()
    by_byte = router("web", route("web-v1", Header=[header("x-role", Regex=".")]))
    assert judged(facts, by_byte, asked=call(headers=lines("é"))).losses == ("header.rejected",)


def test_ports_of_services(facts: Facts) -> None:
    """A Service has the ports that it has, and no call over UDP is carried."""
    assert judged(facts, asked=call("gone")).route == "no-service"
    other = judged(facts, asked=call("web"))
    assert other.route == "root"
    udp = judged(facts, asked=call(protocol="udp"))
    assert (udp.route, udp.losses) == ("no-port", ("proto.udp-not-captured",))


def test_bytes_to_a_service_that_speaks_http(facts: Facts) -> None:
    """The proxy of the client refuses them; requests to one that does not speak it are bytes."""
    assert judged(facts, asked=call(protocol="tcp")).verdict == "deny"
    both = (*everyone("tcpsvc"),)
    assert judged(facts, *both, asked=call("tcpsvc")).verdict == "allow"
    assert judged(facts, *both, asked=call("tcpsvc", protocol="tcp")).verdict == "allow"


def test_a_redirect_of_bytes(facts: Facts) -> None:
    """It needs no HTTP."""
    away = resolver("tcpsvc", Redirect={"Service": "shop_a"})
    answer = judged(facts, *everyone("a"), away, asked=call("tcpsvc", protocol="tcp"))
    assert (answer.verdict, answer.weights) == ("allow", {"a": "1"})


@pytest.mark.parametrize(
    ("match", "sent", "received"),
    [
        ({}, "//42/?a=//", "/42/?a=//"),
        ({"Methods": ["GET"]}, "///x", "//x"),
        ({"Methods": ["POST"]}, "//x", "/x"),  # the last route, which takes every path
        ({"PathPrefix": "/foo"}, "/foo/bar", "/bar"),
        ({"PathPrefix": "/foo"}, "/foobar", "/bar"),
        ({"PathRegex": ".*"}, "//x", None),
        ({"PathExact": "/foo"}, "/foo", None),
        ({}, "/x", None),
    ],
)
def test_a_route_by_the_beginning_of_a_path_takes_it_away(
    match: dict[str, object], sent: str, received: str | None, facts: Facts
) -> None:
    """Observed for "/" on Consul 1.22: `//42/` arrives as `/42/`; Consul's routes.go says it of every prefix."""
    by_path = router("web", route("web-v1", **match))
    assert judged(facts, by_path, asked=replace(call(), path=sent)).received == received


def test_without_a_router_paths_stay(facts: Facts) -> None:
    """A splitter alone rewrites nothing."""
    assert judged(facts, split("web", to(100, "web-v1")), asked=replace(call(), path="//42/")).received is None
