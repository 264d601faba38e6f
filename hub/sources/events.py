"""What every source says, whatever it reads: events on its parts.

A *part* is the smallest thing that is read as a whole and can fail by itself: a file of a directory (its path relative
to the source), a kind of a cluster. The part "" is the source as a whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import Protocol

from msgspec import Struct, field

from hub.model import Document, Problem


class Upsert(Struct, frozen=True, gc=False):
    """The part was read: it holds exactly these objects now, instead of what it held; it is no longer unread."""

    part: str
    documents: tuple[Document, ...]


class Delete(Struct, frozen=True, gc=False):
    """The part is gone, and so are its objects."""

    part: str


class Unread(Struct, frozen=True, gc=False):
    """The part is there but cannot be read: what it held last stays in force, what depends on it is frozen."""

    part: str
    problem: Problem


class Synced(Struct, frozen=True, gc=False):
    """Every part has been reported; an `Unread` of the whole source ("") is over."""


Event = Upsert | Delete | Unread | Synced


class Snapshot(Struct, frozen=True, gc=False):
    """A source at one moment: the objects per part (of an unread part those it held last), and what is unread."""

    parts: Mapping[str, tuple[Document, ...]] = field(default_factory=dict)
    unread: Mapping[str, Problem] = field(default_factory=dict)

    @property
    def documents(self) -> tuple[Document, ...]:
        """All objects, by part and position."""
        return tuple(document for part in sorted(self.parts) for document in self.parts[part])

    def after(self, events: Iterable[Event]) -> Snapshot:
        """The source as it stands after these events."""
        parts, unread = dict(self.parts), dict(self.unread)
        for event in events:
            if isinstance(event, Unread):
                unread[event.part] = event.problem
                continue
            part = "" if isinstance(event, Synced) else event.part
            unread.pop(part, None)
            if isinstance(event, Upsert):
                parts[part] = event.documents
            elif isinstance(event, Delete):
                parts.pop(part, None)
        return Snapshot(parts, unread)


class Source(Protocol):
    """Where objects come from."""

    @property
    def name(self) -> str:
        """The name that origins carry."""

    def read(self) -> Iterator[Event]:
        """Say what changed since it was said last, the first time everything; ends with `Synced`.

        Raises SourceError if there is nothing to read: that never means "no objects". A part's objects are kept by
        whoever takes the event, not by the source.
        """

    def watch(self) -> AsyncIterator[tuple[Event, ...]]:
        """Yield batches of events for ever, first what `read` would say, then changes; a batch ends with `Synced`.

        A source that cannot be read as a whole yields one `Unread` of part "" and goes on trying.
        """
