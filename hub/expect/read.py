"""Files of expectations into `Expectation`s: strict, bounded, and every mistake with file, line, field and remedy."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import product
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
MAX_REQUESTS = 10_000
"""Most requests that one expectation may mean, by its lists of callers and of Service ports."""


class Expected(Struct, frozen=True):
    """A verdict and, where calls are shared out, the exact share of each backend, as answers have it."""

    verdict: Verdict
    shares: Mapping[str, str] | None = None

    def __str__(self) -> str:
        return self.verdict if self.shares is None else shares_text(self.shares)


class Expectation(Struct, frozen=True):
    """A request, what is expected of SMI and of every mesh, and of single meshes; where it is written.

    `several`: what is written there means other requests too.
    """

    name: str
    asked: str
    request: Request
    expected: Expected
    meshes: Mapping[str, Expected]
    cluster: str
    file: TestFile
    place: tuple[int, str]
    several: bool = False

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
            yield from _meant(file, (document.index, f"tests[{number}]"), one)
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


def _meant(file: TestFile, place: tuple[int, str], one: WrittenExpectation) -> list[Expectation]:
    """What is written in one place: an expectation for each caller and each Service port that it names. Raises FieldError."""
    callers, called = _listed(one.from_, "from"), _listed(one.to, "to")
    count = len(callers) * len(called)
    try:
        _check_count(count)
        meshes = {name: _expected(verdict, f"meshes.{name}") for name, verdict in one.meshes.items()}
        expected = _expected(one.expect, "expect")
        http = _http(one)
        requests = [(_asked(one, *pair), _request(one.protocol, http, *pair)) for pair in product(callers, called)]
    except FieldError as error:
        raise FieldError(f"{place[1]}.{error.field}", error.message) from None
    return [
        Expectation(one.name, asked, request, expected, meshes, one.cluster, file, place, count > 1)
        for asked, request in requests
    ]


def _check_count(count: int) -> None:
    """Refuse a short text that means more requests than anybody waits for."""
    if count > MAX_REQUESTS:
        said = f'means {count} requests, together with "to"'
        raise FieldError("from", f"{said}; use lists for at most {MAX_REQUESTS}")


_Named = tuple[str, str]
"""A caller, or a Service port, and the field in which it is written."""


def _listed(written: str | list[str], field: str) -> list[_Named]:
    if isinstance(written, str):
        return [(written, field)]
    return [(each, f"{field}[{index}]") for index, each in enumerate(written)]


def _http(one: WrittenExpectation) -> Mapping[str, object]:
    """What is written of an HTTP request. Raises FieldError where the request is none."""
    http = {"method": one.method, "path": one.path, "headers": one.headers}
    given = {name: value for name, value in http.items() if value is not UNSET}
    if one.protocol != "http" and given:
        remedy = f"remove it, or use protocol: http instead of {one.protocol}"
        raise FieldError(min(given), f"is only valid for HTTP; {remedy}")
    return given


def _request(protocol: str, http: Mapping[str, object], caller: _Named, to: _Named) -> Request:
    src = None if caller[0] == "outside" else caller[0]
    try:
        return decode({**spelled(src, to[0], protocol), **http}).request
    except RequestError as error:
        first, dot, rest = error.field.partition(".")
        name, field = {"src": caller, "dst": to, "port": to, "to": to}.get(first, ("", f"{first}{dot}{rest}"))
        value = f' "{name[:80]}"' if name or field.startswith(("from", "to")) else ""
        raise FieldError(field, f"invalid value{value}; {_remedy(field.partition('[')[0], error)}") from None


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


def _asked(one: WrittenExpectation, caller: _Named, to: _Named) -> str:
    asked = f"{caller[0]} -> {to[0]}"
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
