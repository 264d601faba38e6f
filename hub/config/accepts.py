"""`accept` in smihub.yaml: which refusals need no further word, in which mesh, about which object, and until when.

To planning an accept is a *word*: a code, which lifts every refusal of that code, or `code@object`, which lifts those about one
SMI object (`Kind/namespace/name`) or unit (`access/namespace/account`).
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from msgspec import Struct

from hub.config.settings import ConfigSection, FieldError, match, nearest

_CODE = re.compile(r"[a-z][a-z-]*\.[a-z-]+")
_OBJECT = re.compile(r"[A-Za-z]+/[a-z0-9.-]+/[a-z0-9.-]+")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_GUARDS = "guard."
_BY_UNIT = frozenset({"guard.conflict", "guard.foreign-owner"})


class Accept(Struct, frozen=True, order=True):
    """A code that is accepted: in one mesh or ("") all, about one object or ("") any, up to the end of a day (UTC) or ("") for ever.

    `place` is where it stands in the list as written.
    """

    code: str
    mesh: str = ""
    object: str = ""
    until: str = ""
    place: int = 0

    @property
    def word(self) -> str:
        """What it is to planning."""
        return f"{self.code}@{self.object}" if self.object else self.code

    def is_over(self, now: float) -> bool:
        """Whether its last day has passed; `now` in seconds since 1970."""
        return bool(self.until) and dt.datetime.fromtimestamp(now, dt.UTC).date().isoformat() > self.until

    @property
    def is_of_losses(self) -> bool:
        """Whether it is about what a mesh cannot say or protect, which stands as long as its cause; guards come and go."""
        return not self.code.startswith(_GUARDS)


class WrittenAccept(ConfigSection, frozen=True, rename="camel", forbid_unknown_fields=True):
    """An accept with a scope, as it is written."""

    code: str
    mesh: str = ""
    object: str = ""
    until: str = ""


def accepts_in(written: Sequence[str | WrittenAccept], meshes: Collection[str]) -> tuple[Accept, ...]:
    """All accepts, sorted; one that is written twice counts once. Raises FieldError."""
    found = dict[tuple[str, ...], Accept]()
    for place, one in enumerate(written):
        field = f"accept[{place}]"
        if isinstance(one, str):
            match(_CODE, one, field, "a code such as port.undeclared-mixed")
            accept = Accept(one, place=place)
        else:
            _check(one, field, meshes)
            accept = Accept(one.code, one.mesh, one.object, one.until, place)
        found.setdefault((accept.word, accept.mesh, accept.until), accept)
    return tuple(sorted(found.values()))


def _check(one: WrittenAccept, field: str, meshes: Collection[str]) -> None:
    match(_CODE, one.code, f"{field}.code", "a code such as port.undeclared-mixed")
    if one.mesh and one.mesh not in meshes:
        raise FieldError(f"{field}.mesh", f'unknown mesh "{one.mesh[:80]}"; {nearest(one.mesh, meshes)}')
    if one.object:
        match(
            _OBJECT,
            one.object,
            f"{field}.object",
            "an object such as TrafficTarget/shop/api, or a unit such as access/shop/api",
        )
        if one.code.startswith(_GUARDS) and one.code not in _BY_UNIT:
            raise FieldError(f"{field}.object", f'{one.code} applies to a whole mesh; remove "object", or set "mesh"')
    if one.until:
        match(_DAY, one.until, f"{field}.until", "the last day on which it is valid, such as 2030-12-31")
        try:
            dt.date.fromisoformat(one.until)
        except ValueError:
            raise FieldError(f"{field}.until", f'"{one.until}" is not a calendar date') from None


def words(accepts: Iterable[Accept], mesh: str, now: float) -> frozenset[str]:
    """What is accepted in a mesh at a time (seconds since 1970)."""
    return frozenset(one.word for one in accepts if one.mesh in {"", mesh} and not one.is_over(now))


def without_effect(
    accepts: Iterable[Accept], lifted: Iterable[tuple[str, Collection[str]]], now: float
) -> Iterator[tuple[Accept, str]]:
    """Those that lift nothing any more, each with why; `lifted` are by mesh the words that lifted something in a whole plan."""
    by_mesh = dict(lifted)
    for one in accepts:
        if one.is_over(now):
            yield one, f"it expired after {one.until}"
        elif one.is_of_losses and not any(one.word in by_mesh[name] for name in by_mesh if one.mesh in {"", name}):
            yield one, "nothing needs it any more"
