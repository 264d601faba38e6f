"""Files of expectations into `Expectation`s: strict, bounded, and every mistake with file, line, field and remedy."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import msgspec
from msgspec import UNSET, Struct

from hub.config.settings import FieldError, convert, nearest
from hub.errors import ConfigError
from hub.expect.shape import API_VERSION, Shares, Verdict, WrittenExpectation, WrittenTest
from hub.model import Document, Request
from hub.requests import RequestError, decode, spelled
from hub.sources.limits import DEFAULT_LIMITS, YamlError
from hub.sources.locate import Locator
from hub.sources.yaml import load

STDIN = "-"
_FIELDS = {"src": "from", "dst": "to", "port": "to"}


class Expected(Struct, frozen=True):
    """A verdict and, where calls are shared out, the exact share of each backend, as answers have it."""

    verdict: Verdict
    shares: Mapping[str, str] | None = None

    def __str__(self) -> str:
        return self.verdict if self.shares is None else shares_text(self.shares)


class Expectation(Struct, frozen=True):
    """A request, what is expected of SMI and of every mesh, and of single meshes; where it is written."""

    name: str
    asked: str
    request: Request
    expected: Expected
    meshes: Mapping[str, Expected]
    cluster: str
    file: TestFile
    place: tuple[int, str]

    @property
    def line(self) -> int:
        """The line of the file at which it begins."""
        return self.file.line(*self.place)


class TestFile:
    """One file, or (`-`) standard input; says at which line something stands."""

    def __init__(self, name: str) -> None:
        """Read it. Raises ConfigError."""
        self.name = "<stdin>" if name == STDIN else name
        self.data = _bytes(name)
        self._locator: Locator | None = None

    def line(self, index: int, field: str) -> int:
        """The line of a field of the document of this number."""
        if self._locator is None:
            self._locator = Locator(self.data)
        return self._locator.line(index, field)

    def mistake(self, index: int, error: FieldError) -> ConfigError:
        """What to raise for a field of the document of this number."""
        return ConfigError(f"{self.name}:{self.line(index, error.field)}: {error}")


def read(name: str) -> list[Expectation]:
    """Every expectation of a file. Raises ConfigError on the first mistake."""
    file = TestFile(name)
    try:
        documents = load(file.data)
    except YamlError as error:
        fault = error.fault
        place = f"{file.name}:{fault.line}" if fault.line else file.name
        raise ConfigError(f"{place}: {fault.message}; {fault.remedy} ({fault.code})") from None
    if not documents:
        raise ConfigError(f"{file.name}: is empty; {_BEGIN}")
    return [one for document in documents for one in _expectations(file, document)]


_BEGIN = f"begin with apiVersion: {API_VERSION}, kind: Test, and add the requests under tests"


def _bytes(name: str) -> bytes:
    try:
        if name == STDIN:
            return sys.stdin.buffer.read(DEFAULT_LIMITS.file_bytes + 1)
        with Path(name).open("rb") as file:
            return file.read(DEFAULT_LIMITS.file_bytes + 1)
    except IsADirectoryError:
        raise ConfigError(f'"{name}" is a folder; list the files, such as {name.rstrip("/")}/*.yaml') from None
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "unreadable").lower()
        raise ConfigError(f'"{name}" cannot be read: {reason}; use a file of expectations, or -') from None


def _expectations(file: TestFile, document: Document) -> Iterator[Expectation]:
    try:
        written = _converted(document.value)
        for number, one in enumerate(written.tests):
            yield _expectation(file, (document.index, f"tests[{number}]"), one)
    except FieldError as error:
        raise file.mistake(document.index, error) from None


def _converted(value: object) -> WrittenTest:
    """One document as its type. Raises FieldError, for which it is looked at once more."""
    try:
        return msgspec.convert(value, WrittenTest)
    except msgspec.ValidationError:
        found = value if isinstance(value, dict) else {}
        if (found.get("apiVersion"), found.get("kind")) != (API_VERSION, "Test"):
            raise FieldError("", f"not a file of expectations; {_BEGIN}") from None
        try:
            return convert(value, WrittenTest, "")
        except FieldError as error:
            raise _with_form(error) from None


def _with_form(error: FieldError) -> FieldError:
    """The same error with the form of the field as its remedy, where the type alone does not tell it."""
    of = re.search(r"\.(expect|meshes|protocol|headers)\b[^.]*$", error.field)
    return FieldError(error.field, f"{error.message.partition('; ')[0]}; {_FORMS[of[1]]}") if of else error


_VERDICT = "use allow or deny, or BACKEND: SHARE for at least one backend, with integer shares"
_FORMS = {
    "expect": _VERDICT,
    "meshes": f"under each mesh's name {_VERDICT}",
    "protocol": "use http, tcp or udp",
    "headers": "use NAME: VALUE, or NAME: [VALUE, ...], with values in quotes",
}


def _expectation(file: TestFile, place: tuple[int, str], one: WrittenExpectation) -> Expectation:
    try:
        request = _request(one)
        meshes = {name: _expected(verdict, f"meshes.{name}") for name, verdict in one.meshes.items()}
        expected = _expected(one.expect, "expect")
    except FieldError as error:
        raise FieldError(f"{place[1]}.{error.field}", error.message) from None
    return Expectation(one.name, _asked(one), request, expected, meshes, one.cluster, file, place)


def _request(one: WrittenExpectation) -> Request:
    http = {"method": one.method, "path": one.path, "headers": one.headers}
    given = {name: value for name, value in http.items() if value is not UNSET}
    if one.protocol != "http" and given:
        raise FieldError(
            min(given), f"is only valid for HTTP; remove it, or use protocol: http instead of {one.protocol}"
        )
    try:
        return decode(spelled(None if one.from_ == "outside" else one.from_, one.to, one.protocol) | given).request
    except RequestError as error:
        first, dot, rest = error.field.partition(".")
        field = _FIELDS.get(first) or f"{first}{dot}{rest}"
        raise FieldError(field, f"invalid value{_quoted(one, field)}; {_remedy(field, error)}") from None


def _quoted(one: WrittenExpectation, field: str) -> str:
    text = {"from": one.from_, "to": one.to}.get(field)
    return "" if text is None else f' "{text[:80]}"'


def _remedy(field: str, error: RequestError) -> str:
    if field == "from":
        return "use NAMESPACE/SERVICEACCOUNT, a SPIFFE ID, or outside"
    return "use NAMESPACE/SERVICE:PORT" if field == "to" else f"use {error.message.partition('expected ')[2]}"


def _expected(written: Verdict | Shares, field: str) -> Expected:
    if isinstance(written, str):
        return Expected(written)
    whole = sum(written.values())
    if not whole:
        raise FieldError(field, "gives no backend a share; use deny, or a share above 0")
    return Expected("allow", {name: str(Fraction(share, whole)) for name, share in written.items() if share})


def _asked(one: WrittenExpectation) -> str:
    asked = f"{one.from_} -> {one.to}"
    if one.protocol != "http":
        return f"{asked} {one.protocol}"
    path = "/" if one.path is UNSET else one.path
    return f"{asked} {'GET' if one.method is UNSET else one.method} {path}"


def shares_text(shares: Mapping[str, str]) -> str:
    """Shares for people."""
    return ", ".join(f"{name} {share}" for name, share in sorted(shares.items())) or "nobody"


def check_names(expectations: Iterable[Expectation], meshes: Sequence[str], clusters: Sequence[str]) -> None:
    """Raise ConfigError for an expectation of a mesh or a cluster that is not there."""
    for one in expectations:
        index, place = one.place
        for name in one.meshes.keys() - {*meshes}:
            message = f'unknown mesh "{name[:80]}"; {nearest(name, meshes)}'
            raise one.file.mistake(index, FieldError(f"{place}.meshes.{name}", message))
        if one.cluster and one.cluster not in clusters:
            message = f'unknown cluster "{one.cluster[:80]}"; {nearest(one.cluster, clusters)}'
            raise one.file.mistake(index, FieldError(f"{place}.cluster", message))
