"""What every source says, whatever it reads: events on its parts.

A *part* is the smallest thing that is read as a whole and can fail by itself: a file of a directory (its path relative
to the source), a kind of a cluster. The part "" is the source as a whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from msgspec import Struct, field

from hub.model import Document, Problem


class Upsert(Struct, frozen=True):
    """The part was read: it holds exactly these objects now, instead of what it held; it is no longer unread."""

    part: str
    documents: tuple[Document, ...]


class Delete(Struct, frozen=True):
    """The part is gone, and so are its objects."""

    part: str


class Unread(Struct, frozen=True):
    """The part is there but cannot be read: what it held last stays in force, what depends on it is frozen."""

    part: str
    problem: Problem


class Synced(Struct, frozen=True):
    """Every part has been reported; an `Unread` of the whole source ("") is over."""


Event = Upsert | Delete | Unread | Synced


class Snapshot(Struct, frozen=True):
    """A source at one moment: the objects per part (of an unread part those it held last), and what is unread."""

    parts: Mapping[str, tuple[Document, ...]] = field(default_factory=dict)
    unread: Mapping[str, Problem] = field(default_factory=dict)

    @property
    def documents(self) -> tuple[Document, ...]:
        """All objects, by part and position."""
        return tuple(document for part in sorted(self.parts) for document in self.parts[part])


class Source(Protocol):
    """Where objects come from."""

    @property
    def name(self) -> str:
        """The name that origins carry."""

    def read(self) -> Snapshot:
        """Read everything now. Raises SourceError if there is nothing to read: that never means "no objects"."""

    def watch(self) -> AsyncIterator[tuple[Event, ...]]:
        """Yield batches of events for ever, first the whole content, then changes; a batch ends with `Synced`.

        A source that cannot be read as a whole yields one `Unread` of part "" and goes on trying.
        """


def changes(before: Snapshot, after: Snapshot) -> tuple[Event, ...]:
    """The events that lead from one snapshot to another, by part; ends with `Synced`. Costs no parsing.

    Raises nothing. A part that turns unread yields `Unread`; one that is read again yields `Upsert`, changed or not.
    """
    found: list[Event] = []
    for part in sorted({*before.parts, *before.unread, *after.parts, *after.unread}):
        if (problem := after.unread.get(part)) is not None:
            if before.unread.get(part) != problem:
                found.append(Unread(part, problem))
        elif part not in after.parts:
            found.append(Delete(part))
        elif part in before.unread or before.parts.get(part) is not after.parts[part]:
            found.append(Upsert(part, after.parts[part]))
    return (*found, Synced())
