"""What every source says, whatever it reads: events on its parts.

A *part* is the smallest thing that is read as a whole and can fail by itself: a file of a directory (its path relative
to the source), one object of a cluster (`kind/namespace/name`). A part that ends in "/" is a *scope*, all parts that begin
with it: a folder, a kind, a namespace of a kind. The part "" is the source as a whole. `covers` is the only place that
compares the two.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct, field

from hub.errors import SourceError
from hub.model import Document, ObjectRef, Origin, Problem


def covers(scope: str, part: str) -> bool:
    """Whether a part is this one, or in this scope."""
    return part.startswith(scope) if not scope or scope.endswith("/") else part == scope


class Upsert(Struct, frozen=True, gc=False):
    """The part was read: it holds exactly these objects now, instead of what it held; it is no longer unread.

    `templates` is how many more documents of it are to be filled in first, and so are no objects.
    """

    part: str
    documents: tuple[Document, ...]
    templates: int = 0


class Delete(Struct, frozen=True, gc=False):
    """The part is gone, and so are its objects. A scope is never deleted, only its parts are."""

    part: str


class Unread(Struct, frozen=True, gc=False):
    """The part, or all of a scope, may be there but cannot be read: what it held last stays in force, and gains wait."""

    part: str
    problem: Problem


class NotOurs(Struct, frozen=True, gc=False):
    """The part cannot be read, and by its looks holds nothing of ours: it holds nothing, and gains do not wait for it.

    That does not go for what it held at the last apply: if there is any, the part is unread, as `problem` says. `looks`: a
    Helm template, or any other text.
    """

    part: str
    problem: Problem
    looks: Literal["helm", "text"]


def lost(source: str, error: SourceError) -> Unread:
    """What is said of a source that cannot be read as a whole."""
    ref, remedy = ObjectRef("", "Source", "", source), "restore it; until then its objects stay as they are"
    return Unread("", Problem("source.unreadable", ref, "", str(error), remedy, Origin(source)))


class Listed(Struct, frozen=True, gc=False):
    """Every part in this scope has been reported; an `Unread` of the scope is over. Its parts may be unread themselves."""

    part: str


class Synced(Struct, frozen=True, gc=False):
    """Every part has been reported; an `Unread` of the whole source ("") is over."""


Event = Upsert | Delete | Unread | NotOurs | Listed | Synced


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
            elif isinstance(event, Delete | NotOurs):
                parts.pop(part, None)
        return Snapshot(parts, unread)


class ObjectSource(Protocol):
    """Where objects come from: the I/O of a source, and nothing that decides."""

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

    def pinpoint(self, problems: Sequence[Problem]) -> tuple[Problem, ...]:
        """The same problems, in the same order, with a better line where this source can tell one."""
