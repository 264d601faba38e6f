"""What intentions and routes ask of a request: paths, header values, methods; compiled to questions.

Everything is bytes: Envoy compares and runs RE2 byte by byte, and a regex must match the whole text. Of several lines of one header
one that matches is enough; an absent header has no value that matches, nor one that does not. A path is compared without its query.
Source: https://developer.hashicorp.com/consul/docs/reference/config-entry/service-intentions (Permissions.HTTP),
https://developer.hashicorp.com/consul/docs/reference/config-entry/service-router (Match.HTTP), Envoy `HeaderMatcher`; repeated,
absent and inverted values were observed on Consul 1.22 with Envoy 1.40.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal

import re2
from msgspec import Struct

from adapters.consul.evaluate.request import Http
from hub.api import Fields, UnmodelledError, is_managed_header

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"))
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_PATHS = ("PathExact", "PathPrefix", "PathRegex")
Test = Callable[[bytes], bool]
About = Literal["path", "method", "header", "query"]


class Leniency(Struct, frozen=True):
    """What is left out of a judgement, to tell whether it alone stands in the way: denials by path, and what no value may be."""

    paths: bool = False
    values: bool = False


STRICT = Leniency()


class Question(Struct, frozen=True):
    """One condition: what it is about, whether it is inverted, and whether a request meets it.

    `spelled` asks it of characters where `ask` does of bytes: `(?i)k` is also the Kelvin sign. Values that this concerns are refused.
    """

    about: About
    ask: Callable[[Http], bool]
    inverted: bool = False
    spelled: Callable[[Http], bool] | None = None

    def holds(self, http: Http, leniency: Leniency) -> bool:
        """Whether a request meets it, or need not."""
        if leniency.values and (self.inverted or (self.spelled is not None and self.spelled(http))):
            return True
        return self.ask(http)


def path_of(left: Fields) -> Question | None:
    """The question about the path, None where there is none."""
    given = {name: text for name in _PATHS if (text := left.text(name))}
    if not given:
        return None
    if len(given) > 1:
        raise UnmodelledError(f"{left.where}: Consul refuses more than one of {', '.join(_PATHS)}")
    ((kind, text),) = given.items()
    if kind != "PathRegex" and not text.startswith("/"):
        raise UnmodelledError(f"{left.where}: Consul refuses a {kind} that does not start with /")
    test = _test(kind.removeprefix("Path"), text, left)
    return Question("path", lambda http: test(http.plain))


def methods_of(left: Fields) -> Question | None:
    """The question about the method, None where there is none; Consul folds what is written to upper case."""
    texts = tuple(text.upper() for text in left.texts("Methods"))
    if not _METHODS.issuperset(texts) or len(set(texts)) < len(texts):
        raise UnmodelledError(
            f"{left.where}: Consul refuses methods beyond the nine of HTTP, and one that is listed twice"
        )
    named = frozenset(text.encode() for text in texts)
    return Question("method", lambda http: http.method in named) if named else None


def headers_of(left: Fields, *, kinds: Sequence[str]) -> tuple[Question, ...]:
    """One question for each entry of `Header`; `kinds` are the ways in which it may compare, besides `Present`."""
    return tuple(_header(value, left.where, kinds) for value in left.items("Header"))


def _header(value: Any, where: str, kinds: Sequence[str]) -> Question:
    with Fields(value, where) as left:
        name, present, invert = left.text("Name").lower(), flag(left, "Present"), flag(left, "Invert")
        given = {kind: text for kind in kinds if (text := left.text(kind))}
        fold = "Contains" in kinds and flag(left, "IgnoreCase")
    if len(given) + present != 1:
        raise UnmodelledError(f"{where}: Consul refuses a header without exactly one of Present, {', '.join(kinds)}")
    if fold and (present or "Regex" in given):
        raise UnmodelledError(f"{where}: Consul refuses IgnoreCase with Present or Regex")
    values = _values(name, where)
    if present:
        return Question("header", lambda http: bool(values(http)) != invert, invert)
    ((kind, text),) = given.items()
    test = _test(kind, text, left, fold=fold)

    def ask(http: Http) -> bool:
        found = values(http)
        return bool(found) and any(map(test, found)) != invert

    spelled = regex(text, where, characters=True) if kind == "Regex" and not invert else None
    return Question("header", ask, invert, None if spelled is None else lambda http: any(map(spelled, values(http))))


def _values(name: str, where: str) -> Callable[[Http], tuple[bytes, ...]]:
    """How the values of a header are read; `:path` has the query."""
    if name == ":path":
        return lambda http: (http.path,)
    if name == ":method":
        return lambda http: (http.method,)
    if is_managed_header(name) or _NAME.fullmatch(name) is None:
        raise UnmodelledError(f'{where}: proxies set or remove the header "{name[:80]}", so its value is not modelled')
    return lambda http: http.headers.get(name, ())


def flag(left: Fields, name: str) -> bool:
    """A boolean; absent is false."""
    value = left.take(name)
    if value is not None and not isinstance(value, bool):
        raise left.unmodelled(f'"{name}" that is not a boolean')
    return bool(value)


def _test(kind: str, text: str, left: Fields, *, fold: bool = False) -> Test:
    if kind == "Regex":
        return regex(text, left.where)
    wanted = text.encode("utf-8", "surrogatepass")
    wanted = wanted.lower() if fold else wanted
    tests: dict[str, Test] = {
        "Exact": lambda value: value == wanted,
        "Prefix": lambda value: value.startswith(wanted),
        "Suffix": lambda value: value.endswith(wanted),
        "Contains": lambda value: wanted in value,
    }
    test = tests[kind]
    return (lambda value: test(value.lower())) if fold else test


def regex(pattern: str, where: str, *, characters: bool = False) -> Test:
    """Whether RE2 matches the whole text, byte by byte as Envoy does, or `characters` of UTF-8.

    Raises UnmodelledError for a pattern that Envoy rejects: Consul takes it, and then every proxy keeps what it had before. What RE2
    takes at all is smaller than what the bootstrap of `consul connect envoy` has Envoy take (`re2.max_program_size.error_level`).
    """
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    if characters:
        options.encoding = re2.Options.Encoding.UTF8
    options.log_errors = False
    try:
        compiled = re2.compile(pattern.encode(), options)
    except (re2.error, UnicodeEncodeError) as error:
        raise UnmodelledError(f'{where}: Envoy rejects the regex "{pattern[:80]!a}": {error}') from error
    return lambda value: compiled.fullmatch(value) is not None
