"""What happens on the way from one world to the next in a real Istio mesh: nothing opens, and what is revoked ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from adapters.istio.plugin import SPEC
from tests.servers.istio.judging import IstioJudge
from tests.servers.istio.mesh import Mesh, standing
from tests.servers.istio.trials import LAST, NOTHING, STRANGERS, WEIGHTS
from tests.servers.istio.trying import pestering, tried
from tests.servers.istio.worlds import SERVICES
from tests.servers.worlds import World, call

pytestmark = pytest.mark.istio
ROUND = (LAST, NOTHING, WEIGHTS, NOTHING, LAST, WEIGHTS)
GRANTED = call("web-1", "orders-main", 80, "/a")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """One mesh for this file; its logs stay in the temporary folder."""
    with standing(tmp_path_factory.mktemp("istio"), SERVICES) as running:
        yield running


def natives(world: World) -> list[dict[str, Any]]:
    """The manifests of a world."""
    return IstioJudge(world, SPEC).natives


def test_strangers_when_worlds_follow_each_other(mesh: Mesh) -> None:
    """Who may call in neither world gets through at no moment between them, also when the last grant goes."""
    mesh.put(natives(NOTHING))
    with pestering(mesh, STRANGERS) as found:
        for world in ROUND:
            mesh.put(natives(world))
    assert len(found) >= 100
    assert [one for one in found if one.app] == []


@pytest.mark.parametrize("after", [NOTHING, WEIGHTS], ids=lambda world: world.name)
def test_revoked_caller_when_the_change_is_in_force(mesh: Mesh, after: World) -> None:
    """Once every sidecar follows and old connections have drained, the revoked caller is refused, on every call."""
    mesh.put(natives(LAST))
    assert all(one.outcome.served for one in tried(mesh, [GRANTED] * 20))
    revoked = [one for one in natives(after) if not _grants_orders(one)]
    mesh.put([*revoked, *(one for one in natives(NOTHING) if _grants_orders(one))])
    assert [one for one in tried(mesh, [GRANTED] * 40) if one.app] == []


def _grants_orders(manifest: Mapping[str, Any]) -> bool:
    return bool(manifest["kind"] == "AuthorizationPolicy" and manifest["metadata"]["name"] == "smihub-orders")
