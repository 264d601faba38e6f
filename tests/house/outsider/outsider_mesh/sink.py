"""The smallest sink: all walls in one JSON file, which is replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct, json

from hub.api import (
    Change,
    ObjectRef,
    Observation,
    Observed,
    RefusedError,
    Role,
    SinkContext,
    SinkSpec,
    StaleError,
    UnitKey,
    Written,
)


class SinkConfig(Struct, frozen=True):
    """Settings under `sink` of the mesh in smihub.yaml: the file, relative to it."""

    place: str = "walls.json"


class Wall(Struct, frozen=True):
    """A wall as the file has it."""

    ref: ObjectRef
    unit: UnitKey
    role: Role
    body: bytes


class File(Struct, frozen=True):
    """The file: whose it is, its revision, the walls, and what the hub wants to be remembered."""

    owner: str = ""
    revision: int = 0
    walls: tuple[Wall, ...] = ()
    memory: tuple[tuple[UnitKey, bytes], ...] = ()


class WallSink:
    """A `hub.api.Transactional` on one file."""

    def __init__(self, context: SinkContext, config: SinkConfig) -> None:
        self._place = context.base / config.place
        self._owner = context.owner

    async def observe(self) -> Observation:
        """All walls."""
        found = self._read()
        walls = {wall.ref: Observed(wall.ref, wall.body, wall.unit, "", wall.role) for wall in found.walls}
        return Observation(walls, dict(found.memory), str(found.revision), found.owner)

    def refused(self, changes: Sequence[Change]) -> Sequence[Written]:
        """A file takes everything."""
        return ()

    async def write_all(self, changes: Sequence[Change], memory: Mapping[UnitKey, bytes], token: str) -> str:
        """Replace the file. Raises StaleError, and RefusedError where it is another owner's."""
        found = self._read()
        if found.owner not in {"", self._owner}:
            raise RefusedError(f'"{self._place}" was written for another smihub.yaml')
        if str(found.revision) != token:
            raise StaleError(f'"{self._place}" has changed since it was read')
        walls = {wall.ref: wall for wall in found.walls}
        for change in changes:
            walls.pop(change.ref, None)
            if change.after is not None:
                walls[change.ref] = Wall(change.ref, change.unit, change.after.role, change.after.body)
        kept = {key: raw for key, raw in {**dict(found.memory), **memory}.items() if raw}
        self._write(File(self._owner, found.revision + 1, tuple(walls.values()), tuple(kept.items())))
        return str(found.revision + 1)

    async def close(self) -> None:
        """Nothing is open."""

    def _read(self) -> File:
        return json.decode(self._place.read_bytes(), type=File) if self._place.exists() else File()

    def _write(self, file: File) -> None:
        fresh = self._place.with_name(f".{self._place.name}.new")
        fresh.write_bytes(json.encode(file))
        fresh.replace(self._place)


def place(context: SinkContext, config: SinkConfig) -> str:
    """No two meshes share a file."""
    return str(Path(context.base / config.place).resolve())


WALLS = SinkSpec("walls", SinkConfig, WallSink, exclusive=place)
