"""What the hub asked to be remembered per unit, as one readable JSON document. Pure.

What is JSON itself, as the hub writes it, stands there as JSON; any other bytes as base64. One entry per unit, sorted.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping

import msgspec
from msgspec import Raw, Struct

from hub.errors import ConfigError
from hub.model import UnitKey
from hub.sinks.names import unit_of, unit_text

SCHEMA = 2
"""1 was written by f44faaa and older, which kept lines of text for each unit; both are read."""


class _LedgerEntry(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    unit: str
    remembered: Raw = Raw()
    base64: str = ""


class _Ledger(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    schema: int
    mesh: str
    owner: str = ""
    units: tuple[_LedgerEntry, ...] = ()


class Ledger(Struct, frozen=True):
    """What was remembered of each unit, and the owner for whom ("": of before there were owners, or without one)."""

    memory: Mapping[UnitKey, bytes] = {}
    owner: str = ""


class _Version(Struct, frozen=True):
    schema: int


def encode_memory(mesh: str, memory: Mapping[UnitKey, bytes], owner: str = "") -> bytes:
    """The document; units of which nothing is remembered (b"") are left out."""
    entries = tuple(_entry(unit_text(unit), raw) for unit, raw in sorted(memory.items()) if raw)
    return msgspec.json.format(msgspec.json.encode(_Ledger(SCHEMA, mesh, owner, entries)), indent=1) + b"\n"


def decode_memory(data: bytes, mesh: str) -> Ledger:
    """The memory of this mesh. Raises ConfigError, to be completed by the name of the file."""
    try:
        schema = msgspec.json.decode(data, type=_Version).schema
        if schema > SCHEMA:
            raise ConfigError(f"was written by a newer smihub; this one reads schema {SCHEMA}; upgrade smihub")
        ledger = msgspec.json.decode(data, type=_Ledger)
        memory = {_unit(entry.unit): _bytes(entry) for entry in ledger.units}
    except (msgspec.MsgspecError, ValueError) as error:
        remedy = "restore it, for example from Git, or delete it (the next plan then shows all access as newly allowed)"
        raise ConfigError(f"cannot be read: {error}; {remedy}") from None
    if ledger.mesh != mesh:
        raise ConfigError(f'belongs to mesh "{ledger.mesh}"; give mesh "{mesh}" a separate folder')
    return Ledger(memory, ledger.owner)


def _entry(unit: str, raw: bytes) -> _LedgerEntry:
    try:
        msgspec.json.decode(raw)
        # Only bytes that come back exactly from the readable form: the memory is compared byte by byte.
        if msgspec.json.format(raw, indent=-1) == raw and raw != b"null":
            return _LedgerEntry(unit, Raw(raw))
    except (msgspec.MsgspecError, ValueError):
        pass
    return _LedgerEntry(unit, base64=b64encode(raw).decode())


def _bytes(entry: _LedgerEntry) -> bytes:
    if entry.base64:
        return b64decode(entry.base64, validate=True)
    return msgspec.json.format(bytes(entry.remembered), indent=-1)


def _unit(text: str) -> UnitKey:
    unit = unit_of(text)
    if unit is None:
        raise ValueError(f'"{text}" is not a unit')
    return unit
