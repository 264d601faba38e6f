"""Stores from YAML text: for tests that read better as documents than as objects."""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from hub.model import Document, Origin, Reading
from hub.smi import Decoded, decode
from hub.store import Store

_READING = Reading()


def decoded(text: str, source: str = "test", file: str = "text.yaml") -> tuple[Decoded, ...]:
    """Every document of a YAML text, decoded; its origin is the source and its position in the text."""
    values = [value for value in yaml.safe_load_all(text) if value is not None]
    documents = (Document(value, Origin(source, file, line + 1), line) for line, value in enumerate(values))
    return tuple(map(decode, documents))


def store_of(objects: Iterable[Decoded] | str, reading: Reading = _READING) -> Store:
    """A store of trust domain `td` with one source, in which every object is a part of its own."""
    store = Store("td", reading)
    for index, each in enumerate(decoded(objects) if isinstance(objects, str) else objects):
        store.upsert("test", f"part-{index}", (each,))
    return store
