"""Probes that smihub.yaml opens: the exact path, method, port and networks, and nothing else is wider for them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from adapters.linkerd.config import LinkerdConfig, Probe, Probes
from adapters.linkerd.evaluate.mesh import evaluator
from adapters.linkerd.translate import cells as translate_cells
from adapters.linkerd.translate.unit import translate
from hub.model import (
    Destination,
    Facts,
    HttpMatch,
    Identity,
    NativeObject,
    ObjectRef,
    Observed,
    Placement,
    Request,
    Source,
    Translation,
    UnitKey,
)
from hub.plan.changes import Desired, all_changes, new_grants_first
from tests.adapters.linkerd.choice import bodies
from tests.adapters.linkerd.objects import NEW, OLD
from tests.adapters.linkerd.test_translate_waves import unit
from tests.servers.units import TRUST_DOMAIN, access, http_grant, inbound, tcp_grant

NODES, OTHERS = "10.0.0.0/16", "fd00::/8"
KEY = UnitKey("access", "d", "api")


def probed(*paths: str, networks: tuple[str, ...] = (NODES,), port: int = 9100) -> LinkerdConfig:
    """Settings that open these paths."""
    return LinkerdConfig(probes=Probes(networks, tuple(Probe("d/api", port, path) for path in paths)))


def _pod(name: str, address: str, account: str = "stranger") -> Placement:
    ref = ObjectRef("", "Pod", "d", name)
    return Placement(ref, Identity(TRUST_DOMAIN, "d", account), addresses=(address,))


_PODS = _pod("near", "10.0.1.2"), _pod("far", "10.1.0.1"), _pod("far-web", "10.1.0.2", "web")
FACTS = Facts(TRUST_DOMAIN, {one.ref: one for one in _PODS})
NEAR, UNKNOWN = Source(pod="d/near"), Source(outside=True)
FAR = Source(pod="d/far"), Source(pod="d/far-web")
CALLERS = (NEAR, *FAR, UNKNOWN, *(Source(identity=f"d/{name}") for name in ("web", "shop", "job")))


PATHS = ("/", "/a", "/a/", "/a/b", "/a/b?x=1", "/a/bb", "/A", "/b", "//a", "/%61", "/a.b", "/axb", "/x")


def asked(paths: Sequence[str] = PATHS) -> Iterator[Request]:
    """Requests around the probes of these tests, by everybody."""
    for source in CALLERS:
        yield Request(source, Destination(identity="d/api"), 9100, "tcp")
        for path in paths:
            for method in ("GET", "HEAD", "POST"):
                for headers in ((), (("x-a", "1"),)):
                    for port in (9100, 9101) if path == "/a" else (9100,):
                        yield Request(
                            source, Destination(identity="d/api"), port, method=method, path=path, headers=headers
                        )


def is_probe(request: Request, paths: tuple[str, ...]) -> bool:
    """Whether a request is one of those that are opened: from the networks, or from nobody knows where."""
    line = (request.port, request.protocol, request.method)
    return line == (9100, "http", "GET") and request.path.partition("?")[0] in paths and request.src not in FAR


def verdicts(made: Translation | list[NativeObject], paths: Sequence[str] = PATHS) -> dict[Request, str]:
    """What becomes of each request."""
    judge = evaluator(made.objects if isinstance(made, Translation) else made, FACTS).judge
    return {request: judge(request).verdict for request in asked(paths)}


def _made_at(one: NativeObject, age: str) -> NativeObject:
    """The object as it is read back."""
    body = msgspec.json.decode(one.body)
    return replace(one, body=msgspec.json.encode({**body, "metadata": {**body["metadata"], "creationTimestamp": age}}))


def test_the_objects_of_a_probe() -> None:
    """A route for the exact path and GET, a policy of it alone, and the networks; the Server lets nobody in."""
    made = translate(access(ports=(inbound(9100),)), probed("/a.b"))
    (route,) = bodies(made, "HTTPRoute").values()
    match = {"method": "GET", "path": {"type": "RegularExpression", "value": r"^(?:/a\.b)$"}}
    assert route["rules"] == [{"matches": [match]}]
    ((name, networks),) = bodies(made, "NetworkAuthentication").items()
    assert networks == {"networks": [{"cidr": NODES}]}
    (policy,) = bodies(made, "AuthorizationPolicy").values()
    assert policy["targetRef"]["kind"] == "HTTPRoute"
    assert [(one["kind"], one["name"]) for one in policy["requiredAuthenticationRefs"]] == [
        ("NetworkAuthentication", name)
    ]
    needs = {one.ref.kind: [each.kind for each in one.needs] for one in made.objects}
    assert needs["HTTPRoute"] == ["Server", "AuthorizationPolicy"]
    assert needs["AuthorizationPolicy"] == ["NetworkAuthentication"]


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(5))
def test_exactly_the_probes_are_opened(seed: int) -> None:
    """Whatever is granted beside them: what SMI grants stays, at the paths of probes too."""
    random = Random(f"probes/{seed}")
    granted = replace(unit(random), ports=(inbound(9100, "none"), inbound(9101)))
    paths = tuple(random.sample(["/", "/a", "/a/b", "/a.b", "/x"], random.randint(1, 3)))
    without, opened = verdicts(translate(granted, LinkerdConfig())), translate(granted, probed(*paths))
    assert [loss.code for loss in opened.losses] == ["linkerd.opened-network"]
    for request, verdict in verdicts(opened).items():
        wanted = "allow" if is_probe(request, paths) else without[request]
        # With a probe of "/" beside grants of every path, those count for paths in normal form (path.guarded).
        narrower = verdict == "deny" and request.path in {"//a", "/%61"}
        assert verdict == wanted or narrower, request


def test_a_request_that_the_networks_alone_let_in_says_so() -> None:
    """And one that is granted as well does not."""
    made = translate(access(http_grant("t", ["web"], HttpMatch("/a")), ports=(inbound(9100),)), probed("/a"))
    judge = evaluator(made.objects, FACTS).judge
    answers = {src: judge(Request(src, Destination(identity="d/api"), 9100, path="/a")) for src in (NEAR, FAR[1])}
    assert [answer.losses for answer in answers.values()] == [("linkerd.opened-network",), ()]


def _changes(random: Random) -> tuple[list[list[NativeObject]], list[Any]]:
    ends = [unit(random), unit(random)]
    settings = [random.choice((LinkerdConfig(), probed("/a"), probed("/a", "/b", networks=(OTHERS,)))) for _ in ends]
    had, wanted = (translate(one, config) for one, config in zip(ends, settings, strict=True))
    standing = {one.ref: Observed(one.ref, one.body, KEY, "t", one.role, one.needs) for one in had.objects}
    found = all_changes({KEY: Desired(ends[1], wanted)}, {KEY: wanted.objects}, standing, {KEY: standing})
    ordered = sorted(new_grants_first(list(found), standing), key=lambda change: (change.wave, random.random()))
    return [list(had.objects), list(wanted.objects)], ordered


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(5))
def test_no_state_on_the_way_is_wider(seed: int) -> None:
    """As probes, networks and grants come and go."""
    (had, wanted), changes = _changes(Random(f"waves/{seed}"))
    paths = ("/a", "/b", "/x")
    before, after = verdicts(had, paths), verdicts(wanted, paths)
    state = {one.ref: _made_at(one, OLD) for one in had}
    for change in changes:
        state.pop(change.ref, None)
        if change.after is not None:
            state[change.ref] = _made_at(change.after, NEW)
        for request, verdict in verdicts(list(state.values()), paths).items():
            assert verdict == "deny" or "allow" in {before[request], after[request]}, (change.op, change.ref, request)
    assert sorted(state) == sorted(one.ref for one in wanted)


def test_a_probe_of_others_or_of_no_port_of_http() -> None:
    """The account of another unit opens nothing; on opaque bytes nothing can be opened, and that is refused."""
    other = LinkerdConfig(probes=Probes((NODES,), (Probe("d/web", 9100, "/a"), Probe("e/api", 9100, "/a"))))
    plain = access(tcp_grant("t", ["web"]), ports=(inbound(9100, "tcp"),))
    assert translate(plain, other) == translate(plain, LinkerdConfig())
    made = translate(plain, probed("/a"))
    assert [(loss.code, loss.access) for loss in made.losses] == [("linkerd.probe-not-http", True)]
    assert made.objects == translate(plain, LinkerdConfig()).objects
    assert [one.code for one in translate(access(ports=()), probed("/a", port=6379)).losses] == [
        "linkerd.probe-not-http"
    ]


def test_a_port_that_only_a_probe_names() -> None:
    """It has its Server, so that nothing but the probe is open."""
    made = translate(access(ports=()), probed("/a"))
    assert list(bodies(made, "Server")) == ["smihub-9100-api"]
    assert {request for request, verdict in verdicts(made).items() if verdict == "allow"} == {
        request for request in asked() if is_probe(request, ("/a",))
    }


def test_a_probe_whose_overlaps_are_too_many_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told of its account."""
    monkeypatch.setattr(translate_cells, "MAX_PATHS", 0)
    translate_cells.routes_of.cache_clear()
    made = translate(access(http_grant("t", ["web"], HttpMatch("/a.*")), ports=(inbound(9100),)), probed("/a"))
    translate_cells.routes_of.cache_clear()
    assert {(loss.origin.kind, loss.code, loss.access) for loss in made.losses} == {
        ("ServiceAccount", "linkerd.cells-too-many", True),
        ("TrafficTarget", "linkerd.cells-too-many", True),
    }
    assert not bodies(made, "HTTPRoute")


def test_what_is_opened_is_told() -> None:
    """Paths, port, networks, and that no identity is needed."""
    (loss,) = translate(access(ports=(inbound(9100),)), probed("/a.b", "/c")).losses
    assert loss.message == (
        f'"probes" in smihub.yaml opens GET /a.b and GET /c on port 9100 to callers in {NODES}, who need no identity'
    )
    assert not loss.access


_ONE = {"account": "shop/api", "port": 8080, "path": "/healthz"}


@pytest.mark.parametrize(
    ("networks", "probe"),
    [
        ([], {}),
        (["10.0.0.1/16"], {}),
        (["10.0.0.0/33"], {}),
        (["nodes"], {}),
        (["FD00::/8"], {}),
        ([NODES], {"port": 0}),
        ([NODES], {"account": "api"}),
        ([NODES], {"account": "*/api"}),
        ([NODES], {"path": "healthz"}),
        ([NODES], {"path": "/a?b"}),
        ([NODES], {"path": "/a/../b"}),
        ([NODES], {"path": "//a"}),
        ([NODES], {"path": "/.*\n"}),
        ([NODES], {"path": "/%61"}),
        ([NODES], {"method": "POST"}),
    ],
)
def test_settings_that_are_wrong(networks: list[str], probe: dict[str, Any]) -> None:
    """They are refused where they are read."""
    sound = {"probes": {"networks": [NODES, OTHERS, "10.2.3.4/32"], "allow": [_ONE, {**_ONE, "path": "/"}]}}
    msgspec.convert(sound, LinkerdConfig)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"probes": {"networks": networks, "allow": [{**_ONE, **probe}]}}, LinkerdConfig)
