"""From one set of grants to another, write by write: nobody may send what neither of them grants."""

from __future__ import annotations

from random import Random

import pytest

from adapters.linkerd.config import LinkerdConfig
from adapters.linkerd.plugin import SPEC
from adapters.linkerd.translate.unit import translate
from hub.model import Access, Change, Grant, HttpMatch, NativeObject, Observed, Op, UnitKey
from hub.plan.changes import Desired, all_changes, new_grants_first
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
    assert SPEC.new_first
    return sorted(new_grants_first(list(found), standing), key=lambda change: change.wave)


def raw_callers(state: list[NativeObject]) -> set[str]:
    """Who may send any bytes."""
    return callers_of(state, "smihub-9100-api", "Server")


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(30))
def test_no_state_in_between_is_wider_or_refuses_who_is_allowed_before_and_after(seed: int) -> None:
    """Wider in no order within a wave, whichever of two routes is older, and whichever release compares them; refused after no wave."""
    random = Random(seed)
    before, after = unit(random), unit(random)
    ends = [list(translate(one, LinkerdConfig()).objects) for one in (before, after)]
    found = changes(before, after)
    found.sort(key=lambda change: (change.wave, random.random()))
    state = {one.ref: one for one in ends[0]}
    asked = [(path, method, headers) for path in ASKED for method in ("GET", "POST", "PUT") for headers in HEADERS[1:]]
    both = {each: [allowed(end, 9100, *each) for end in ends] for each in asked}
    for number, change in enumerate(found):
        if change.after is None:
            del state[change.ref]
        else:
            state[change.ref] = change.after
        here = list(state.values())
        last = number + 1 == len(found) or found[number + 1].wave != change.wave
        assert raw_callers(here) <= raw_callers(ends[0]) | raw_callers(ends[1])
        for each, (had, have) in both.items():
            ways = ways_of(here, 9100, *each)
            assert set().union(*ways) <= had | have, (change.op, str(change.ref), each)
            assert not last or had & have <= frozenset.intersection(frozenset(had), *ways), (change.wave, each)
    assert sorted(state) == [one.ref for one in ends[1]]


def test_a_caller_more_for_the_same_requests() -> None:
    """Callers are in names: what they prove, the new policy and its route first, then the old route goes, and last its policy."""
    before = access(http_grant("a", ["web"], HttpMatch("/a")), ports=(inbound(8080),))
    after = access(http_grant("a", ["shop", "web"], HttpMatch("/a")), ports=(inbound(8080),))
    found = sorted((change.wave, change.op, change.ref.kind) for change in changes(before, after))
    assert [(op, kind) for _, op, kind in found] == [
        (Op.CREATE, "MeshTLSAuthentication"),
        (Op.CREATE, "AuthorizationPolicy"),
        (Op.CREATE, "HTTPRoute"),
        (Op.DELETE, "HTTPRoute"),
        (Op.DELETE, "AuthorizationPolicy"),
        (Op.DELETE, "MeshTLSAuthentication"),
    ]


def test_nothing_that_grants_is_ever_edited() -> None:
    """Other matches of the same callers are another route with another policy."""
    before = access(
        http_grant("a", ["web"], HttpMatch("/a")), tcp_grant("raw", ["job"]), ports=(inbound(8080, "none"),)
    )
    after = access(http_grant("a", ["web"], HttpMatch("/b")), tcp_grant("raw", ["job"]), ports=(inbound(8080, "none"),))
    assert {change.op for change in changes(before, after)} == {Op.CREATE, Op.DELETE}
