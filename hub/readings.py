"""The reading of SMI by which a unit was made, as it is remembered, and what a changed one would make of it.

Pure. A unit remembers only the switches that bear on it, and of those only what f44faaa and older, which remembered none, had
otherwise by default.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from hub.memory.states import reading_in
from hub.model import Reading, UnitKey
from hub.plan.guards import Refusal
from hub.store import Store

CODE = "guard.reading-changed"
_SHOWN = 3


def reading_words(key: UnitKey, reading: Reading) -> str:
    """What is remembered of a reading for this unit: which switches are not as they were by default before."""
    prefix = ["pathRegex: prefix"] if reading.path_regex == "prefix" else []
    endpoints = ["rootBackend: endpoints"] if reading.root_backend == "endpoints" and key.kind == "route" else []
    return ", ".join(prefix + endpoints)


def changed_readings(store: Store, memory: Mapping[UnitKey, bytes], keys: Iterable[UnitKey]) -> Iterator[Refusal]:
    """A refusal of the whole mesh if units would mean something else only since SMI is read by other switches now."""
    changed = [key for key in sorted(keys) if key in memory and _differs(store, key, reading_in(memory[key]))]
    if not changed:
        return
    known = reading_in(memory[changed[0]]) or "pathRegex: full, rootBackend: reject"
    more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
    message = (
        f"this mesh was written with the reading {known}, which has changed since: "
        f"{', '.join(map(str, changed[:_SHOWN]))}{more} would change because of that"
    )
    yield Refusal(CODE, message, f'restore the old settings of "reading" in smihub.yaml, or apply with --accept {CODE}')


def _differs(store: Store, key: UnitKey, words: str) -> bool:
    if words == reading_words(key, store.reading):
        return False
    before = Reading(
        "prefix" if "prefix" in words else "full",
        "endpoints" if "endpoints" in words or key.kind != "route" else "reject",
    )
    return store.compile_as(key, before) != store.compile(key)[0]
