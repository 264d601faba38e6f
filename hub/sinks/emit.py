"""JSON-like values as block YAML that means the same to every reader, of YAML 1.1 and of 1.2. Pure.

A text is written plainly only if it begins with a letter or `/`, holds nothing but letters, digits and `_./-`, and is none
of the words that some reader takes for something else; every other text stands in double quotes, all that is not ASCII
as an escape. So no character can hide, and `yes`, `012`, `1e3`, `0o17`, `~` and `2024-01-01` stay texts everywhere.
Source: YAML 1.2.2, sections 5.7 "Escaped Characters" and 10.3 "Core Schema"; YAML 1.1 type repository (bool, int, float).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from hub.family import escaped

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS = frozenset(("null", "true", "false", "yes", "no", "on", "off", "y", "n"))
_FIRST = {"apiVersion": 0, "kind": 1, "metadata": 2, "spec": 3}


def emit(manifest: Mapping[str, Any]) -> str:
    """A Kubernetes object as a YAML document: apiVersion, kind, metadata and spec first, all other keys sorted."""
    keys = sorted(manifest, key=lambda key: (_FIRST.get(key, len(_FIRST)), key))
    return "\n".join(_mapping({key: manifest[key] for key in keys}, keys, "")) + "\n"


def _mapping(value: Mapping[str, Any], keys: Iterable[str], pad: str) -> Iterator[str]:
    for key in keys:
        yield from _entry(f"{pad}{_scalar(key)}:", value[key], pad)


def _entry(head: str, value: Any, pad: str) -> Iterator[str]:
    if not value or not isinstance(value, dict | list):
        yield f"{head} {_scalar(value)}"
        return
    yield head
    yield from _block(value, f"{pad}  " if isinstance(value, dict) else pad)


def _block(value: Any, pad: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield from _mapping(value, sorted(value), pad)
        return
    for item in value:
        if not item or not isinstance(item, dict | list):
            yield f"{pad}- {_scalar(item)}"
            continue
        first, *rest = _block(item, f"{pad}  ")
        yield f"{pad}- {first[len(pad) + 2 :]}"
        yield from rest


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and value.lower() not in _WORDS
        return value if plain else f'"{escaped(value)}"'
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, dict | list):
        return "{}" if isinstance(value, dict) else "[]"
    return msgspec.json.encode(value).decode()


def _float(value: float) -> str:
    """As a reader of YAML 1.1 takes it for a number: with a point, and a sign in the exponent."""
    digits, exponent, power = repr(value).partition("e")
    return f"{digits}{'' if '.' in digits else '.0'}{exponent}{power}"
