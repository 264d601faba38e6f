"""Where in the files it stands what a mesh cannot say: the match of a route group by its name, or the field of the object.

A Loss is of a TrafficTarget or a TrafficSplit. Which match of which HTTPRouteGroup it comes from is found by translating each match alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from msgspec.structs import replace

from hub.intent.targets import read_match
from hub.meshes import Mesh
from hub.model import Access, HttpMatch, Loss, ObjectRef, Origin, Problem, UnitKey
from hub.plan.causes import FieldLocation
from hub.smi.types import HTTPRouteGroup, TrafficTarget
from hub.store import Store

_SPECS = "specs.smi-spec.io"
Located = Callable[[Iterable[Problem]], Iterable[Problem]]


def written(store: Store, mesh: Mesh, losses: Iterable[Loss], located: Located) -> Mapping[Loss, FieldLocation]:
    """Where each of these losses is written; `located` finds the lines of fields."""
    blame = _Blame(store, mesh)
    found = {loss: blame.of(loss) for loss in losses}
    asked = [_asked(index, store, loss.code, each) for index, (loss, each) in enumerate(found.items())]
    lines = {int(each.message): each.origin for each in located(asked)}
    return {loss: replace(each, origin=lines[index]) for index, (loss, each) in enumerate(found.items())}


def _asked(index: int, store: Store, code: str, place: FieldLocation) -> Problem:
    origins = store.origins(place.object)
    return Problem(code, place.object, place.field, str(index), "", origins[0] if origins else Origin())


class _Blame:
    def __init__(self, store: Store, mesh: Mesh) -> None:
        self._store = store
        self._mesh = mesh
        self._lost: dict[tuple[UnitKey, ObjectRef, HttpMatch], frozenset[Loss]] = {}

    def of(self, loss: Loss) -> FieldLocation:
        """The matches of the first route group with one that is lost by itself; else the field that the Loss names."""
        target = self._store.object(loss.origin)
        if loss.unit is not None and isinstance(target, TrafficTarget) and loss.field == "spec.rules":
            for rule in (each for each in target.rules if each.kind == "HTTPRouteGroup"):
                ref = replace(loss.origin, group=_SPECS, kind=rule.kind, name=rule.name)
                if found := list(self._lossy(loss, ref, rule.matches)):
                    return FieldLocation(ref, f"spec.matches[{found[0][0]}]", tuple(name for _, name in found))
        return FieldLocation(loss.origin, loss.field)

    def _lossy(self, loss: Loss, ref: ObjectRef, chosen: tuple[str, ...] | None) -> Iterator[tuple[int, str]]:
        """The matches of a group, by index and name, that have this Loss."""
        group = self._store.object(ref)
        for index, each in enumerate(group.matches if isinstance(group, HTTPRouteGroup) else ()):
            if each.match is not None and (chosen is None or each.name in chosen):
                match = read_match(each.match, self._store.reading)
                if loss in self._losses(loss, match):
                    yield index, each.name

    def _losses(self, loss: Loss, match: HttpMatch) -> frozenset[Loss]:
        assert loss.unit is not None  # noqa: S101 - for mypy; `of` says so
        key = (loss.unit, loss.origin, match)
        if key not in self._lost:
            self._lost[key] = self._alone(*key)
        return self._lost[key]

    def _alone(self, key: UnitKey, origin: ObjectRef, match: HttpMatch) -> frozenset[Loss]:
        unit = self._store.compile(key)[0]
        if not isinstance(unit, Access):
            return frozenset()
        mine = (grant for grant in unit.grants if grant.origin == origin and match in (grant.http or ()))
        piece = replace(unit, grants=tuple(map(partial(replace, http=(match,)), mine)))
        try:
            return frozenset(self._mesh.translate(key, piece).losses)
        except Exception:  # noqa: BLE001 - planning has told what an adapter raises
            return frozenset()
