"""From one set of grants to another, write by write: nobody may send what neither of them grants."""

from __future__ import annotations

from random import Random

import pytest

from adapters.linkerd.config import LinkerdConfig
from adapters.linkerd.translate.unit import translate
from hub.model import Access, Change, Grant, HttpMatch, NativeObject, Observed, Op, UnitKey
from hub.plan.changes import Desired, all_changes
from tests.adapters.linkerd.choice import allowed, callers_of, ways_of
from tests.servers.units import access, http_grant, inbound, tcp_grant

KEY = UnitKey("access", "d", "api")
PATHS = ("/a", "/a/.*", "/a/b", "/b", ".*", None)
ASKED = ("/a", "/a/b", "/a/c", "/b", "/", "/x")
METHODS = (None, ("GET",), ("POST",))
HEADERS: tuple[tuple[tuple[str, str], ...], ...] = ((), (), (("x-a", "1"),))


def unit(random: Random) -> Access:
    """Grants by chance, to the undeclared port 9100."""
    grants: list[Grant] = [
        http_grant(
            f"t{number}",
            random.sample(["web", "shop", "job"], random.randint(1, 2)),
            HttpMatch(random.choice(PATHS), random.choice(METHODS), random.choice(HEADERS)),
        )
        for number in range(random.randint(0, 3))
    ]
    raw = [tcp_grant("raw", [random.choice(["web", "shop"])])] if random.random() < 0.3 else []
    return access(*grants, *raw, ports=(inbound(9100, "none"),))


def changes(before: Access, after: Access) -> list[Change]:
    """What the hub would write, by waves."""
    had, wanted = (translate(one, LinkerdConfig()) for one in (before, after))
    standing = {one.ref: Observed(one.ref, one.body, KEY, "t", one.role, one.needs) for one in had.objects}
    found = all_changes({KEY: Desired(after, wanted)}, {KEY: wanted.objects}, standing, {KEY: standing})
    return sorted(found, key=lambda change: change.wave)


def raw_callers(state: list[NativeObject]) -> set[str]:
    """Who may send any bytes."""
    return callers_of(state, "smihub-9100-api", "Server")


@pytest.mark.parametrize("seed", range(30))
def test_no_state_in_between_is_wider(seed: int) -> None:
    """In any order within a wave, whichever of two routes is older, and whichever release compares them."""
    random = Random(seed)
    before, after = unit(random), unit(random)
    ends = [list(translate(one, LinkerdConfig()).objects) for one in (before, after)]
    found = changes(before, after)
    found.sort(key=lambda change: (change.wave, random.random()))
    state = {one.ref: one for one in ends[0]}
    asked = [(path, method, headers) for path in ASKED for method in ("GET", "POST", "PUT") for headers in HEADERS[1:]]
    sure = {each: allowed(ends[0], 9100, *each) | allowed(ends[1], 9100, *each) for each in asked}
    for change in found:
        if change.after is None:
            del state[change.ref]
        else:
            state[change.ref] = change.after
        here = list(state.values())
        assert raw_callers(here) <= raw_callers(ends[0]) | raw_callers(ends[1])
        for each, may in sure.items():
            assert set().union(*ways_of(here, 9100, *each)) <= may, (change.op, str(change.ref), each)
    assert sorted(state) == [one.ref for one in ends[1]]


def test_a_caller_more_for_the_same_requests() -> None:
    """Callers are in names: what they prove first, then what goes, then the new route and last its policy."""
    before = access(http_grant("a", ["web"], HttpMatch("/a")), ports=(inbound(8080),))
    after = access(http_grant("a", ["shop", "web"], HttpMatch("/a")), ports=(inbound(8080),))
    found = sorted((change.wave, change.op, change.ref.kind) for change in changes(before, after))
    assert [(op, kind) for wave, op, kind in found if wave < 7] == [
        (Op.CREATE, "MeshTLSAuthentication"),
        (Op.DELETE, "AuthorizationPolicy"),
        (Op.DELETE, "HTTPRoute"),
        (Op.CREATE, "HTTPRoute"),
        (Op.CREATE, "AuthorizationPolicy"),
    ]
