"""What the hub remembers beside a unit's objects: what they mean, and the input objects that they were made from.

Pure. A unit remembers every state that may stand: while a mesh is written object by object, the old one and the new one.
Gains count against what all of them permit, losses against what any does. Each state names the native objects that stand
with it by a digest; a memory whose digest does not fit them (an older copy put back, an object edited) proves nothing.
f44faaa and older remembered lines of text; those are read, and tell no more than which lines there were.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from hashlib import sha256

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.memory.permits import Standing
from hub.model import ObjectRef, UnitKey
from hub.smi.types import SmiObject

SCHEMA = 2
MOST_STATES = 4
"""States that one unit remembers; the oldest of more are one, which permits what they permit alike."""
_NO_DIGEST = "none"


class State(Struct, frozen=True, gc=False, omit_defaults=True):
    """One state that may stand: what it permits, and the digest of its native objects (see `digest`)."""

    standing: Standing = Standing()
    natives: str = ""


class RememberedInput(Struct, frozen=True, gc=False):
    """An input object as it was last readable, and the files (`source:part`) that it was read from."""

    object: SmiObject
    files: tuple[str, ...] = ()


class Remembered(Struct, frozen=True, gc=False, omit_defaults=True):
    """What is kept of one unit. `routes` are lines for people. `kept` are the objects behind it, sorted by ref.

    `lost` is when somebody last lost access here (seconds of the Unix epoch; 0: never, or somebody had accepted it).
    `reading` is by which switches SMI was read (hub.readings). `lines` and `files` are all that f44faaa and older kept (`schema` 1).
    """

    schema: int = 1
    states: tuple[State, ...] = ()
    routes: tuple[str, ...] = ()
    kept: tuple[RememberedInput, ...] = ()
    lines: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    lost: int = 0
    reading: str = ""

    @property
    def old(self) -> bool:
        """Whether there are only lines."""
        return self.schema < SCHEMA


EMPTY = Remembered(schema=SCHEMA)


def _text(value: object) -> str:
    if isinstance(value, Fraction):
        return str(value)
    raise TypeError(f"{type(value).__name__} is in no memory")


def _fraction(kind: type, value: object) -> Fraction:
    if kind is Fraction and isinstance(value, str):
        return Fraction(value)
    raise ValueError(f"{kind.__name__} is in no memory")


class _Stamp(Struct, frozen=True, gc=False):
    lost: int = 0
    reading: str = ""


_ENCODER = msgspec.json.Encoder(enc_hook=_text)
_DECODER = msgspec.json.Decoder(Remembered, dec_hook=_fraction)
# Skips all but two fields: the blast radius looks at the memory of every unit.
_STAMPS = msgspec.json.Decoder(_Stamp)


class Encoded(Mapping[UnitKey, bytes]):
    """What to remember of units, in bytes as soon as somebody asks: all of them at once weigh as much as what was read.

    None is to be forgotten (b"").
    """

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[UnitKey, Remembered | bytes | None]) -> None:
        self._values = values

    def replaced(self, others: Mapping[UnitKey, bytes | None], without: Collection[UnitKey]) -> Encoded:
        """The same with these instead, and without some units."""
        return Encoded({key: one for key, one in {**self._values, **others}.items() if key not in without})

    def __getitem__(self, key: UnitKey) -> bytes:
        """The bytes of one unit. Raises KeyError."""
        found = self._values[key]
        return found if isinstance(found, bytes) else b"" if found is None else encode(found)

    def __iter__(self) -> Iterator[UnitKey]:
        """The units."""
        return iter(self._values)

    def __len__(self) -> int:
        """How many units."""
        return len(self._values)


def encode(remembered: Remembered) -> bytes:
    """The bytes that a sink keeps; equal values give equal bytes."""
    # A copy: what the encoder gives holds on to a third more than it needs, and there is one for each unit.
    return memoryview(_ENCODER.encode(remembered)).tobytes()


def decode(raw: bytes | None) -> Remembered | None:
    """What was remembered for a unit; None if there is nothing. What cannot be read proves nothing (no state, no file)."""
    if not raw:
        return None
    try:
        return _DECODER.decode(raw)
    except (msgspec.MsgspecError, ValueError, ZeroDivisionError, RecursionError):
        return EMPTY


def lost_at(raw: bytes) -> int:
    """When somebody last lost access in a unit, by what is remembered of it; reads nothing else."""
    try:
        return _STAMPS.decode(raw).lost if raw else 0
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return 0


def reading_in(raw: bytes) -> str:
    """By which switches SMI was read when this was remembered; reads nothing else."""
    try:
        return _STAMPS.decode(raw).reading if raw else ""
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""


def stamped(raw: bytes, at: int) -> bytes:
    """The same memory, in which somebody loses access now."""
    found = decode(raw)
    return raw if found is None or found.old else encode(replace(found, lost=at))


def digest(natives: Iterable[tuple[ObjectRef, bytes]]) -> str:
    """A name for the native objects of a unit, by content (SHA-256)."""
    total = sha256()
    for ref, body in sorted(natives):
        total.update(msgspec.json.encode((ref, sha256(body).hexdigest())))
    return total.hexdigest()


def trusted(remembered: Remembered, natives: str) -> tuple[Standing, ...] | None:
    """The states that may stand, given the digest of what does: None if the memory does not fit.

    Of several states, those which fit; if none does, a write ended in between, and each may stand in part.
    """
    fitting = tuple(each.standing for each in remembered.states if each.natives == natives)
    if fitting:
        return fitting
    return tuple(each.standing for each in remembered.states) if len(remembered.states) > 1 else None


def pending(before: bytes, after: bytes) -> bytes:
    """What to remember while the way from one memory to another is walked: the states of both, the objects of the new one."""
    old, new = decode(before), decode(after)
    if new is None or (old is not None and old.old):
        return before  # what goes, or came from an older smihub, is remembered until all of it is written
    known = (*(old.states if old is not None else (State(natives=digest(())),)), *new.states)
    return encode(replace(new, states=_folded(tuple(dict.fromkeys(known)))))


def narrowed(announced: bytes, natives: str) -> bytes:
    """The same memory, where not all was written and what stands, of this digest, permits no more than the newest state."""
    found = decode(announced)
    if found is None or not found.states:
        return announced
    states = (*found.states, State(found.states[-1].standing, natives))
    return encode(replace(found, states=_folded(tuple(dict.fromkeys(states)))))


def partly_written(known: Sequence[Standing] | None, after: bytes) -> bytes | None:
    """What to remember where some objects stay as in these known states, and the others come to be as in the memory `after`.

    Each state may stand in part. None if nobody can tell what stood (`known` None).
    """
    new = decode(after)
    if not known or new is None or not new.states:
        return None if known is None else after
    (last,) = new.states
    states = _folded(tuple(dict.fromkeys((*(State(each, last.natives) for each in known), last))))
    return encode(replace(new, states=tuple(replace(each, natives=last.natives) for each in states)))


def _folded(states: tuple[State, ...]) -> tuple[State, ...]:
    if len(states) <= MOST_STATES:
        return states
    oldest = states[: 1 - MOST_STATES]
    return (State(_alike([each.standing for each in oldest]), _NO_DIGEST), *states[1 - MOST_STATES :])


def _alike(states: Sequence[Standing]) -> Standing:
    """What these states have in common, word for word: on a port whose facts differ nobody is permitted anything."""
    first, *others = states
    grants = tuple(grant for grant in first.grants if all(grant in each.grants for each in others))
    ports = {port for each in states for port in each.ports}
    shared = {port for port in ports if all(port in each.ports for each in states)}
    unlike = {replace(port, declared="unknown", services=(), labels=()) for port in ports - shared}
    closed = all(each.closed for each in states)
    beyond = tuple(sorted({word for each in states for word in each.beyond}))
    sliced = tuple(sorted({each for state in states for each in state.sliced}))
    return Standing(grants, tuple(sorted({*shared, *unlike})), sliced, closed, beyond)
