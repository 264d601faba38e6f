"""The smallest honest adapter: it carries out nothing, says so, and denies everything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

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
    Support,
    Translation,
    Unit,
    hookimpl,
)


class OutsiderConfig(Struct, frozen=True):
    """Settings under `config` of the mesh in smihub.yaml."""

    colour: str = "blue"


class DenyAll:
    """What no objects mean."""

    def judge(self, request: Request) -> Answer:
        """Deny."""
        return Answer("deny")


def translate(unit: Unit, config: OutsiderConfig) -> Translation:
    """Refuse every grant with a Loss."""
    if not isinstance(unit, Access):
        return Translation()
    losses = (_loss(unit.grants[0].origin, config) for _ in unit.grants[:1])
    return Translation(losses=tuple(losses))


def _loss(origin: ObjectRef, config: OutsiderConfig) -> Loss:
    return Loss("outsider.nothing", origin, "", f"the {config.colour} mesh says nothing", "GET /", "write it")


def evaluator(objects: Sequence[NativeObject], facts: Facts) -> DenyAll:
    """Index no objects."""
    return DenyAll()


def view(body: bytes, kind: str) -> Any:
    """Show a body as text."""
    return {kind: body.decode()}


@hookimpl
def smihub_adapters() -> Iterable[AdapterSpec[OutsiderConfig]]:
    """Register the adapter."""
    features = dict.fromkeys(Feature, Support.NOT_YET)
    return [AdapterSpec("outsider", "none", OutsiderConfig, features, translate, evaluator, view)]
