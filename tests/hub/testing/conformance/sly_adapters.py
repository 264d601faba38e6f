"""Adapters that earlier versions of the kit took: each showed what the kit did not ask; functions that a fresh process finds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from hub.api import Access, AdapterSpec, Facts, Feature, Loss, NativeObject, Role, Support, Translation, Unit
from tests.hub.testing.conformance import gate_mesh
from tests.hub.testing.conformance.bad_adapters import with_bodies
from tests.hub.testing.conformance.gate_evaluate import Gates
from tests.hub.testing.conformance.gate_mesh import SPEC, GateConfig, digest


def writes_bars(unit: Unit, config: GateConfig) -> Translation:
    """A Bar that refuses everything, beside what lets callers in."""
    made = gate_mesh.translate(unit, config)
    if not isinstance(unit, Access):
        return made
    bar = gate_mesh.native(Role.GUARD, "Bar", unit, unit.identity.service_account, {"action": "DENY"})
    return replace(made, objects=(bar, *made.objects))


def ignores_bars(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """Judges without a look at the Bars."""
    return Gates([one for one in objects if one.ref.kind != "Bar"], facts)


def blames_the_first(unit: Unit, config: GateConfig) -> Translation:
    """Matches with headers are lost, and the Loss names the first grant, whose they need not be."""
    return _losing(unit, config, 1, first=True)


def loses_two_headers(unit: Unit, config: GateConfig) -> Translation:
    """Matches with two headers are lost, and the table says that headers are carried out in full."""
    return _losing(unit, config, 2)


def _losing(unit: Unit, config: GateConfig, headers: int, *, first: bool = False) -> Translation:
    if not isinstance(unit, Access):
        return gate_mesh.translate(unit, config)
    kept, lost = [], []
    for grant in unit.grants:
        matches = tuple(match for match in grant.http or () if len(match.headers) < headers)
        if grant.http and len(matches) < len(grant.http):
            of = unit.grants[0] if first else grant
            lost.append(Loss("gate.header", of.origin, "spec.rules", "too many", "GET /a", "use fewer"))
        kept += [replace(grant, http=matches)] if matches else [grant] if grant.http is None else []
    made = gate_mesh.translate(replace(unit, grants=tuple(kept)), config)
    return replace(made, losses=(*made.losses, *lost))


def asks_the_environment(unit: Unit, config: GateConfig) -> Translation:
    """A Pass is called after the home of whoever runs it."""
    return _called(gate_mesh.translate(unit, config), os.environ.get("HOME", ""))


def asks_the_folder(unit: Unit, config: GateConfig) -> Translation:
    """A Pass is called after the folder in which it is run."""
    return _called(gate_mesh.translate(unit, config), os.getcwd())  # noqa: PTH109 - what such an author writes


def asks_the_calendar(unit: Unit, config: GateConfig) -> Translation:
    """A Pass is called after the day."""
    return _called(gate_mesh.translate(unit, config), time.strftime("%Y-%m-%d"))


def lists_a_set(unit: Unit, config: GateConfig) -> Translation:
    """Methods stand in the order of a set."""

    def unsorted(body: Any) -> Any:
        return {
            "requests": [
                one | {"methods": list({*one["methods"]})} if "methods" in one else one for one in body["requests"]
            ]
        }

    return with_bodies(gate_mesh.translate(unit, config), "List", unsorted)


def _called(made: Translation, text: str) -> Translation:
    def renamed(native: NativeObject) -> NativeObject:
        ref = native.ref
        return replace(native, ref=replace(ref, name=f"{ref.name}.{digest(text)}")) if ref.kind == "Pass" else native

    return replace(made, objects=tuple(map(renamed, made.objects)))


_NO_HEADERS = {**SPEC.features, Feature.ACCESS_HTTP_HEADER: Support.NOT_YET}
_TRANSLATES: Mapping[str, tuple[Callable[[Unit, GateConfig], Translation], str]] = {
    "loses matches of two headers, and claims headers": (loses_two_headers, "full-loses-nothing"),
    "asks the environment": (asks_the_environment, "determinism"),
    "asks the folder": (asks_the_folder, "determinism"),
    "asks the calendar": (asks_the_calendar, "determinism"),
    "lists a set": (lists_a_set, "determinism"),
}
SLY: Mapping[str, tuple[AdapterSpec[GateConfig], frozenset[str]]] = {
    "evaluate ignores a kind that translate writes": (
        replace(SPEC, translate=writes_bars, evaluator=ignores_bars),
        frozenset({"evaluate-reads-fields"}),
    ),
    "a Loss that names another object": (
        replace(SPEC, translate=blames_the_first, features=_NO_HEADERS),
        frozenset({"losses-say-what"}),
    ),
    **{
        name: (replace(SPEC, translate=translate), frozenset({wanted}))
        for name, (translate, wanted) in _TRANSLATES.items()
    },
}
"""By what is wrong: the adapter, and the properties that the kit must name, each of them."""
