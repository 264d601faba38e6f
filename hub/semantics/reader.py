"""Strict reading of parsed YAML: every value is checked for its type before it is used.

A value of the wrong type raises `Invalid`, which voids the object that is being decoded and nothing else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping


class Invalid(Exception):  # noqa: N818 - the word that SMI uses for such an object
    """This object is invalid: it grants nothing, the others go on."""


def mapping(value: object, place: str) -> Mapping[str, object]:
    """Return the value as a mapping with text keys, or raise `Invalid`."""
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise Invalid(f"{place} is not a mapping")
    return value


def fields(value: object, place: str, known: Collection[str]) -> Mapping[str, object]:
    """Return the value as a mapping that has no other keys than the known ones, or raise `Invalid`."""
    found = mapping(value, place)
    for key in found:
        if key not in known:
            raise Invalid(f"{place} has an unknown field {key!r}")
    return found


def items(value: object, place: str) -> list[object]:
    """Return the value as a list, or raise `Invalid`."""
    if not isinstance(value, list):
        raise Invalid(f"{place} is not a list")
    return value


def text(value: object, place: str) -> str:
    """Return the value as text, or raise `Invalid`."""
    if not isinstance(value, str):
        raise Invalid(f"{place} is not a string")
    return value


def required_text(found: Mapping[str, object], key: str) -> str:
    """Return the text under a key that must be there and not be empty, or raise `Invalid`."""
    if not found.get(key, ""):
        raise Invalid(f"{key} is missing or empty")
    return text(found[key], key)


def optional_text(found: Mapping[str, object], key: str) -> str | None:
    """Return the text under a key, None when the key is absent; null is not absent."""
    return text(found[key], key) if key in found else None


def texts(value: object, place: str) -> tuple[str, ...]:
    """Return the value as a tuple of texts, or raise `Invalid`."""
    return tuple(text(item, place) for item in items(value, place))


def port_number(value: object, place: str) -> int:
    """Return the value as a port 1 to 65535; a boolean, a float and a numeric text are none."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        raise Invalid(f"{place} is not a port")
    return value


def pairs(value: object, place: str) -> frozenset[tuple[str, str]]:
    """Return a mapping of text to text (labels, selectors, headers) as its pairs, or raise `Invalid`."""
    return frozenset((key, text(item, place)) for key, item in mapping(value, place).items())


def unless_null(found: Mapping[str, object], key: str, default: object) -> object:
    """Return what is under a key, the default when it is absent or null, as a Kubernetes API server reads it."""
    value = found.get(key)
    return default if value is None else value
