"""One condition of a split as one match of an HTTPRoute: path, method and headers, all of which must hold.

Only what every conformant mesh supports: `RegularExpression` is implementation-specific, for paths and for headers.
Source: https://github.com/kubernetes-sigs/gateway-api/tree/v1.6.0/apis/v1, HTTPRouteMatch, HTTPPathMatch, HTTPHeaderMatch.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from itertools import product

from msgspec import Struct

from hub.api import (
    HEADER,
    PATH,
    Forms,
    HttpMatch,
    Inexpressible,
    Objection,
    RegexRefusedError,
    bounded,
    header_forms,
    language,
    path_forms,
    too_complex,
)
from smihub_gamma import losses

MAX_MATCHES = 64
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_MAX_STEPS = 20_000
_PATH = re.compile(r"/(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2}){0,1023}")
_ODD_PATH = re.compile(r"//|/\.\.?(?:/|$)|%2f", re.IGNORECASE)
_NAME = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]{1,256}")
_VALUE = re.compile(r"[!-+\--:<-~](?:[\t ]?[!-+\--:<-~])*")
"""Printable ASCII without comma and semicolon, by which lines of one name may be joined (HTTPHeaderMatch, name; RFC 9110, 5.3)."""


class Condition(Struct, frozen=True, order=True):
    """A match: the path (`exact`, or a beginning of whole elements), the method ("": any), headers by name."""

    path: str = "/"
    exact: bool = False
    method: str = ""
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def rank(self) -> tuple[bool, int, bool, int]:
        """Of several matches that hold, the one of the greatest rank is taken. Source: HTTPRouteRule, matches."""
        return self.exact, len(self.path), bool(self.method), len(self.headers)

    def both(self, other: Condition) -> Condition | None:
        """What holds where both hold, None if they never do; its rank is at least that of each."""
        wide, narrow = sorted((self, other), key=lambda one: (one.exact, len(one.path)))
        headers = dict(other.headers) | dict(self.headers)
        methods = {self.method, other.method} - {""}
        if not _contains(wide, narrow) or len(methods) > 1 or not set(other.headers) <= headers.items():
            return None
        return Condition(narrow.path, narrow.exact, "".join(methods), tuple(sorted(headers.items())))


EVERYTHING = Condition()


def _contains(wide: Condition, narrow: Condition) -> bool:
    if wide.exact or wide.path == narrow.path:
        return wide.path == narrow.path
    return wide.path == "/" or narrow.path.startswith(f"{wide.path}/")


class Said(Struct, frozen=True):
    """The conditions that say a match, or what is lost: a match that never holds is lost too."""

    conditions: tuple[Condition, ...] = ()
    objections: tuple[Objection, ...] = ()


Paths = tuple[tuple[str, bool], ...]
"""Paths, and whether each is the whole path."""


def say(match: HttpMatch) -> Said:
    """A match of SMI as matches of an HTTPRoute. What of it cannot be said takes all of it along: the rest would be wider."""
    methods = tuple(sorted(set(match.methods or ("",))))
    unknown = tuple(losses.method(one) for one in methods if one and one not in METHODS)
    return Said((), unknown) if unknown else combine(paths_of(match.path, whole_elements), methods, match.headers)


def combine(paths: Paths | Objection, methods: tuple[str, ...], headers: tuple[tuple[str, str], ...]) -> Said:
    """Every path with every method and every value of each header."""
    values: list[list[tuple[str, str]]] = []
    lost = [paths] if isinstance(paths, Objection) else []
    for name, pattern in headers:
        found = _values(name, pattern)
        # HTTPHeaderMatch, name: of several entries with one name only the first counts.
        if isinstance(found, Objection) or [each for each, _ in headers].count(name) > 1:
            lost.append(found if isinstance(found, Objection) else losses.header(name, pattern))
        else:
            values.append([(name, text) for text in found])
    if lost or isinstance(paths, Objection):
        return Said((), tuple(sorted(set(lost))))
    return _product(paths, methods, values)


def _product(paths: Paths, methods: tuple[str, ...], values: list[list[tuple[str, str]]]) -> Said:
    ways = product(paths, methods, product(*values))
    found = tuple(Condition(path, exact, method, tuple(sorted(each))) for (path, exact), method, each in ways)
    return Said(found) if len(found) <= MAX_MATCHES else Said((), (losses.MATCHES,))


@lru_cache(maxsize=4096)
def paths_of(pattern: str | None, reading: Callable[[Forms], Paths | None]) -> Paths | Objection:
    """The paths of a pattern; `reading` says forms as paths (None: that cannot be)."""
    if pattern is None:
        return (("/", False),)
    with bounded(_MAX_STEPS):
        try:
            forms = path_forms(language(pattern, PATH))
        except RegexRefusedError as refusal:
            return too_complex(refusal, pattern)
    plain = isinstance(forms, Forms) and not (forms.suffixes or forms.between or forms.excepted or forms.templates)
    paths = reading(forms) if plain and isinstance(forms, Forms) else None
    return paths or losses.path(pattern)


def whole_elements(forms: Forms) -> Paths | None:
    """PathPrefix is by elements: `/a` matches `/a` and what begins with `/a/`, so a prefix needs both. Source: PathMatchType."""
    if "/" in forms.prefixes:
        return (("/", False),)
    prefixes = {text.removesuffix("/") for text in forms.prefixes}
    if not prefixes <= set(forms.exact) or not all(text.endswith("/") for text in forms.prefixes):
        return None
    paths = [(text, False) for text in prefixes] + [(text, True) for text in forms.exact if text not in prefixes]
    valid = all(_PATH.fullmatch(text) and not _ODD_PATH.search(text) for text, _ in paths)
    return tuple(sorted(paths)) if valid else None


@lru_cache(maxsize=4096)
def _values(name: str, pattern: str) -> tuple[str, ...] | Objection:
    """The values of a header that a pattern matches, if they are few."""
    with bounded(_MAX_STEPS):
        try:
            forms = header_forms(language(pattern, HEADER))
        except RegexRefusedError as refusal:
            return too_complex(refusal, pattern)
    if (
        isinstance(forms, Inexpressible)
        or forms.prefixes
        or forms.suffixes
        or forms.excepted
        or not _NAME.fullmatch(name)
    ):
        return losses.header(name, pattern)
    good = forms.exact and all(map(_is_value, forms.exact))
    return tuple(forms.exact) if good else losses.header(name, pattern)


def _is_value(text: str) -> bool:
    return len(text) <= 4096 and _VALUE.fullmatch(text) is not None
