"""Bodies as data and back: nothing is lost either way, and what is no resource is one error."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from random import Random
from typing import Any

import pytest

from adapters.vm import wire
from adapters.vm.plugin import SPEC, XDS_FAMILY
from adapters.vm.view import body, view
from hub.api import NativeObject, UnmodelledError
from hub.testing.documents import Scope, SinklessMesh, compile_documents, translate_units
from hub.testing.worlds import documents_of, make_values
from tests.adapters.vm.native import listener, manager

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    1.5,
    2**70,
    float("nan"),
    "",
    "x",
    "\ud800",
    b"x",
    [],
    [1],
    [None],
    {},
    {"@type": "x"},
    {"@type": 5},
)
"""What somebody may write in the place of anything."""


def objects(worlds: int) -> Iterator[NativeObject]:
    """Objects of random worlds."""
    for number in range(worlds):
        units = compile_documents(documents_of(make_values(Random(f"view/{number}"))), Scope()).units
        for made in translate_units(units, SinklessMesh("vm", SPEC)).values():
            yield from made.objects


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in some data."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


def spoiled(value: Any, rng: Random) -> Any:
    """The data with something odd in one place."""
    other, (*path, last) = deepcopy(value), rng.choice([path for path in places(value) if path])
    holder = other
    for part in path:
        holder = holder[part]
    holder[last] = rng.choice(ODD)
    return other


def test_no_body_and_no_data_is_changed_by_going_there_and_back() -> None:
    """Of all kinds of objects in random worlds."""
    kinds = set()
    for native in objects(8):
        kind = native.ref.kind
        shown = view(native.body, kind)
        assert body(shown, kind) == native.body
        assert view(body(shown, kind), kind) == shown
        kinds.add(kind)
    assert kinds == {"Cluster", "Listener", "RouteConfiguration", "Secret", "TypedExtensionConfig", "Workload"}


def test_odd_data_is_a_body_or_one_error() -> None:
    """Whatever stands wherever; a body that comes of it comes back."""
    rng, made = Random("odd"), 0
    for native in objects(4):
        kind = native.ref.kind
        for _ in range(6):
            try:
                odd = body(spoiled(view(native.body, kind), rng), kind)
                shown = view(odd, kind)
            except UnmodelledError:
                continue
            assert body(shown, kind) == odd
            made += 1
    assert made


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("kind", ["Listener", "Workload", "Nothing"])
def test_data_that_is_no_resource_is_one_error(kind: str, value: Any) -> None:
    """Of an unknown kind no mapping is one either."""
    if kind != "Nothing" and isinstance(value, dict):
        value = [value]
    with pytest.raises(UnmodelledError, match=kind):
        body(value, kind)


def test_an_unknown_extension_has_no_view() -> None:
    """Somebody else's bytes: the error says of what."""
    message = wire.parse("Listener", listener("x", [manager()]).body)
    message.filter_chains[0].filters[0].typed_config.type_url = "type.googleapis.com/envoy.Unknown"  # type: ignore[attr-defined]
    with pytest.raises(UnmodelledError, match="a Listener that JSON cannot say"):
        view(wire.pack(message), "Listener")


def test_the_family_is_these_two() -> None:
    """By which plans, `render` and the conformance kit read and write bodies."""
    assert (XDS_FAMILY.view, XDS_FAMILY.body) == (view, body)
