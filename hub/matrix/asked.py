"""Which requests to ask about one receiver, so that their answers are those to all requests.

The conditions of SMI and of what each mesh was given cut paths, methods and header lines into classes; one request of each
combination stands for all that are alike to every condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import permutations, product

from msgspec import Struct

from hub.errors import SmihubError
from hub.matrix.emitted import METHODS, Told
from hub.model import Access, HttpMatch
from hub.regex import (
    HEADER,
    TARGET,
    URI_PATH,
    Language,
    RegexRefusedError,
    Universe,
    difference,
    everything,
    language,
    overlap,
    representatives,
)

MOST = 5000
"""Most requests that are asked about one port of a receiver."""
_Lines = tuple[tuple[str, str], ...]


class UndecidedError(SmihubError):
    """Why not all requests to a receiver can be judged."""


class RequestClass(Struct, frozen=True):
    """One request of a class, apart from who calls whom and on which port."""

    method: str
    path: str
    headers: _Lines


def asked(access: Access, told: Told) -> tuple[RequestClass, ...]:
    """One HTTP request for each class.

    Classes are of requests as receivers get them: paths that meshes rewrite first (with empty or dot segments, escapes but that of a
    space, or letters that RFC 3986 has escaped), header values of more than visible ASCII, and methods with a meaning to proxies
    are left out. Raises UndecidedError where a grant is of those alone, and beyond `MOST`, RegexRefusedError beyond what the engine decides.
    """
    matches = [match for grant in access.grants for match in grant.http or ()]
    paths = representatives(normal_paths(), _sorted(_path_languages(matches, told))).values()
    rows = [_lines(name, languages) for name, languages in sorted(_headers(matches, told).items())]
    methods = _methods(matches, told)
    count = len(paths) * len(methods)
    for row in rows:
        count *= len(row)
    if count > MOST:
        raise UndecidedError(f"the conditions tell {count} requests apart, more than {MOST}")
    lines = [tuple(line for each in parts for line in each) for parts in product(*rows)]
    return tuple(RequestClass(*each) for each in product(methods, paths, lines))


@lru_cache(maxsize=1)
def normal_paths() -> Language:
    """Paths that no mesh rewrites: of RFC 3986's letters, without empty or dot segments or ";", and with no escape but that of a space."""
    plain = language("(?:[^%;]|%20)*", URI_PATH)
    return difference(plain, language(r".*//.*|(?:.*/)?\.\.?(?:/.*)?", URI_PATH))


@lru_cache(maxsize=1)
def _values() -> Language:
    """Header values as they arrive: visible ASCII and spaces, none at either end."""
    return language("(?:[!-~](?:[ -~]*[!-~])?)?", HEADER)


def _path_languages(matches: Iterable[HttpMatch], told: Told) -> frozenset[Language]:
    patterns = {match.path for match in matches if match.path is not None}
    for pattern in patterns:
        _check(pattern, TARGET, language(pattern, URI_PATH), normal_paths(), "path")
    return (frozenset(language(each, URI_PATH) for each in patterns) | told.paths) - {everything(URI_PATH)}


def _check(pattern: str, universe: Universe, asked: Language, within: Language, what: str) -> None:
    """Raise UndecidedError for a pattern that matches something of a universe, and nothing that is asked about."""
    if overlap(asked, within) is None and not language(pattern, universe).is_empty():
        raise UndecidedError(f'"{pattern[:80]}" matches no {what} that meshes pass on as it is')


def _headers(matches: Iterable[HttpMatch], told: Told) -> dict[str, frozenset[Language]]:
    found: dict[str, set[Language]] = {}
    for match in matches:
        for name, pattern in match.headers:
            values = language(pattern, HEADER)
            _check(pattern, HEADER, values, _values(), f'value of "{name}"')
            found.setdefault(name, set()).add(values)
    for name, languages in told.headers.items():
        found.setdefault(name, set()).update(languages)
    return {name: frozenset(languages) for name, languages in found.items()}


def _lines(name: str, languages: Iterable[Language]) -> list[_Lines]:
    """The ways to have a header: not at all, one line of each class of values, and two lines of two classes, in either order."""
    values = list(representatives(_values(), _sorted(languages)).values())
    one = [((name, value),) for value in values]
    two = [((name, first), (name, second)) for first, second in permutations(values, 2)]
    return [(), *one, *two]


def _methods(matches: Iterable[HttpMatch], told: Told) -> list[str]:
    named = {method for match in matches for method in match.methods or ()} | told.methods
    other = next((method for method in METHODS if method not in named), None)
    return sorted(named) + ([] if other is None else [other])


def _sorted(languages: Iterable[Language]) -> list[Language]:
    """In an order that is the same in every run."""
    return sorted(languages, key=lambda each: (len(each.rows), each.rows, each.accepting, each.classes.cuts))


def undecided(error: RegexRefusedError | UndecidedError) -> str:
    """Why a receiver's cells are not decided."""
    return error.reason if isinstance(error, RegexRefusedError) else str(error)


def ports_of(access: Access, told: Told) -> Iterator[int]:
    """The workload ports that anything says something about."""
    named = {port.port for port in access.ports}
    named.update(port for grant in access.grants for port in (*(grant.ports or ()), *grant.not_ports))
    yield from sorted((named | told.ports) - {0})
