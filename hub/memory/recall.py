"""Which input objects count as they last could be read: those of files that cannot be read now, and broken ones.

Pure. What was applied stays in force through them; what they might have come to grant since waits (hub.memory.meet).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from hub.events import covers
from hub.memory.states import RememberedInput, decode
from hub.model import ObjectRef, UnitKey
from hub.smi.types import SmiObject, Workload

_K = TypeVar("_K")
_L = TypeVar("_L")
Part = tuple[str, str]
"""A source's name and the part, or scope, of it (hub.events)."""


class Missing(Struct, frozen=True):
    """What cannot be read: parts of sources, and the objects that count as they last could be.

    `given_up`: what was applied is not kept for what else cannot be read. `ruled` are the namespaces of which nothing that counts
    here can be in these parts: other sources are the authorities on them, and the facts in these parts are of other clusters.
    """

    unread: frozenset[Part] = frozenset()
    recalled: Mapping[ObjectRef, RememberedInput] = {}
    given_up: bool = False
    ruled: frozenset[str] = frozenset()

    def may_hide(self, namespaces: Iterable[str]) -> bool:
        """Whether what cannot be read may concern what rests on these namespaces."""
        return bool(self.unread) and not self.ruled.issuperset(namespaces)


def file_of(source: str, part: str) -> str:
    """How a part is remembered."""
    return f"{source}:{part}"


@lru_cache(maxsize=4096)
def files_of(parts: frozenset[Part]) -> tuple[str, ...]:
    """How several are remembered, sorted; most objects share theirs."""
    return tuple(sorted(file_of(*part) for part in parts))


def hides(unread: Iterable[Part], file: str) -> bool:
    """Whether one of these unread parts is, or holds, the file."""
    return any(
        file.startswith(begin := file_of(source, "")) and covers(part, file[len(begin) :]) for source, part in unread
    )


class RememberedInputIndex:
    """The input objects that a mesh remembers, by ref and by file. It follows what is remembered at the cost of that alone."""

    def __init__(self, memory: Mapping[UnitKey, bytes]) -> None:
        self._units: dict[UnitKey, tuple[RememberedInput, ...]] = {}
        self._refs: dict[ObjectRef, dict[UnitKey, RememberedInput]] = {}
        self._files: dict[str, dict[tuple[UnitKey, ObjectRef], RememberedInput]] = {}
        self.follow(memory)

    def follow(self, memory: Mapping[UnitKey, bytes]) -> None:
        """Units are remembered like this from now on (b"": no more)."""
        for key, raw in memory.items():
            self._forget(key)
            found = decode(raw)
            self._units[key] = found.kept if found is not None else ()
            for kept in self._units[key]:
                self._refs.setdefault(kept.object.ref, {})[key] = kept
                for file in kept.files:
                    self._files.setdefault(file, {})[key, kept.object.ref] = kept

    def _forget(self, key: UnitKey) -> None:
        for kept in self._units.pop(key, ()):
            _drop(self._refs, kept.object.ref, key)
            for file in kept.files:
                _drop(self._files, file, (key, kept.object.ref))

    def knows(self, part: Part) -> bool:
        """Whether something that is remembered came from this very part."""
        return file_of(*part) in self._files

    def about(
        self, refs: Iterable[ObjectRef], unread: Collection[Part], like: Callable[[ObjectRef], bool] | None = None
    ) -> dict[ObjectRef, RememberedInput]:
        """What is remembered of these objects, of those like them, and of those in these unread parts.

        Of several units the last one to change.
        """
        exact = {file_of(*part) for part in unread}
        scopes = [part for part in unread if not part[1] or part[1].endswith("/")]
        files = {file for file in exact if file in self._files}
        files |= {file for file in self._files if hides(scopes, file)} if scopes else set()
        wanted = {ref for ref in refs if ref in self._refs}
        wanted |= {ref for file in files for _, ref in self._files[file]}
        wanted |= set() if like is None else {ref for ref in self._refs if like(ref)}
        return {ref: next(reversed(self._refs[ref].values())) for ref in wanted}


def _drop(index: dict[_K, dict[_L, RememberedInput]], key: _K, inner: _L) -> None:
    found = index.get(key, {})
    found.pop(inner, None)
    if not found:
        index.pop(key, None)


def recalled(
    kept: Mapping[ObjectRef, RememberedInput],
    broken: Collection[ObjectRef],
    hidden: Callable[[RememberedInput], bool],
    there: Callable[[ObjectRef], bool],
) -> dict[ObjectRef, RememberedInput]:
    """The remembered objects that count: broken ones, and those which are hidden by what is unread and are nowhere else."""
    found = {ref: kept[ref] for ref in broken if ref in kept}
    # One that is readable elsewhere counts as it is there, and what its other file said is past.
    found |= {ref: one for ref, one in kept.items() if hidden(one) and (ref in broken or not there(ref))}
    return found


def placeless(found: SmiObject) -> SmiObject:
    """Without what comes and goes with every machine."""
    if isinstance(found, Workload):
        return replace(found, addresses=(), ready=True)
    return found
