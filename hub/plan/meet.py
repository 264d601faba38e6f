"""What of a unit both stands and is wanted, object by object, where nobody can tell what stands permits. Pure.

Somebody edited its objects since they were written, so what is remembered of them proves nothing, while something that would
have to be known for a gain is not. What is revoked must go all the same, and nobody may gain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from msgspec.structs import replace

from hub.model import NativeObject, ObjectRef, Observed, Role

Meet = Callable[[Sequence[NativeObject], Sequence[NativeObject]], Sequence[NativeObject]]
Narrowest = Callable[[bytes, str], bytes | None]


def by_object(narrowest: Narrowest) -> Meet:
    """The `meet` of an adapter that has none of its own: a grant that stands as it is wanted stays, any other grants nothing."""

    def meet(standing: Sequence[NativeObject], wanted: Sequence[NativeObject]) -> tuple[NativeObject, ...]:
        """What allows no more than what stands does."""
        asked, there = {one.ref: one for one in wanted}, {one.ref: one for one in standing}
        return (*_kept(asked, there, narrowest), *_closing(asked, there, narrowest))

    return meet


def as_natives(standing: Mapping[ObjectRef, Observed]) -> tuple[NativeObject, ...]:
    """What stands of a unit, as an adapter speaks of objects, sorted; without what is remembered and does not stand."""
    found = (one for _, one in sorted(standing.items()) if one.token)
    return tuple(NativeObject(one.ref, one.role, one.owned, needs=one.needs) for one in found)


def _kept(
    wanted: Mapping[ObjectRef, NativeObject], standing: Mapping[ObjectRef, NativeObject], narrowest: Narrowest
) -> Iterator[NativeObject]:
    """Of grants what stands as it is wanted; anything else as it stands, for nobody knows what its change would do."""
    for ref, one in standing.items():
        # Its role is part of what somebody may have edited.
        role = wanted[ref].role if ref in wanted else one.role
        if role is not Role.GRANT or _stands(ref, wanted, standing, frozenset()):
            yield replace(one, role=role)
        else:
            # By its presence what is wanted refuses more surely than what somebody made of it.
            bodies = (narrowest(each.body, ref.kind) for each in (wanted.get(ref), one) if each is not None)
            yield from (replace(one, role=role, body=body) for body in islice(filter(None, bodies), 1))


def _stands(
    ref: ObjectRef,
    wanted: Mapping[ObjectRef, NativeObject],
    standing: Mapping[ObjectRef, NativeObject],
    seen: frozenset[ObjectRef],
) -> bool:
    """Whether an object stands as it is wanted, and so does all that it needs; what neither has is of another unit."""
    one, there = wanted.get(ref), standing.get(ref)
    if one is None or there is None or ref in seen:
        return one is there or ref in seen
    same = (one.role, one.body, one.needs) == (there.role, there.body, there.needs)
    return same and all(_stands(need, wanted, standing, seen | {ref}) for need in one.needs)


def _closing(
    wanted: Mapping[ObjectRef, NativeObject], standing: Mapping[ObjectRef, NativeObject], narrowest: Narrowest
) -> Iterator[NativeObject]:
    """What refuses by its presence, and is gone: it comes back, a grant without all that it grants."""
    back = {ref for ref, one in wanted.items() if ref in standing or one.role is Role.GUARD}
    for ref, one in wanted.items():
        if ref in standing:
            continue
        if one.role is Role.GUARD:
            yield one
        elif one.role is Role.GRANT and back.issuperset(wanted.keys() & set(one.needs)):
            body = narrowest(one.body, ref.kind)
            yield from () if body is None else (replace(one, body=body),)
