"""Intentions on a real Consul with real sidecars: what the adapter counts on, seen on the wire under either default."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.servers.consul.agent import POLICIES
from tests.servers.consul.calls import Call, tried
from tests.servers.consul.cast import SHOP, consul_name
from tests.servers.consul.mesh import Mesh, standing
from tests.servers.raw_calls import Ask

pytestmark = pytest.mark.consul
Entry = dict[str, Any]
EVERYBODY = {"Name": "*", "Action": "deny"}


@pytest.fixture(scope="module", params=POLICIES)
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """One mesh for this file and each default; its logs stay in the temporary folder."""
    with standing(tmp_path_factory.mktemp("consul"), request.param, SHOP) as running:
        yield running


def intentions(callee: str, *sources: Entry) -> Entry:
    """Who may call an account."""
    return {"Kind": "service-intentions", "Name": consul_name(callee), "Sources": [*sources]}


def only(caller: str, *conditions: Entry) -> Entry:
    """What an account may ask, and nothing else, whatever the default is."""
    allowed = [{"Action": "allow", "HTTP": one} for one in conditions]
    rest = {"Action": "deny", "HTTP": {"PathRegex": ".*"}}
    return {"Name": consul_name(caller), "Permissions": [*allowed, rest]}


def reached(mesh: Mesh, calls: Sequence[Call]) -> list[str]:
    """The applications that were reached, "" where none was."""
    mesh.drained()
    return [one.app.partition("/")[2].partition(":")[0] for one in tried(mesh, calls)]


def gets(caller: str, callee: str, *paths: str) -> list[Call]:
    """Requests for these paths."""
    return [Call(caller, callee, Ask("GET", path)) for path in paths]


def test_nothing_is_written(mesh: Mesh) -> None:
    """The default alone decides, of requests and of bytes."""
    mesh.put([])
    calls = [
        Call(one, to, None if SHOP.callees[to] == "tcp" else Ask("GET", "/"))
        for one in SHOP.callers
        for to in SHOP.callees
        if one != to
    ]
    wanted = [f"{call.callee}-1" if mesh.agent.policy == "allow" else "" for call in calls]
    assert reached(mesh, calls) == wanted


def test_paths_of_a_prefix(mesh: Mesh) -> None:
    """A prefix is one of the text after a sidecar has normalised it; nobody else gets in."""
    mesh.put([intentions("catalog", only("web", {"PathPrefix": "/foo"}), EVERYBODY)])
    assert reached(mesh, gets("web", "catalog", "/foo", "/foobar", "/x/../foo")) == ["catalog-1"] * 3
    assert reached(mesh, gets("web", "catalog", "/FOO", "/foo/../bar", "/x")) == [""] * 3
    assert reached(mesh, gets("partner", "catalog", "/foo", "/")) == [""] * 2
    assert mesh.refused() == []


def test_what_a_sidecar_refuses(mesh: Mesh) -> None:
    """A pattern that is none is taken by Consul and refused by the sidecar, which we see."""
    mesh.put([intentions("catalog", only("web", {"PathPrefix": "/foo"}), EVERYBODY)])
    # In its place: between deleting and writing it, the sidecar would get that nobody is allowed, and keep that.
    mesh.entries.api.put("/config", dict(intentions("catalog", only("web", {"PathRegex": "(["}), EVERYBODY)))
    mesh.until("the sidecar refuses it", lambda: bool(mesh.refused()))
    assert "missing ]" in mesh.refused()[0]
    assert reached(mesh, gets("web", "catalog", "/foo")) == ["catalog-1"]


def test_a_split(mesh: Mesh) -> None:
    """Calls go where the splitter says, and whoever is reached says who may call."""
    splitter = {
        "Kind": "service-splitter",
        "Name": consul_name("shop"),
        "Splits": [{"Weight": 100, "Service": consul_name("api-v1")}],
    }
    source = {"Name": consul_name("web"), "Action": "allow"}
    mesh.put([splitter, intentions("api-v1", source, EVERYBODY)])
    assert reached(mesh, [*gets("web", "shop", "/a"), *gets("partner", "shop", "/a")]) == ["api-v1-1", ""]
    assert mesh.entries.chain(consul_name("shop"))["Protocol"] == "http"
