"""Which objects count: the same object may be written twice, in one source or in several.

Equal copies are one object, unequal ones are none; a copy that is invalid is unequal to every other. Whatever does not count
for such a reason is reported at every copy; equal copies in one source are reported once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from hub.model import ObjectRef, Origin, Problem, Severity
from hub.smi import Decoded, Unnamed
from hub.smi.doubts import doubt_of
from hub.smi.types import Doubt, SmiObject

Part = tuple[str, str]
"""A source's name and the part of it (a file, a kind) that is read as a whole."""
_NOWHERE = Origin()
_PLACES = 10
"""So many places are named of an object that is written more often; a message has to end."""
_UNEQUAL = "object.unequal"
_UNEQUAL_COPIES = (
    "is defined more than once with different content, so all copies are ignored",
    "keep one of the copies; if one of them is a kustomize patch, build it and use the result as the source",
)
_EQUAL_COPIES = (
    "is defined more than once with the same content; the copies count as one",
    "keep one of the copies",
)
K = TypeVar("K")
V = TypeVar("V")


class _Copy(Struct, frozen=True, gc=False):
    """One copy of an object: where it stands, what it says without that place (None: it is invalid), and its digest.

    `whole` is False where not all of it can be read.
    """

    ref: ObjectRef
    part: Part
    origin: Origin
    object: SmiObject | None
    digest: bytes = b""
    whole: bool = True
    doubt: Doubt | None = None


_CopyList = tuple[_Copy, ...]


class Copies:
    """Every copy of every object, by part; tells which object counts."""

    def __init__(self) -> None:
        self._parts: dict[Part, _CopyList] = {}
        self._copies: dict[ObjectRef, _CopyList] = {}
        self._disputed: set[ObjectRef] = set()
        self._flawed: set[ObjectRef] = set()
        self._unnamed: dict[Part, tuple[Unnamed, ...]] = {}

    def put(self, part: Part, decoded: Sequence[Decoded]) -> Sequence[ObjectRef]:
        """Replace all that a part says (an empty sequence: it is gone); the refs that may now mean something else."""
        copies = tuple(_copies_in(part, decoded))
        before, after = _by_ref(self._parts.get(part, ())), _by_ref(copies)
        _set_or_drop(self._parts, part, copies)
        _set_or_drop(self._unnamed, part, tuple(each.unnamed for each in decoded if each.unnamed is not None))
        changed = [ref for ref in before.keys() | after.keys() if before.get(ref) != after.get(ref)]
        for ref in changed:
            others = tuple(copy for copy in self._copies.get(ref, ()) if copy.part != part)
            _set_or_drop(self._copies, ref, (*others, *after.get(ref, ())))
            self._judge(ref)
        return changed

    def _judge(self, ref: ObjectRef) -> None:
        if self._fault(ref):
            self._disputed.add(ref)
        else:
            self._disputed.discard(ref)
        if all(copy.whole for copy in self._copies.get(ref, ())):
            self._flawed.discard(ref)
        else:
            self._flawed.add(ref)

    def broken(self) -> frozenset[ObjectRef]:
        """The objects that cannot be read as they are written: invalid, with a part that is, or in unequal copies."""
        return frozenset({ref for ref in self._disputed if self._fault(ref) == _UNEQUAL} | self._flawed)

    def unnamed(self) -> frozenset[Unnamed]:
        """What is called by no text, in any part."""
        return frozenset(each for found in self._unnamed.values() for each in found)

    def readable(self, ref: ObjectRef) -> tuple[SmiObject, ...]:
        """Each copy of an object that can be read whole, by place."""
        copies = sorted(self._copies.get(ref, ()), key=lambda copy: copy.origin)
        return tuple(copy.object for copy in copies if copy.whole and copy.object is not None)

    def object(self, ref: ObjectRef) -> SmiObject | None:
        """The object that counts, without its origin."""
        copies = self._copies.get(ref, ())
        return copies[0].object if copies and self._fault(ref) != _UNEQUAL else None

    def fault(self, ref: ObjectRef) -> str:
        """Why an object that is written does not count, and where it stands; "" if it counts or is nowhere."""
        copies = self._copies.get(ref, ())
        if not copies or self.object(ref) is not None:
            return ""
        why = "is defined more than once with different content" if self._fault(ref) == _UNEQUAL else "cannot be read"
        return f"{ref} {why} ({', '.join(origin.place for origin in self.origins(ref))})"

    def doubts(self, ref: ObjectRef) -> Iterator[Doubt]:
        """What each copy of an object may be, where it does not count."""
        for copy in self._copies.get(ref, ()):
            doubt = copy.doubt if copy.object is None else doubt_of(copy.object)
            if doubt is not None:
                yield doubt

    def origins(self, ref: ObjectRef) -> tuple[Origin, ...]:
        """Where every copy stands, by source, sorted."""
        copies = self._copies.get(ref, ())
        return (copies[0].origin,) if len(copies) == 1 else tuple(sorted(copy.origin for copy in copies))

    def parts(self, ref: ObjectRef) -> frozenset[Part]:
        """The parts of sources that hold a copy."""
        return frozenset(copy.part for copy in self._copies.get(ref, ()))

    def disputes(self, ref: ObjectRef) -> tuple[Problem, ...]:
        """A Problem at each copy where copies are unequal; one Problem, at the first copy, where they are only too many."""
        if ref not in self._disputed:
            return ()
        code, origins = self._fault(ref), self.origins(ref)
        if code != _UNEQUAL:
            return (_dispute(code, ref, origins[0], origins[1:]),)
        return tuple(
            _dispute(code, ref, origin, [other for other in origins if other is not origin]) for origin in origins
        )

    def _fault(self, ref: ObjectRef) -> str:
        """What is wrong with having these copies: the code of the Problem, "" if nothing is."""
        copies = self._copies.get(ref, ())
        if len(copies) < 2:
            return ""
        first = copies[0]
        # An invalid copy has no digest: nobody can tell that another one says the same.
        if not first.digest or any((copy.digest, copy.object) != (first.digest, first.object) for copy in copies):
            return _UNEQUAL
        return "object.duplicate" if len({copy.part[0] for copy in copies}) < len(copies) else ""


def _dispute(code: str, ref: ObjectRef, origin: Origin, others: Sequence[Origin]) -> Problem:
    if code == _UNEQUAL:
        message, remedy = _UNEQUAL_COPIES
        severity = Severity.ERROR
    else:
        message, remedy = _EQUAL_COPIES
        severity = Severity.WARNING
    what = f'"{ref}" {message}; also at {_places(others)}'
    return Problem(code, ref, "metadata.name", what, remedy, origin, severity)


def _places(origins: Sequence[Origin]) -> str:
    more = f" and {len(origins) - _PLACES} more" if len(origins) > _PLACES else ""
    return ", ".join(origin.place for origin in origins[:_PLACES]) + more


def _copies_in(part: Part, decoded: Iterable[Decoded]) -> Iterator[_Copy]:
    for each in decoded:
        if each.ref is None:
            continue
        if each.object is None:
            yield _Copy(each.ref, part, each.origin, None, each.digest, whole=not each.broken, doubt=each.doubt)
        else:
            written = replace(each.object, origin=_NOWHERE)
            yield _Copy(each.ref, part, each.object.origin, written, each.digest, whole=not each.broken)


def _by_ref(copies: _CopyList) -> dict[ObjectRef, _CopyList]:
    table: dict[ObjectRef, _CopyList] = {}
    for copy in copies:
        table[copy.ref] = (*table.get(copy.ref, ()), copy)
    return table


def _set_or_drop(table: dict[K, V], key: K, value: V) -> None:
    if value:
        table[key] = value
    else:
        table.pop(key, None)
