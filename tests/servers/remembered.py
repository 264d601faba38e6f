"""What a mesh remembers of a unit, as the lines that people read."""

from __future__ import annotations

from hub.memory.permits import lines_of
from hub.memory.states import decode
from hub.model import Identity, UnitKey


def lines_in(key: UnitKey, raw: bytes | None, trust_domain: str) -> tuple[str, ...]:
    """Everything that the one state of an access unit which may stand permits, sorted."""
    found = decode(raw)
    if found is None:
        return ()
    (state,) = found.states
    return lines_of(Identity(trust_domain, key.namespace, key.name), state.standing)
