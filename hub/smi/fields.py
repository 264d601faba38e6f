"""Reads the fields of one document strictly: every oddity becomes a Problem with its path, nothing is ever raised.

A `FieldReader` method that fails refuses the object and gives a harmless value, so that one pass reports all that is wrong.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence

from msgspec import Struct, field

from hub.model import ObjectRef, Origin, Problem, Severity

MAX_PROBLEMS = 50
"""Most Problems that one object reports one by one; a last one counts the others."""
_SHOWN = 60
NOTHING: Mapping[str, object] = {}
"""What is read in place of a mapping that has been refused: of its fields nothing more is said."""
Labels = tuple[tuple[str, str], ...]
Entries = Iterator[tuple[str, Mapping[str, object]]]


class Level(Struct, frozen=True):
    """The fields that one mapping may have (None: any). `hints` are remedies for fields that belong elsewhere."""

    known: frozenset[str] | None
    hints: Mapping[str, str] = field(default_factory=dict)


ANY = Level(None)
"""A mapping of Kubernetes, of which only some fields concern us."""


def level(*known: str, **hints: str) -> Level:
    """A `Level` of these fields; each keyword is a field that belongs elsewhere and what to write instead."""
    return Level(frozenset(known), hints)


def show(value: object) -> str:
    """A short, printable form of any input value, for messages."""
    if isinstance(value, str):
        escaped = value[:_SHOWN].encode("unicode_escape").decode("ascii")
        return f'"{escaped}{"..." if len(value) > _SHOWN else ""}"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value) if value.bit_length() <= 64 else "a very large number"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, list):
        return "a list"
    return "a mapping" if isinstance(value, dict) else f"a {type(value).__name__}"


def join(path: str, key: object) -> str:
    """The path of a field inside the mapping at `path`."""
    plain = isinstance(key, str) and len(key) <= _SHOWN and key.isascii() and key.replace("-", "_").isidentifier()
    text = str(key) if plain else show(key)
    return f"{path}.{text}" if path else text


def present(value: Mapping[str, object]) -> Mapping[str, object]:
    """The fields that are not null; Kubernetes writes null for an absent field of its own kinds."""
    if None not in value.values():
        return value
    return {key: held for key, held in value.items() if held is not None}


class FieldReader:
    """Collects the Problems of one object; `invalid` is True once something made the object invalid.

    `annotations` are the names of those that count.
    """

    __slots__ = ("_beyond", "_problems", "annotations", "invalid", "origin", "ref")

    def __init__(self, ref: ObjectRef, origin: Origin, annotations: Collection[str] = ()) -> None:
        self.annotations = annotations
        self.ref = ref
        self.invalid = False
        self.origin = origin
        self._problems: list[Problem] = []
        self._beyond = 0

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything found so far, in the order of reading."""
        if not self._beyond:
            return tuple(self._problems)
        more = f"{self._beyond} more {'problem' if self._beyond == 1 else 'problems'}"
        last = self._problem("object.more-problems", "", more, "fix the ones that are listed first")
        return (*self._problems, last)

    # ------------------------------------------------------------- findings

    def refuse(self, code: str, path: str, message: str, remedy: str) -> None:
        """Void the object for this reason."""
        self.invalid = True
        self._add(self._problem(code, path, message, remedy))

    def report(self, code: str, path: str, message: str, remedy: str) -> None:
        """Say that a part of the object has no effect; the rest stands."""
        self._add(self._problem(code, path, message, remedy))

    def warn(self, code: str, path: str, message: str, remedy: str) -> None:
        """Say what was read in an unexpected way, or ignored, without taking anything away."""
        self._add(self._problem(code, path, message, remedy, Severity.WARNING))

    def lacks(self, body: Mapping[str, object], key: str) -> bool:
        """Whether a field is absent from a mapping that has not been refused itself."""
        return key not in body and body is not NOTHING

    def mistyped(self, value: object, path: str, wanted: str) -> None:
        """Void the object because of a value's type."""
        self.refuse("field.type", path, f"{show(value)} is not {wanted}", f"use {wanted}, or remove the field")

    def missing(self, path: str, key: str, wanted: str) -> None:
        """Void the object because a required field is absent."""
        self.refuse("field.missing", join(path, key), f'"{key}" is required', f"add {wanted}")

    def _problem(self, code: str, path: str, message: str, remedy: str, severity: Severity = Severity.ERROR) -> Problem:
        return Problem(code, self.ref, path, message, remedy, self.origin, severity)

    def _add(self, problem: Problem) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(problem)
        else:
            self._beyond += 1

    # ------------------------------------------------------------- values

    def mapping(self, value: object, path: str, known: Level = ANY) -> Mapping[str, object]:
        """The mapping, all its fields checked against the level; empty if it is none."""
        if not isinstance(value, dict):
            self.mistyped(value, path, "a mapping")
            return NOTHING
        if known.known is not None and not known.known.issuperset(value):
            for key in value:
                if key not in known.known:
                    self._unknown(key, path, known)
        return value

    def items(self, value: object, path: str) -> Sequence[object]:
        """The list; empty if it is none."""
        if isinstance(value, list):
            return value
        self.mistyped(value, path, "a list")
        return ()

    def entries(self, body: Mapping[str, object], key: str, path: str, known: Level = ANY) -> Entries:
        """Path and mapping of each entry of the list at `key`; none if it is absent, without entries of other types."""
        if key not in body:
            return
        where = join(path, key)
        for index, item in enumerate(self.items(body[key], where)):
            entry = self.mapping(item, f"{where}[{index}]", known)
            if entry is item:
                yield f"{where}[{index}]", entry

    def text(self, body: Mapping[str, object], key: str, path: str) -> str:
        """A required field that is a non-empty text; "" if it is not."""
        value = body.get(key)
        if isinstance(value, str) and value:
            return self._clean(value, path, key)
        if self.lacks(body, key):
            self.missing(path, key, "a string")
        elif key in body:
            self.mistyped(value, join(path, key), "a non-empty string")
        return ""

    def optional_text(self, body: Mapping[str, object], key: str, path: str) -> str:
        """An optional text; "" if it is absent."""
        value = body.get(key, "")
        if isinstance(value, str):
            return self._clean(value, path, key)
        self.mistyped(value, join(path, key), "a string")
        return ""

    def texts(self, value: object, path: str) -> tuple[str, ...]:
        """A list of texts; entries of other types are left out (and void the object)."""
        found: list[str] = []
        for index, item in enumerate(self.items(value, path)):
            if isinstance(item, str):
                found.append(self._clean(item, path, ""))
            else:
                self.mistyped(item, f"{path}[{index}]", "a string")
        return tuple(found)

    def port(self, value: object, path: str) -> int:
        """A port number, 1 to 65535; 0 if it is none."""
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
            return value
        self.refuse("field.value", path, f"{show(value)} is not a valid port", "use an integer from 1 to 65535")
        return 0

    def pairs(self, value: object, path: str) -> Labels:
        """A mapping of texts to texts (labels, selectors), sorted."""
        found: list[tuple[str, str]] = []
        raw: dict[object, object] = value if isinstance(value, dict) else {}
        if raw is not value:
            self.mistyped(value, path, "a mapping")
        for key, held in raw.items():
            if isinstance(key, str) and isinstance(held, str):
                found.append((self._clean(key, path, key), self._clean(held, path, key)))
            else:
                self.mistyped(held if isinstance(key, str) else key, join(path, key), "a string in quotes")
        return tuple(sorted(found))

    # ------------------------------------------------------------- details

    def _clean(self, value: str, path: str, key: str) -> str:
        """The text itself, unless it holds lone surrogates, which no certificate, header or file can carry."""
        if value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value):
            return value
        self.refuse(
            "field.value", join(path, key) if key else path, "the string is not valid Unicode", "use valid UTF-8"
        )
        return ""

    def _unknown(self, key: object, path: str, known: Level) -> None:
        names = known.known or frozenset()
        if isinstance(key, str) and key in known.hints:
            self.refuse("field.misplaced", join(path, key), f'"{key}" is not allowed here', known.hints[key])
            return
        near = difflib.get_close_matches(key, names, 1) if isinstance(key, str) and len(key) <= _SHOWN else []
        choices = ", ".join(f'"{name}"' for name in sorted(names)) or "nothing"
        remedy = f'did you mean "{near[0]}"?' if near else f"use one of {choices}"
        self.refuse("field.unknown", join(path, key), f"{show(key)} is not a field in this version", remedy)
