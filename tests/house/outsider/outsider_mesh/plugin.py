"""The smallest honest adapter and its sink: they carry out nothing, say so, and deny everything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from hub.api import (
    Access,
    AdapterSpec,
    Answer,
    Change,
    Facts,
    Feature,
    Loss,
    NativeObject,
    ObjectRef,
    Observation,
    Request,
    SinkContext,
    SinkSpec,
    Support,
    Translation,
    Unit,
    UnitKey,
    Written,
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


class SinkConfig(Struct, frozen=True):
    """Settings under `sink` of the mesh in smihub.yaml."""

    place: str = "nowhere"


class NoSink:
    """A mesh in which nothing ever stands."""

    def __init__(self, context: SinkContext, config: SinkConfig) -> None:
        self.where = f"{context.mesh} {config.place}"

    async def observe(self) -> Observation:
        """Nothing."""
        return Observation()

    def refused(self, changes: Sequence[Change]) -> Sequence[Written]:
        """Refuse nothing."""
        return ()

    async def write_all(self, changes: Sequence[Change], memory: Mapping[UnitKey, bytes], token: str) -> str:
        """Forget everything."""
        return token

    async def close(self) -> None:
        """Nothing is open."""


@hookimpl
def smihub_sinks() -> Iterable[SinkSpec[SinkConfig]]:
    """Register the sink."""
    return [SinkSpec("none", SinkConfig, NoSink)]
