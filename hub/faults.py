"""Faults: the units of a plan on which an adapter raised. Each stays as it stands; the others are planned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from msgspec.structs import replace

from hub.api import stateless
from hub.contained import AbandonedError
from hub.errors import AdapterError
from hub.meshes import Mesh
from hub.model import Observation, Observed, UnitKey
from hub.plan.changes import Desired, by_unit
from hub.plan.guards import of_faults
from hub.plan.plan import Plan
from hub.store import Store


class Faults:
    """The units on which an adapter, or what compiles them, raised: one of them does not cost its mesh the whole plan."""

    def __init__(self) -> None:
        self.found: dict[UnitKey, BaseException] = {}

    @contextmanager
    def of(self, key: UnitKey) -> Iterator[None]:
        """Note what is raised for a unit, and go on with the others."""
        try:
            yield
        except (AbandonedError, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - it is the unit's outcome, also where it asks for the end of the process
            self.note(key, error)

    def note(self, key: UnitKey, error: BaseException) -> None:
        """This was raised for a unit; of several the first counts."""
        self.found.setdefault(key, error)


@contextmanager
def blamed(adapter: str, key: UnitKey) -> Iterator[None]:
    """Around what an adapter does for a unit that cannot be left out. Raises AdapterError for what it raises."""
    try:
        yield
    except (AbandonedError, KeyboardInterrupt):
        raise
    except BaseException as error:
        (refusal,) = of_faults([(key, error)], adapter)
        raise AdapterError(f"{refusal.message} ({refusal.code}); {refusal.remedy}") from error


def carried_over(
    mesh: Mesh, decided: Mapping[UnitKey, Desired], observation: Observation, faults: Faults
) -> dict[UnitKey, Desired]:
    """The units with what only history knows carried over; without those on which the adapter raises."""
    if mesh.spec.carry_over is stateless:
        return dict(decided)
    standing, found = by_unit(observation.objects), dict[UnitKey, Desired]()
    for key, unit in decided.items():
        with faults.of(key):
            objects = mesh.carry_over(key, unit.translation.objects, standing.get(key, {}))
            same = objects == unit.translation.objects
            found[key] = unit if same else replace(unit, translation=replace(unit.translation, objects=objects))
    return found


def with_unenforced(draft: Plan, mesh: Mesh, store: Store, keys: Iterable[UnitKey] | None, faults: Faults) -> Plan:
    """The plan of a mesh of routes alone with what it does not enforce of these units (None: all): it governs no identity."""
    found = list(draft.losses)
    for key in sorted(store.units() if keys is None else keys) if mesh.spec.routes_only else ():
        with faults.of(key):
            unit = store.compile(key)[0] if key.kind == "access" else None
            found += () if unit is None else mesh.translate(key, unit).losses
    return replace(draft, losses=tuple(found))


def narrowest(mesh: Mesh, faults: Faults, key: UnitKey, observed: Observed) -> bytes | None:
    """A grant of a unit without all that it grants; None where the adapter cannot say that."""
    try:
        return mesh.narrowest(key, observed)
    except (AbandonedError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - it is the unit's outcome
        faults.note(key, error)
        return None
