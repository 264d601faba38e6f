"""Settings as a file has them, checked and turned into their type; a mistake names the field and the nearest known one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from functools import cache
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from hub.config.examples import CHOICES, example_of

ConfigT = TypeVar("ConfigT", bound=Struct)


class ConfigSection(Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Base of everything that is written in the file."""


class FieldError(Exception):
    """What is wrong with one field (`message`); `field` is its path in the file."""

    def __init__(self, field_path: str, message: str) -> None:
        self.field = field_path
        self.message = message
        super().__init__(f"{field_path}: {message}" if field_path else message)


_AT = re.compile(r"(?s)(?P<message>.*?)(?: - at `\$(?P<path>.*)`)?")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<name>.*)`", re.DOTALL)
_TYPE = re.compile(r"Expected `(?P<type>[\w |]+)`(?:, got `(?P<got>\w+)`)?.*", re.DOTALL)
_EMPTY = "Expected `array` of length >= 1"
_NAMES = {
    "str": "a string",
    "bool": "true or false",
    "int": "an integer",
    "float": "a number",
    "array": "a list",
    "object": "a mapping",
}
_REMEDIES = {
    "str": "use a string, in quotes",
    "bool": "use true or false",
    "int": "use a number without quotes",
    "str | object": "use a code, such as port.undeclared-mixed, or a mapping with code, mesh, object, until",
    "array": "use a list, such as [a, b]",
    "str | array": "use a string, in quotes, or a list of them",
    "object": "use a mapping of fields, or remove it",
}
_ENUM = re.compile(r"Invalid enum value '(?P<value>.*)'", re.DOTALL)
_MISSING = re.compile(r"Object missing required field `(?P<name>.*)`")


def convert(value: object, kind: type[ConfigT], base: str) -> ConfigT:
    """Check and convert; a value may leave out what has a default, and nothing may be there that is not known."""
    if not isinstance(value, dict):
        raise FieldError(
            base,
            "is empty; smihub init writes an example with all fields"
            if value is None
            else "must be a mapping of fields; smihub init writes an example with all fields",
        )
    _refuse_unknown(value, kind, base)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _explained(str(error), kind, base) from None


def _explained(text: str, kind: type[Struct], base: str) -> FieldError:
    found = _AT.fullmatch(text)
    message, path = (found["message"], found["path"] or "") if found else (text, "")
    place = (base + path).removeprefix(".")
    if missing := _MISSING.fullmatch(message):
        return FieldError(f"{place}.{missing['name']}".removeprefix("."), _missing(place, missing["name"]))
    if odd := _ENUM.fullmatch(message):
        wanted = CHOICES.get(place.rpartition(".")[2]) or _choices(kind, path)
        return FieldError(place, f'invalid value "{odd["value"][:80]}"; expected {wanted}')
    if message == _EMPTY:
        return FieldError(place, f"is empty; add {example_of(place) or 'at least one entry'}")
    if wrong := _TYPE.fullmatch(message):
        return FieldError(place, _mistyped(wrong["type"], wrong["got"] or ""))
    return FieldError(place, message[:1].lower() + message[1:].replace("`", '"'))


def _mistyped(wanted: str, got: str) -> str:
    """What is wrong with a value of another type, and what to write."""
    named = " or ".join(_NAMES.get(each, each) for each in wanted.split(" | "))
    instead = f", not {_NAMES.get(got, got)}" if got else ""
    return f"must be {named}{instead}" + (f"; {_REMEDIES[wanted]}" if wanted in _REMEDIES else "")


def _choices(kind: type[Struct], path: str) -> str:
    """The values of a field of this section that has few."""
    known = filter(_is_text, get_args(_fields(kind).get(path.removeprefix("."))))
    return " or ".join(known) or "another value"


@cache
def _fields(kind: type[Struct]) -> Mapping[str, Any]:
    """The type of each field of a section, by its name in the file."""
    types = get_type_hints(kind)
    return {info.encode_name: types[info.name] for info in msgspec.structs.fields(kind)}


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _missing(place: str, name: str) -> str:
    """What to add for a field that has to be there."""
    return f"is missing; add {example_of(f'{place}.{name}') or f'{name}: ...'}"


def _refuse_unknown(value: object, kind: Any, path: str) -> None:
    """Look for unknown fields first, with the nearest known one; the shape of values is checked later."""
    if get_origin(kind) is tuple:
        for index, item in enumerate(value if isinstance(value, list) else ()):
            _refuse_unknown(item, get_args(kind)[0], f"{path}[{index}]")
        return
    struct = next(
        (part for part in (kind, *get_args(kind)) if isinstance(part, type) and issubclass(part, Struct)), None
    )
    if struct is None or not isinstance(value, dict):
        return
    known = _fields(struct)
    for name, inner in value.items():
        place = f"{path}.{name}".removeprefix(".")
        if name not in known:
            raise FieldError(place, f"unknown field; {nearest(name, known)}")
        _refuse_unknown(inner, known[name], place)


def nearest(name: str, known: Collection[str]) -> str:
    """What to write instead of a name that is not known."""
    near = difflib.get_close_matches(name, list(known), 1)
    if near:
        return f'did you mean "{near[0]}"?'
    return f"expected one of {', '.join(sorted(known))}" if known else "remove it; there is nothing to set here"


# --------------------------------------------------------------------------- what a type cannot say

LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
"""A name of Kubernetes or of ours: a DNS label."""


def match(pattern: re.Pattern[str], text: str, place: str, wanted: str) -> None:
    """Raise FieldError unless the text of a field is of this form."""
    if not pattern.fullmatch(text):
        raise FieldError(place, f'invalid value "{text[:80]}"; expected {wanted}')


def cluster_name(name: str, place: str) -> None:
    """Raise FieldError unless a cluster can have this name ("" = the only one)."""
    if name:
        match(LABEL, name, place, "lowercase letters, digits and dashes")


def between(number: int, most: int, place: str) -> None:
    """Raise FieldError unless a number lies between 0 and `most`."""
    if not 0 <= number <= most:
        raise FieldError(place, f"invalid value {number}; expected a number from 0 to {most}")


def path_text(text: str, place: str) -> str:
    """The text of a field, if it can be a path. Raises FieldError."""
    if not text or "\0" in text:
        raise FieldError(place, "invalid value; expected a path relative to this file")
    return text
