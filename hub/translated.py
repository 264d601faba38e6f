"""What an adapter makes of a unit, completed by the hub: adapters know nothing of keys, so they cannot spell them wrong.

Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from hub.api import AdapterSpec
from hub.errors import UnsafeResourceError
from hub.model import Access, Baseline, NativeObject, ObjectRef, Role, Translation, Unit, UnitKey


def translated(spec: AdapterSpec[Any], key: UnitKey, unit: Unit, config: Any) -> Translation:
    """The translation of a unit, with losses that say whose they are, and objects that say where they come from.

    Raises UnsafeResourceError for a baseline that grants something, or could not be written first, and for an adapter of routes
    alone that says that it enforces access.
    """
    translation = spec.translate(unit, config)
    if isinstance(unit, Baseline):
        _check_baseline(key, translation)
    if isinstance(unit, Access) and spec.routes_only:
        _check_unenforced(key, translation)
    origins = tuple(sorted(set(unit.origins)))
    return replace(
        translation,
        objects=tuple(_with_origins(each, origins) for each in translation.objects),
        losses=tuple(sorted(replace(loss, unit=key) for loss in translation.losses)),
    )


def _check_baseline(key: UnitKey, translation: Translation) -> None:
    if translation.losses or translation.carried or translation.routed or translation.former:
        raise UnsafeResourceError(f"{key} has losses, grants or former names; report this to the adapter's author")
    for native in translation.objects:
        if native.role not in {Role.GUARD, Role.REFERENCED} or native.needs:
            what = f"is a {native.role}" if native.role not in {Role.GUARD, Role.REFERENCED} else "needs others"
            raise UnsafeResourceError(f'"{native.ref}" of {key} {what}; report this to the adapter\'s author')


def _check_unenforced(key: UnitKey, translation: Translation) -> None:
    if translation.objects or translation.carried != () or any(loss.access for loss in translation.losses):
        raise UnsafeResourceError(
            f"{key} has objects, grants or refusals in a mesh that enforces no access; report this to the adapter's author"
        )


def _with_origins(native: NativeObject, origins: Sequence[ObjectRef]) -> NativeObject:
    """Where an adapter knows better it names some of the unit's own; nothing else is taken from it."""
    named = tuple(sorted(set(native.origins).intersection(origins))) if native.origins else ()
    return replace(native, origins=named or origins)
