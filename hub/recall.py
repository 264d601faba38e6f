"""Which input objects count as they last could be read: those of files that cannot be read now, and broken ones.

Pure. What was applied stays in force through them; what they might have come to grant since waits (hub.meet).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from msgspec import Struct

from hub.events import covers
from hub.memory import Kept, decode
from hub.model import ObjectRef, UnitKey

Part = tuple[str, str]
"""A source's name and the part, or scope, of it (hub.events)."""


class Missing(Struct, frozen=True):
    """What cannot be read: parts of sources, and the objects that count as they last could be.

    `given_up`: what was applied is not kept for what else cannot be read.
    """

    unread: frozenset[Part] = frozenset()
    recalled: Mapping[ObjectRef, Kept] = {}
    given_up: bool = False


def file_of(source: str, part: str) -> str:
    """How a part is remembered."""
    return f"{source}:{part}"


def hides(unread: Iterable[Part], file: str) -> bool:
    """Whether one of these unread parts is, or holds, the file."""
    return any(
        file.startswith(begin := file_of(source, "")) and covers(part, file[len(begin) :]) for source, part in unread
    )


def kept_in(memory: Mapping[UnitKey, bytes]) -> dict[ObjectRef, Kept]:
    """Every input object that is remembered, by ref; costs all of the memory."""
    return {kept.object.ref: kept for raw in memory.values() for kept in _kept(raw)}


def _kept(raw: bytes) -> Iterator[Kept]:
    found = decode(raw)
    return iter(() if found is None else found.kept)


def recalled(
    kept: Mapping[ObjectRef, Kept],
    broken: Collection[ObjectRef],
    hidden: Callable[[Kept], bool],
    there: Callable[[ObjectRef], bool],
) -> dict[ObjectRef, Kept]:
    """The remembered objects that count: broken ones, and those which are hidden by what is unread and are nowhere else."""
    found = {ref: kept[ref] for ref in broken if ref in kept}
    found |= {ref: one for ref, one in kept.items() if hidden(one) and (ref in broken or not there(ref))}
    return found
