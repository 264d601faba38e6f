"""Native objects as somebody leaves them who edits them by hand: values gone, doubled, moved from elsewhere, changed; whole objects gone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import deepcopy
from random import Random
from typing import Any

from msgspec.structs import replace

from hub.errors import SmihubError
from hub.family import FamilySpec
from hub.model import NativeObject

_Path = tuple[Any, ...]
_NAMES = frozenset(("apiversion", "kind", "metadata", "name"))
"""What says which object it is: with that changed it would be another one."""
_HOW = ("drop", "add", "take", "word", "swap", "gone", "other")


class HandEdits:
    """Edits decided by a seed ("": none) and each object's own name, so that they stay what they are in a smaller world.

    `around` are the objects whose values somebody may copy from.
    """

    def __init__(self, seed: str, family: FamilySpec, around: Iterable[NativeObject]) -> None:
        self._seed = seed
        self._family = family
        self._bodies: dict[str, list[bytes]] = {}
        self._values: dict[tuple[str, _Path], list[Any]] = {}
        for one in around if seed else ():
            self._bodies.setdefault(one.ref.kind, []).append(one.body)
            for path, value in _places(family.view(one.body, one.ref.kind)):
                self._values.setdefault((one.ref.kind, _pattern(path)), []).append(value)

    def of(self, objects: Iterable[NativeObject]) -> Iterator[NativeObject]:
        """These objects, as they stand after the edits."""
        for one in objects:
            dice = Random(f"{self._seed}/{one.ref}")
            if not self._seed or dice.random() < 0.4:
                yield one
            elif (body := self._edited(one, dice)) is not None:
                yield replace(one, body=body)

    def _edited(self, one: NativeObject, dice: Random) -> bytes | None:
        """The body after an edit or two; None where the object is gone."""
        how = dice.choices(_HOW, (6, 6, 6, 3, 3, 2, 2))[0]
        if how == "gone":
            return None
        try:
            value = deepcopy(self._family.view(one.body, one.ref.kind))
            if how == "other":
                other = self._family.view(dice.choice(self._bodies[one.ref.kind]), one.ref.kind)
                value = {**other, **{key: value[key] for key in value if key.lower() in _NAMES}}
            for _ in range(dice.choice((1, 1, 2))):
                self._edit(value, one.ref.kind, how, dice)
            return self._family.body(value, one.ref.kind)
        except SmihubError:
            return one.body  # nobody could have written that

    def _edit(self, value: Any, kind: str, how: str, dice: Random) -> None:
        places = [path for path, _ in _places(value) if path and path[0].lower() not in _NAMES]
        if not places:
            return
        path = dice.choice(places)
        holder, key = _at(value, path[:-1]), path[-1]
        others = self._values.get((kind, _pattern(path)), [holder[key]])
        if how == "drop":
            del holder[key]
        elif how == "add" and isinstance(holder, list):
            holder.insert(key, deepcopy(dice.choice(others)))
        elif how in {"add", "take"}:
            holder[key] = deepcopy(dice.choice(others))
        elif isinstance(holder[key], str):
            holder[key] = holder[key] + "x" if how == "word" else holder[key][:-1] or "x"
        elif isinstance(holder[key], list):
            holder[key].reverse()


def _places(value: Any, path: _Path = ()) -> Iterator[tuple[_Path, Any]]:
    """Every value within this one, with its path."""
    yield path, value
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from _places(one, (*path, key))


def _pattern(path: _Path) -> _Path:
    return tuple("*" if isinstance(key, int) else key for key in path)


def _at(value: Any, path: _Path) -> Any:
    for key in path:
        value = value[key]
    return value
