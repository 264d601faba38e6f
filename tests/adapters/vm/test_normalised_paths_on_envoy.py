"""`paths: normalise` on a real Envoy: policies judge, and applications get, the normal form; what is left is guarded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adapters.vm.config import VmConfig
from adapters.vm.translate.unit import translate
from tests.adapters.vm.test_access_on_envoy import BANNED, World, world_of
from tests.servers.apps import echo, greeter
from tests.servers.calls import http1
from tests.servers.certificates import Authority
from tests.servers.ports import held_port
from tests.servers.sidecar import sidecar
from tests.servers.units import spiffe

pytestmark = pytest.mark.envoy


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One Envoy for this file; `web` may call everything below /public/."""
    authority = Authority()
    ports = {name: held_port() for name in ("http", BANNED, "tcp", "tcp-nobody")}
    folder = tmp_path_factory.mktemp("normalised")
    with echo() as app, greeter() as banner:
        objects = translate(world_of(ports, app.port, banner.port), VmConfig(paths="normalise")).objects
        with sidecar(folder, authority, authority.issue([spiffe("api")]), objects) as running:
            yield World(running, app, banner, ports, {"web": authority.issue([spiffe("web")])}, authority)


PATHS = [
    ("/public/x", 200, "/public/x"),
    ("/public/x?q=/../y", 200, "/public/x?q=/../y"),
    ("/public//x", 200, "/public/x"),
    ("//public/x", 200, "/public/x"),
    ("/public/./x", 200, "/public/x"),
    ("/x/../public/y", 200, "/public/y"),
    ("/%70ublic/%7Ex", 200, "/public/~x"),
    ("/public\\x", 200, "/public/x"),
    ("/public/../admin", 403, ""),
    ("/public/%2e%2e/admin", 403, ""),
    ("/public/..\\admin", 403, ""),
    ("/public//../admin", 200, "/public/admin"),
    ("/public/..%2fadmin", 400, ""),
    ("/public/..%5cadmin", 400, ""),
    ("/public/x;a=1", 403, ""),
    ("/public/..;/admin", 403, ""),
    ("/public/%252e%252e/admin", 403, ""),
    ("/public/%23", 403, ""),
    ("/public/%E0%80%AE", 403, ""),
    ("/public/%", 403, ""),
    ("/public/a%00b", 400, ""),
]


@pytest.mark.parametrize(("path", "status", "received"), PATHS)
def test_path_when_it_is_normalised(world: World, path: str, status: int, received: str) -> None:
    """What passes has the normal form when it arrives; nothing that a policy did not judge does."""
    assert world.sidecar.ads.nacks == []
    before = len(world.app.seen)
    assert http1(world.caller("web"), path).status == status
    assert [line.split(" ")[1] for line in world.app.seen[before:]] == ([received] if received else [])
