"""Carrying a plan out in a folder: steps in the order of waves, each of which leaves something that may be applied.

In each wave: what goes is taken out of kustomization.yaml, what comes is written, then listed, and what went is removed.
So kustomize is never told of a file that is not there, and what it is told of is always a prefix of the plan, as are the
files themselves. The memory comes last: what it does not know yet is planned again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from hub.errors import StaleError, UnsafeResourceError
from hub.model import Change, NativeObject, Observed, Op, Role, UnitKey
from hub.sinks.folder import Folder
from hub.sinks.index import encode_index
from hub.sinks.ledger import encode_memory
from hub.sinks.manifest import MOST_BYTES, digest, stamp
from hub.sinks.marking import Move
from hub.sinks.names import KUSTOMIZATION, MEMORY, OBJECTS, file_name
from hub.sinks.reading import Reading, token

MOST_OF_ALL = 256 * 1_048_576
"""How large kustomization.yaml and the memory may be: both grow with the number of objects."""


class Put(Struct, frozen=True):
    """A file to write."""

    file: str
    data: bytes
    role: Role
    unit: UnitKey


class Step(Struct, frozen=True):
    """One wave: files to write, and files to remove."""

    puts: tuple[Put, ...]
    drops: tuple[str, ...]


async def steps(changes: Sequence[Change], reading: Reading, mesh: str) -> tuple[Step, ...]:
    """What to do, wave by wave. Raises UnsafeResourceError, and StaleError where something else stands than planned."""
    files = [file_name(change.ref) for change in changes]
    if len(set(files)) != len(files):
        raise UnsafeResourceError(f'a plan for mesh "{mesh}" changes one object twice')
    puts: dict[int, list[Put]] = {change.wave: [] for change in changes}
    drops: dict[int, list[str]] = {change.wave: [] for change in changes}
    for change, file in zip(changes, files, strict=True):
        _presume(change, file, reading)
        if change.after is None:
            drops[change.wave].append(file)
        else:
            puts[change.wave].append(_made(change.after, change.unit, reading.ours.get(file), mesh, reading.owner))
        await asyncio.sleep(0)
    return tuple(Step(tuple(puts[wave]), tuple(drops[wave])) for wave in sorted(puts))


def _made(native: NativeObject, unit: UnitKey, standing: Observed | None, mesh: str, owner: str) -> Put:
    data = stamp(native, unit, mesh, owner, hands_off=standing is not None and standing.hands_off)
    return Put(file_name(native.ref), data, native.role, unit)


def _presume(change: Change, file: str, reading: Reading) -> None:
    foreign, ours = file in reading.theirs or change.ref in reading.foreign, reading.ours.get(file)
    moved = ours is not None and change.token not in {"", ours.token}
    if foreign or moved or (ours is None) != (change.op is Op.CREATE):
        what = "does not belong to smihub" if foreign else "is not as it was"
        raise StaleError(f'"{OBJECTS}/{file}" {what}, so nothing was written; plan again')


class Writer:
    """Carries steps out in an open folder that says what `reading` says."""

    def __init__(self, folder: Folder, path: Path, mesh: str, reading: Reading) -> None:
        self._folder = folder
        self._path = path
        self._mesh = mesh
        self._digests = dict(reading.digests)
        self._renamed = reading.renamed
        self._listed = {file: what for file, what in reading.index.listed.items() if file in reading.ours}
        kept = reading.index.others & (reading.theirs.keys() | reading.ours.keys())
        self._released = reading.index.listed.keys() & reading.theirs.keys()
        self._others = kept | self._released
        self._memory = dict(reading.memory)
        self._owner = reading.owner
        self._unclaimed = reading.owner != reading.held
        self._left = 0
        self._total = 0

    async def write(self, todo: Sequence[Step], memory: Mapping[UnitKey, bytes]) -> str:
        """Do it all, and give the new token. Raises StaleError, the rest unwritten, where somebody else writes as well."""
        self._total = self._left = sum(len(step.puts) + len(step.drops) for step in todo)
        with self._cleaning():
            for step in todo:
                await self._carry_out(step)
            if memory or self._unclaimed:
                self._remember(memory)
        return token(self._digests)

    async def mark(self, moves: Sequence[Move], memory: Mapping[UnitKey, bytes]) -> str:
        """Have objects change hands, and give the new token. Raises StaleError, as `write` does."""
        self._total = self._left = len(moves)
        with self._cleaning():
            for move in moves:
                self._move(move)
                self._left -= 1
                await asyncio.sleep(0)
            self._folder.sync()
            if any(move.listed != "as before" for move in moves):
                self._list()
            if memory:
                self._remember(memory)
        return token(self._digests)

    def _move(self, move: Move) -> None:
        """Have the file say whose its object is, and note how it is to be listed."""
        path = f"{OBJECTS}/{move.file}"
        if move.token:
            self._digests[path] = move.token
        if move.data is not None:
            self._put(path, move.data)
        if isinstance(move.listed, tuple):
            self._listed[move.file] = move.listed
            self._others -= {move.file}
        elif move.listed == "others":
            self._digests.pop(path, None)
            self._listed.pop(move.file, None)
            self._others |= {move.file} if move.data is not None else set()

    @contextmanager
    def _cleaning(self) -> Iterator[None]:
        """End what another write did not: what it left is removed, and what changed hands is listed as what it is."""
        self._folder.clean()
        try:
            self._rename()
            if self._released:
                self._list()
            yield
        finally:
            self._folder.clean()

    def _rename(self) -> None:
        """Give files that have a former name still the one that they have now: written, then listed, then the old one goes."""
        for old, file in self._renamed.items():
            path, known = f"{OBJECTS}/{file}", self._digests[f"{OBJECTS}/{file}"]
            self._unchanged(f"{OBJECTS}/{old}", known, MOST_BYTES)
            self._folder.lay(path, self._folder.read(f"{OBJECTS}/{old}", MOST_BYTES) or b"")
            try:
                self._folder.add(path)
            except FileExistsError:  # an earlier try came this far
                self._folder.clean()
            self._unchanged(path, known, MOST_BYTES)
        if self._renamed:
            self._folder.sync()
            self._list()
        for old in self._renamed:
            self._folder.remove(f"{OBJECTS}/{old}")

    async def _carry_out(self, step: Step) -> None:
        self._folder.make_objects()
        if step.drops:
            gone = frozenset(step.drops)
            self._listed = {file: what for file, what in self._listed.items() if file not in gone}
            self._others -= gone
            self._list()
        for put in step.puts:
            self._put(f"{OBJECTS}/{put.file}", put.data)
            self._listed[put.file] = (put.role, put.unit)
            self._left -= 1
            await asyncio.sleep(0)
        if step.puts:
            self._folder.sync()
            self._list()
        for file in step.drops:
            self._remove(f"{OBJECTS}/{file}")
            self._left -= 1
        if step.drops:
            self._folder.sync()

    def _list(self) -> None:
        self._put(KUSTOMIZATION, encode_index(self._mesh, self._listed, self._others), MOST_OF_ALL)
        self._folder.sync()

    def _remember(self, memory: Mapping[UnitKey, bytes]) -> None:
        self._memory.update(memory)
        self._put(MEMORY, encode_memory(self._mesh, self._memory, self._owner), MOST_OF_ALL)
        self._folder.sync()

    def _put(self, path: str, data: bytes, limit: int = MOST_BYTES) -> None:
        """Have this file hold this, if it still holds what was read. The last look is as late as can be."""
        before, after = self._digests.get(path), digest(data)
        if before != after:
            self._folder.lay(path, data)
        self._unchanged(path, before, limit)
        if before is None:
            self._add(path)
        elif before != after:
            self._folder.replace(path)
        self._digests[path] = after

    def _add(self, path: str) -> None:
        try:
            self._folder.add(path)
        except FileExistsError:
            raise self._stale(path) from None

    def _remove(self, path: str) -> None:
        before = self._digests.pop(path, None)
        if before is not None:
            self._unchanged(path, before, MOST_BYTES)
            self._folder.remove(path)

    def _unchanged(self, path: str, before: str | None, limit: int) -> None:
        try:
            data = self._folder.read(path, limit)
        except FileNotFoundError:
            if before is None:
                return
            raise self._stale(path) from None
        if data is None or digest(data) != before:
            raise self._stale(path)

    def _stale(self, path: str) -> StaleError:
        return StaleError(
            f'"{self._path / path}" was changed by somebody else meanwhile, so {self._left} of {self._total} changes are '
            "not written; plan again"
        )
