"""Carrying a plan out in a folder, each wave of which leaves something that may be applied.

In each wave: what goes is taken out of the list (kustomization.yaml, say), what comes is written, then listed, and what went is removed.
So kustomize is never told of a file that is not there, and what it is told of is always a prefix of the plan, as are the
files themselves. A file that cannot be written, or that somebody else changed, concerns its object alone.

Disks are slow, and network folders may hang: every step is taken beside the event loop, on which other meshes are served.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

from msgspec import Struct

from hub.api import Written
from hub.errors import StaleError, UnsafeResourceError
from hub.model import Change, ObjectRef, Op, Role, UnitKey
from hub.sinks.folder import Folder, cause_and_remedy
from hub.sinks.index import encode_index
from hub.sinks.ledger import encode_memory
from hub.sinks.manifest import MAX_OBJECT_BYTES, digest
from hub.sinks.marking import OwnershipChange
from hub.sinks.names import MEMORY, OBJECTS, file_name
from hub.sinks.reading import FolderContents, token
from hub.threads import run_to_end

MAX_INDEX_BYTES = 256 * 1_048_576
"""How large the list and the memory may be: both grow with the number of objects."""


_WRITTEN = Written(ObjectRef("", "", "", ""))


class Put(Struct, frozen=True):
    """A file to write, for a change."""

    change: Change
    file: str
    data: bytes
    role: Role


class Writer:
    """Carries steps out in an open folder that says what `reading` says."""

    def __init__(self, folder: Folder, path: Path, reading: FolderContents) -> None:
        self._folder = folder
        self._path = path
        self._files = reading.files
        self._before = reading.digests
        self._digests = dict(reading.digests)
        self._renamed = reading.renamed
        self._listed = {file: what for file, what in reading.index.listed.items() if file in reading.ours}
        kept = reading.index.others & (reading.theirs.keys() | reading.ours.keys())
        self._released = reading.index.listed.keys() & reading.theirs.keys()
        self._others = kept | self._released
        self._memory = dict(reading.memory)
        self._unclaimed = reading.files.owner != reading.held
        self._ours, self._theirs, self._foreign = reading.ours, reading.theirs, reading.foreign

    @property
    def token(self) -> str:
        """See `hub.api.Writing`."""
        return token(self._digests)

    def _file(self, ref: ObjectRef) -> str:
        return file_name(self._files.form, ref)

    async def write(self, changes: Sequence[Change]) -> list[Written]:
        """See `hub.api.Writing`. Raises StaleError where somebody else writes the list."""
        found: dict[ObjectRef, Written] = {}
        await run_to_end(self._folder.make_objects)
        puts = [put for change in changes if change.after and (put := self._made(change, found)) is not None]
        drops = [change for change in changes if change.after is None and self._is_as_planned(change, found)]
        await run_to_end(partial(self._unlist, drops))
        for put in puts:
            await run_to_end(partial(self._put_object, put, found))
        if puts:
            await run_to_end(self._list_new)
        for change in drops:
            await run_to_end(partial(self._remove_object, change, found))
        if drops:
            await run_to_end(self._folder.sync)
        return [found[change.ref] for change in changes]

    def _put_object(self, put: Put, found: dict[ObjectRef, Written]) -> None:
        with self._isolated(put.change, found):
            self._put(f"{OBJECTS}/{put.file}", put.data)
            self._listed[put.file] = (put.role, put.change.unit)
            found[put.change.ref] = Written(put.change.ref, token=digest(put.data))

    def _list_new(self) -> None:
        self._folder.sync()
        self._list()

    def _remove_object(self, change: Change, found: dict[ObjectRef, Written]) -> None:
        with self._isolated(change, found):
            self._remove(f"{OBJECTS}/{self._file(change.ref)}")
            found[change.ref] = Written(change.ref)

    async def remember(self, memory: Mapping[UnitKey, bytes]) -> None:
        """See `hub.api.Writing`."""
        await run_to_end(partial(self._remember, memory))

    def _remember(self, memory: Mapping[UnitKey, bytes]) -> None:
        self._memory.update(memory)
        self._put(MEMORY, encode_memory(self._files.mesh, self._memory, self._files.owner), MAX_INDEX_BYTES)
        self._unclaimed = False
        self._folder.sync()

    async def claim(self) -> None:
        """Have the memory say whose the folder is, where it does not yet."""
        if self._unclaimed:
            await self.remember({})

    def _made(self, change: Change, found: dict[ObjectRef, Written]) -> Put | None:
        """The file of an object as it is to be; None, with a row in `found`, if it cannot be written."""
        native, file = change.after, self._file(change.ref)
        if native is None or not self._is_as_planned(change, found):
            return None
        standing = self._ours.get(file)
        try:
            data = self._files.stamp(native, change.unit, paused=standing is not None and standing.paused)
        except UnsafeResourceError as error:
            found[change.ref] = Written(change.ref, "refused", detail=str(error))
            return None
        return Put(change, file, data, native.role)

    @contextmanager
    def _isolated(self, change: Change, found: dict[ObjectRef, Written]) -> Iterator[None]:
        """What fails for one object is a row of its own, and stops no other."""
        try:
            yield
        except StaleError as error:
            found[change.ref] = Written(change.ref, "stale", detail=str(error))
        except OSError as error:
            why = f'"{self._path / OBJECTS / self._file(change.ref)}": {cause_and_remedy(error)}'
            found[change.ref] = Written(change.ref, "failed", detail=why)
        if found.get(change.ref, _WRITTEN).state != "written":
            self._folder.clean()  # what was staged beside the file would be in the way of the next one

    def _is_as_planned(self, change: Change, found: dict[ObjectRef, Written]) -> bool:
        """Whether what stands there is what the change was planned on."""
        file = self._file(change.ref)
        foreign, ours = file in self._theirs or change.ref in self._foreign, self._ours.get(file)
        moved = ours is not None and change.token not in {"", ours.token}
        if foreign or moved or (ours is None) != (change.op is Op.CREATE):
            what = "is not managed by smihub" if foreign else "has changed in the meantime"
            found[change.ref] = Written(change.ref, "stale", detail=f'"{OBJECTS}/{file}" {what}')
        return change.ref not in found

    def _unlist(self, drops: Sequence[Change]) -> None:
        """Take what goes out of the list first: it must never name a file that is not there."""
        gone = {self._file(change.ref) for change in drops}
        if gone:
            self._listed = {file: what for file, what in self._listed.items() if file not in gone}
            self._others -= gone
            self._list()

    async def mark(self, changes: Sequence[OwnershipChange], memory: Mapping[UnitKey, bytes]) -> str:
        """Have objects change hands, and give the new token. Raises StaleError, as `write` does."""
        async with self.cleaning():
            for change in changes:
                await run_to_end(partial(self._change_owner, change))
            await run_to_end(self._folder.sync)
            if any(change.listed != "as before" for change in changes):
                await run_to_end(self._list)
            if memory:
                await self.remember(memory)
        return self.token

    def _change_owner(self, change: OwnershipChange) -> None:
        """Have the file say whose its object is, and note how it is to be listed."""
        path = f"{OBJECTS}/{change.file}"
        if change.token:
            self._digests[path] = change.token
        if change.data is not None:
            self._put(path, change.data)
        if isinstance(change.listed, tuple):
            self._listed[change.file] = change.listed
            self._others -= {change.file}
        elif change.listed == "others":
            self._digests.pop(path, None)
            self._listed.pop(change.file, None)
            self._others |= {change.file} if change.data is not None else set()

    @asynccontextmanager
    async def cleaning(self) -> AsyncIterator[None]:
        """End what another write did not: what it left is removed, and what changed hands is listed as what it is."""
        await run_to_end(self._folder.clean)
        try:
            await run_to_end(self._rename)
            if self._released:
                await run_to_end(self._list)
            yield
        finally:
            await run_to_end(self._folder.clean)

    def _rename(self) -> None:
        """Give files that have a former name still the one that they have now: written, then listed, then the old one goes."""
        for old, file in self._renamed.items():
            path, known = f"{OBJECTS}/{file}", self._digests[f"{OBJECTS}/{file}"]
            self._unchanged(f"{OBJECTS}/{old}", known, MAX_OBJECT_BYTES)
            self._folder.stage(path, self._folder.read(f"{OBJECTS}/{old}", MAX_OBJECT_BYTES) or b"")
            try:
                self._folder.add(path)
            except FileExistsError:  # an earlier try came this far
                self._folder.clean()
            self._unchanged(path, known, MAX_OBJECT_BYTES)
        if self._renamed:
            self._folder.sync()
            self._list()
        for old in self._renamed:
            self._folder.remove(f"{OBJECTS}/{old}")

    def _list(self) -> None:
        self._put(self._files.form.list.name, encode_index(self._files, self._listed, self._others), MAX_INDEX_BYTES)
        self._folder.sync()

    def _put(self, path: str, data: bytes, limit: int = MAX_OBJECT_BYTES) -> None:
        """Have this file hold this, if it still holds what was read. The last look is as late as can be."""
        before, after = self._digests.get(path), digest(data)
        if before != after:
            self._folder.stage(path, data)
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
            self._unchanged(path, before, MAX_OBJECT_BYTES)
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
        return StaleError(f'"{self._path / path}" was changed by somebody else in the meantime; plan again')
