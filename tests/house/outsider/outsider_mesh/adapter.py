"""The smallest honest adapter: a wall around every identity. It says of every grant that it cannot carry it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from hub.api import (
    Access,
    AdapterSpec,
    Answer,
    Facts,
    Feature,
    Loss,
    NativeObject,
    ObjectRef,
    Request,
    Role,
    Support,
    Translation,
    Unit,
)
from outsider_mesh.family import FAMILY, GROUP, KIND, canonical


class OutsiderConfig(Struct, frozen=True):
    """Settings under `config` of the mesh in smihub.yaml."""

    colour: str = "blue"
    gate: str = ""


def translate(unit: Unit, config: OutsiderConfig) -> Translation:
    """A wall for each identity, and a Loss for the first of its grants."""
    if not isinstance(unit, Access):
        return Translation()
    place = {"namespace": unit.identity.namespace, "name": unit.identity.service_account}
    wall = NativeObject(ObjectRef(GROUP, KIND, **place), Role.GUARD, canonical({**place, "colour": config.colour}))
    losses = tuple(_loss(grant.origin, config) for grant in unit.grants[:1])
    return Translation((wall,), losses, carried=())


def _loss(origin: ObjectRef, config: OutsiderConfig) -> Loss:
    message = f"a {config.colour} wall has no door"
    return Loss("outsider.no-door", origin, "", message, "GET /", "wait for walls with doors")


def gates(config: OutsiderConfig) -> Mapping[str, str]:
    """Pods say that they shut their gate, where that is asked for."""
    return {"outsider.example/gate": config.gate} if config.gate else {}


class Walls:
    """What walls mean: where there are any, nobody gets in."""

    def __init__(self, objects: Sequence[NativeObject]) -> None:
        self._refs = [str(native.ref) for native in objects]

    def judge(self, request: Request) -> Answer:
        """Deny, if there is any wall at all."""
        return (
            Answer("deny", tuple(self._refs[:1]), losses=("outsider.no-door",)) if self._refs else Answer("ungoverned")
        )


def evaluator(objects: Sequence[NativeObject], facts: Facts) -> Walls:
    """Whoever is known has a wall, so that only their number counts."""
    return Walls(objects)


SPEC = AdapterSpec(
    "outsider",
    FAMILY.name,
    OutsiderConfig,
    dict.fromkeys(Feature, Support.NOT_YET),
    translate,
    evaluator,
    governs=("all",),
    annotations=gates,
)
