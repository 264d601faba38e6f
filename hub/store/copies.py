"""Which objects count: the same object may be said twice, in one source or in several.

Twice in one source: neither copy counts. In several sources: equal copies are one object, unequal ones are none. A copy
that is invalid is unequal to every other. Whatever does not count for such a reason is reported at every copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from hub.model import ObjectRef, Origin, Problem
from hub.smi import Decoded
from hub.smi.types import SmiObject

Part = tuple[str, str]
"""A source's name and the part of it (a file, a kind) that is read as a whole."""
_NOWHERE = Origin()
K = TypeVar("K")
V = TypeVar("V")


class _Claim(Struct, frozen=True, gc=False):
    """One copy of an object: where it stands and what it says without that place (None: it is invalid)."""

    ref: ObjectRef
    part: Part
    origin: Origin
    said: SmiObject | None


_Claims = tuple[_Claim, ...]


class Copies:
    """Every copy of every object, by part; tells which object counts."""

    def __init__(self) -> None:
        self._parts: dict[Part, _Claims] = {}
        self._told: dict[Part, tuple[Problem, ...]] = {}
        self._claims: dict[ObjectRef, _Claims] = {}
        self._disputed: set[ObjectRef] = set()

    def put(self, part: Part, decoded: Sequence[Decoded]) -> Iterable[ObjectRef]:
        """Replace all that a part says (an empty sequence: it is gone); the refs that may now mean something else."""
        claims = tuple(_claims(part, decoded))
        _set_or_drop(self._told, part, tuple(problem for each in decoded for problem in each.problems))
        before, after = _by_ref(self._parts.get(part, ())), _by_ref(claims)
        _set_or_drop(self._parts, part, claims)
        changed = [ref for ref in before.keys() | after.keys() if before.get(ref) != after.get(ref)]
        for ref in changed:
            others = tuple(claim for claim in self._claims.get(ref, ()) if claim.part != part)
            _set_or_drop(self._claims, ref, (*others, *after.get(ref, ())))
            self._judge(ref)
        return changed

    def _judge(self, ref: ObjectRef) -> None:
        if self._fault(ref):
            self._disputed.add(ref)
        else:
            self._disputed.discard(ref)

    def object(self, ref: ObjectRef) -> SmiObject | None:
        """The object that counts, without its origin."""
        claims = self._claims.get(ref, ())
        return claims[0].said if claims and not self._fault(ref) else None

    def origins(self, ref: ObjectRef) -> tuple[Origin, ...]:
        """Where every copy stands, by source, sorted."""
        return tuple(sorted(claim.origin for claim in self._claims.get(ref, ())))

    def problems(self) -> Iterator[Problem]:
        """What decoding found, and a Problem at each copy of an object that does not count for having copies."""
        for told in self._told.values():
            yield from told
        for ref in self._disputed:
            yield from self._dispute(ref)

    def _fault(self, ref: ObjectRef) -> str:
        """Why copies take each other's effect: the code of the Problem, "" if they do not."""
        claims = self._claims.get(ref, ())
        if len(claims) < 2:
            return ""
        if len({claim.part[0] for claim in claims}) < len(claims):
            return "object.duplicate"
        first = claims[0].said
        return "" if first is not None and all(claim.said == first for claim in claims) else "object.unequal"

    def _dispute(self, ref: ObjectRef) -> Iterator[Problem]:
        code = self._fault(ref)
        origins = self.origins(ref)
        for origin in origins:
            others = ", ".join(_place(other) for other in origins if other is not origin)
            if code == "object.duplicate":
                message = f'"{ref}" is there more than once, so no copy counts; also at {others}'
            else:
                message = f'"{ref}" says different things in different sources, so no copy counts; also at {others}'
            yield Problem(code, ref, "metadata.name", message, "keep one of the copies", origin)


def _place(origin: Origin) -> str:
    return f"{origin.source}:{origin.file}:{origin.line}"


def _claims(part: Part, decoded: Iterable[Decoded]) -> Iterator[_Claim]:
    for each in decoded:
        if each.ref is None:
            continue
        if each.object is None:
            origin = each.problems[0].origin if each.problems else _NOWHERE
            yield _Claim(each.ref, part, origin, None)
        else:
            yield _Claim(each.ref, part, each.object.origin, replace(each.object, origin=_NOWHERE))


def _by_ref(claims: _Claims) -> dict[ObjectRef, _Claims]:
    table: dict[ObjectRef, _Claims] = {}
    for claim in claims:
        table[claim.ref] = (*table.get(claim.ref, ()), claim)
    return table


def _set_or_drop(table: dict[K, V], key: K, value: V) -> None:
    if value:
        table[key] = value
    else:
        table.pop(key, None)
