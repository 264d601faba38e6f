"""The filter of an EnvoyFilter on a real Envoy, before an RBAC filter that asks for its result as istiod has it asked.

Over HTTP/1.1 and HTTP/2, with paths normalised as Istio does it (BASE) and not at all (NONE).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import re2

from adapters.istio import names
from adapters.istio.config import IstioConfig
from adapters.istio.safety.check import check
from adapters.istio.translate.objects import envoy_filter
from adapters.istio.translate.patterns import expressed
from hub.model import HttpMatch
from tests.adapters.vm.test_bytes_on_envoy import EVERY, Asked, Doors, matches
from tests.adapters.vm.test_pattern_guards import any_pattern, any_value, compiled, smis
from tests.servers.calls import plain
from tests.servers.ports import held_port
from tests.servers.real_envoy import running, validate

pytestmark = pytest.mark.envoy
Json = dict[str, Any]
FILTERS = IstioConfig(patterns="envoyfilter")
_EXTENSIONS = "type.googleapis.com/envoy.extensions.filters"
_HCM = "network.http_connection_manager.v3.HttpConnectionManager"
_PLAIN = re.compile(rb"[\x21-\x2b\x2d-\x7e]*")
"""Values without commas, blanks and bytes beyond ASCII, for which no guard is."""


def filters(said: Sequence[HttpMatch]) -> list[Json]:
    """The HTTP filter that an EnvoyFilter inserts for these matches."""
    permissions = [msgspec.json.decode(expressed(one, frozenset(), FILTERS).permission) for one in said]
    selector = {"smihub.io/sa": "api"}
    digest = names.content_digest(selector, permissions)
    body = envoy_filter(names.pattern_filter("d", "api", digest), selector, digest, permissions)
    check(body)
    return [msgspec.json.decode(body)["spec"]["configPatches"][0]["patch"]["value"]]


def asking(inserted: Sequence[Json]) -> Json:
    """Istio's own RBAC filter, which asks for their results: what istiod makes of the condition."""
    keys = [names.result_key(one["name"].rpartition(".")[2]).partition("[")[2].rstrip("]") for one in inserted]
    asked = [
        {"filter": "envoy.filters.http.rbac", "path": [{"key": key}], "value": {"string_match": {"exact": "allowed"}}}
        for key in keys
    ]
    policy = {"permissions": [{"metadata": one} for one in asked], "principals": [{"any": True}]}
    config = {"@type": f"{_EXTENSIONS}.http.rbac.v3.RBAC", "rules": {"action": "ALLOW", "policies": {"x": policy}}}
    return {"name": "envoy.filters.http.rbac", "typed_config": config}


def bootstrap_of(http_filters: Sequence[Json], port: int, *, normalise: bool) -> Json:
    """An Envoy that answers 200 to whatever these filters let pass."""
    router = {"name": "router", "typed_config": {"@type": f"{_EXTENSIONS}.http.router.v3.Router"}}
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200}}
    manager = {
        "@type": f"{_EXTENSIONS}.{_HCM}",
        "stat_prefix": "x",
        "normalize_path": normalise,
        "http_filters": [*http_filters, router],
        "route_config": {"virtual_hosts": [{"name": "x", "domains": ["*"], "routes": [route]}]},
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    listener = {"name": "x", "address": address, "enable_reuse_port": True, "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener]}}


@contextmanager
def serving(folder: Path, inserted: Sequence[Json], *, normalise: bool) -> Iterator[Doors]:
    """An Envoy with these filters, and the one that asks for their results."""
    port = held_port()
    with running(bootstrap_of([*inserted, asking(inserted)], port, normalise=normalise), folder):
        yield Doors(plain(port), plain(port))


def wrong(found: Sequence[tuple[str, Asked, int]]) -> list[tuple[str, Asked, int]]:
    """What is served and not meant."""
    return [one for one in found if one[2] == 200 and not one[1].admitted]


def test_bytes_and_lines_when_nothing_is_normalised(tmp_path: Path) -> None:
    """The table of the VM mesh: bytes beyond ASCII in paths and values, joined lines, folding letters. Nothing is wider."""
    said = [one for one in matches() if expressed(one, frozenset(), FILTERS).permission]
    with serving(tmp_path, filters(said), normalise=False) as doors:
        found = doors.statuses(EVERY)
    assert wrong(found) == []
    assert len([one for one in found if one[2] == 200]) > 120
    assert {status for _, _, status in found} <= {0, 200, 400, 403}


def _random(rng: Random, count: int) -> tuple[list[HttpMatch], list[Asked]]:
    """Patterns of headers and of paths, each below a path of its own, with requests that match or nearly do."""
    said: list[HttpMatch] = []
    asked: list[Asked] = []
    while len(said) < count:
        pattern, number = any_pattern(rng), len(said)
        if compiled(pattern, _UTF8) is None or "(?U" in pattern:
            continue
        match = HttpMatch(path=f"/h{number}", headers=(("x-a", pattern),))
        pieces = [bytes(rng.choice(b"aks7-xKb~") for _ in range(rng.randrange(4))) for _ in range(8)]
        requests = [
            Asked(f"/h{number}".encode(), (("x-a", one),), smis(pattern, one))
            for one in (any_value(rng) for _ in range(8))
        ]
        if number % 2:
            match = HttpMatch(path=f"/p{number}/(?:{pattern})")
            paths = [f"/p{number}/".encode() + one for one in pieces]
            requests = [Asked(path, (), smis(match.path or "", path)) for path in paths]
        if expressed(match, frozenset(), FILTERS).permission:
            said.append(match)
            asked += requests
    return said, asked


_UTF8 = re2.Options.Encoding.UTF8


@pytest.mark.parametrize("normalise", [True, False], ids=["BASE", "NONE"])
def test_requests_when_patterns_are_random(tmp_path: Path, normalise: bool) -> None:  # noqa: FBT001
    """Served is only what SMI means; of values for which no guard is, everything that it means."""
    said, asked = _random(Random("on envoy"), 120)
    with serving(tmp_path, filters(said), normalise=normalise) as doors:
        found = doors.statuses(asked)
    refused = [
        one
        for one in found
        if one[2] != 200 and one[1].admitted and all(_PLAIN.fullmatch(value) for _, value in one[1].lines)
    ]
    assert wrong(found) == []
    assert refused == []
    assert len([one for one in found if one[2] == 200]) > 200


def _policy(inserted: Json) -> Json:
    found: Json = inserted["typed_config"]["shadow_rules"]["policies"]["match"]
    return found


def _rules(inserted: Json) -> list[Json]:
    found: list[Json] = _policy(inserted)["permissions"][0]["and_rules"]["rules"]
    return found


def _path(pattern: str) -> Json:
    return {"path": {"safe_regex": {"regex": pattern}}}


FROZEN: dict[str, Callable[[Json], object]] = {
    "an invalid pattern": lambda one: _rules(one)[0].update(url_path=_path("/users/[0-9")),
    "an empty pattern": lambda one: _rules(one)[0].update(url_path=_path("")),
    "a pattern beyond the program size": lambda one: _rules(one)[0].update(url_path=_path("/" + "[a-z]{1,1000}" * 17)),
    "no permissions": lambda one: _policy(one).update(permissions=[]),
    "no principals": lambda one: _policy(one).update(principals=[]),
    "an empty set of rules": lambda one: _rules(one).clear(),
    "a header without a name": lambda one: _rules(one).append({"header": {"string_match": {"exact": "x"}}}),
    "a filter without a name": lambda one: one.pop("name"),
}


@pytest.mark.parametrize("name", ["as it is", *FROZEN])
def test_filters_that_envoy_refuses(tmp_path: Path, name: str) -> None:
    """A sidecar would keep the policies that it had; the last look lets none of these pass (test_check_filters.py)."""
    (inserted,) = filters([HttpMatch(path="/users/[0-9]+")])
    anchor = asking([inserted])
    if name in FROZEN:
        FROZEN[name](inserted)
    bootstrap = bootstrap_of([inserted, anchor], held_port(), normalise=True)
    if name in FROZEN:
        with pytest.raises(RuntimeError):
            validate(bootstrap, tmp_path)
    else:
        validate(bootstrap, tmp_path)
