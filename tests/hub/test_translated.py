"""What the hub makes of an adapter's word: keys are the hub's, origins the unit's."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from hub.api import AdapterSpec, UnsafeResourceError
from hub.model import Access, Identity, Loss, NativeObject, ObjectRef, Role, Translation, Unit, UnitKey
from hub.plugins import installed_plugins
from hub.translated import translated

KEY = UnitKey("access", "d", "api", "prod")
TARGET, ROUTES = (ObjectRef("x.smi-spec.io", kind, "d", "t") for kind in ("TrafficTarget", "HTTPRouteGroup"))
STRANGER = ObjectRef("access.smi-spec.io", "TrafficTarget", "x", "other")
UNIT = Access(Identity("td", "d", "api"), origins=(TARGET, ROUTES))


def made(*origins: ObjectRef) -> Translation:
    """What the hub makes of an object with these origins, and of a loss that names another unit."""

    def translate(unit: Unit, config: object) -> Translation:
        native = NativeObject(ObjectRef("xds", "Thing", "", "t"), Role.GRANT, b"x", origins)
        return Translation((native,), (Loss("a.b", TARGET, "", "m", "w", "l", unit=replace(KEY, name="web")),))

    spec: AdapterSpec[Any] = replace(installed_plugins().adapter("vm"), translate=translate)
    return translated(spec, KEY, UNIT, None)


@pytest.mark.parametrize(
    ("named", "kept"),
    [((), (ROUTES, TARGET)), ((TARGET,), (TARGET,)), ((STRANGER, TARGET), (TARGET,)), ((STRANGER,), (ROUTES, TARGET))],
)
def test_origins_are_some_of_the_units_own(named: tuple[ObjectRef, ...], kept: tuple[ObjectRef, ...]) -> None:
    """An adapter may know better which, and may name no other."""
    (native,) = made(*named).objects
    assert native.origins == kept


def test_a_loss_is_one_of_the_unit_that_was_translated() -> None:
    """Whatever the adapter wrote."""
    assert [loss.unit for loss in made().losses] == [KEY]


@pytest.mark.parametrize(
    "said",
    [
        Translation(carried=()),
        Translation(losses=(Loss("a.b", TARGET, "", "m", "a call", "l", access=False),), carried=()),
    ],
)
def test_a_mesh_of_routes_alone_says_that_access_is_not_enforced(said: Translation) -> None:
    """And no Loss of it says that anything is refused."""
    spec: AdapterSpec[Any] = replace(installed_plugins().adapter("vm"), translate=lambda *_: said, governs=("routes",))
    for loss in translated(spec, KEY, UNIT, None).losses:
        assert loss.effect == "a call is let in from every caller"


@pytest.mark.parametrize(
    "said",
    [
        Translation((NativeObject(ObjectRef("xds", "Thing", "", "t"), Role.GUARD, b"x"),), carried=()),
        Translation(losses=(Loss("a.b", TARGET, "", "m", "a call", "l"),), carried=()),
        Translation(),
    ],
)
def test_a_mesh_of_routes_alone_enforces_no_access(said: Translation) -> None:
    """What it would have to keep, it must not promise."""
    spec: AdapterSpec[Any] = replace(installed_plugins().adapter("vm"), translate=lambda *_: said, governs=("routes",))
    with pytest.raises(UnsafeResourceError, match="access/d/api has objects, grants or refusals"):
        translated(spec, KEY, UNIT, None)
