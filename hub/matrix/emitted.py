"""What native objects can tell requests apart by, read from them without knowing the mesh.

A key whose name says how its text is matched (`exact`, `prefix`, `pathRegex`, a `type: RegularExpression` beside it) is believed;
a text under any other key is taken in each way in which a mesh may take it. That is more than the mesh looks at, which
costs requests and misses nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from msgspec import Struct

from hub.regex import (
    HEADER,
    MAX_PATTERN,
    URI_PATH,
    Forms,
    Language,
    RegexRefusedError,
    Universe,
    error,
    everything,
    language,
    language_of_forms,
)

METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
"""Those that mean nothing of their own to proxies, as CONNECT and TRACE do."""
_METHOD = re.compile("[A-Z]+")
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_SIGNS = re.compile(r"[][\\^$.|?*+(){}]")
_TEMPLATE = re.compile(r"/(?:[^{}]|\{\*\*?\})*")
_NUMBER = re.compile("[0-9]{1,5}")
_NAME = re.compile(r"(?:request\.headers\[)?([a-z0-9!#$%&'*+.^_`|~-]+)\]?")
_NAME_KEYS = frozenset({"name", "key", "header", "headername"})
_WAYS = ("regex", "regular", "prefix", "suffix", "contains", "exact")
_Leaf = tuple[str, str]
"""The lower-case key (of a list: the list's) with the `type` beside it, and the text."""


class Told(Struct, frozen=True):
    """What tells requests apart: paths, methods, header values by lower-case name, and workload ports."""

    paths: frozenset[Language]
    methods: frozenset[str]
    headers: Mapping[str, frozenset[Language]]
    ports: frozenset[int]


def told_by(views: Iterable[Any], names: Iterable[str]) -> Told:
    """What these objects (as JSON-like data) can tell apart; `names` are headers that somebody asks about anyway."""
    views = list(views)
    leaves = {leaf for view in views for leaf in _leaves(view)}
    known = {*names, *(name for view in views for name in _header_names(view, inside=False))}
    about = {name: {leaf for view in views for leaf in _about(view, name)} for name in known}
    return Told(
        frozenset(each for hint, text in leaves for each in readings(hint, text, URI_PATH)),
        frozenset(word for _, text in leaves for word in _METHOD.findall(text) if word in METHODS),
        {
            name: frozenset(each for hint, text in found if text != name for each in readings(hint, text, HEADER))
            for name, found in about.items()
        },
        frozenset(int(text) for hint, text in leaves if "port" in hint and _NUMBER.fullmatch(text)),
    )


# --------------------------------------------------------------------------- what a text may mean


@lru_cache(maxsize=8192)
def readings(hint: str, text: str, universe: Universe) -> tuple[Language, ...]:
    """The languages that a text can stand for in some mesh; those of everything and of nothing tell nothing apart.

    Raises RegexRefusedError for a pattern, by its key, that is beyond the engine's bounds.
    """
    if len(text) > MAX_PATTERN or (universe is URI_PATH and not _may_be_path(text)):
        return ()
    way = next((way for way in _WAYS if way in hint), "")
    found = [_of_forms(form, universe) for form in _forms(way, text)]
    if way in {"regex", "regular"} and error(text) is None:
        # A byte of ASCII, of which all that is asked about consists, is a character.
        found.append(language(_ESCAPED.sub(_byte_as_character, text), universe))
    if not way and _SIGNS.search(text):
        found.append(_of_pattern(text, universe))
    if way == "contains":
        found.append(_of_pattern(f".*{re.escape(text)}.*", universe))
    whole = everything(universe)
    return tuple(each for each in found if each is not None and not each.is_empty() and each != whole)


def _byte_as_character(found: re.Match[str]) -> str:
    return "(?s:.)" if found[0] == r"\C" else found[0]


def _may_be_path(text: str) -> bool:
    """Whether a path can be in any language of this text: one that begins with a letter and has no slash names none."""
    return "/" in text or bool(_SIGNS.match(text)) or "|" in text


def _forms(way: str, text: str) -> Iterator[Forms]:
    if way in {"exact", "prefix"} or (not way and text.strip("*") == text):
        yield Forms(exact=(text,))
    if way == "prefix":
        yield Forms(prefixes=(text,))
        yield Forms(prefixes=(f"{text.rstrip('/')}/",))  # of whole segments, as in Gateway API
    if way == "suffix":
        yield Forms(suffixes=(text,))
    if not way and text.endswith("*"):
        yield Forms(prefixes=(text[:-1],))
    if not way and text.startswith("*"):
        yield Forms(suffixes=(text[1:],))
    if not way and "{*" in text and _TEMPLATE.fullmatch(text):
        yield Forms(templates=(text,))


def _of_forms(forms: Forms, universe: Universe) -> Language | None:
    try:
        return language_of_forms(forms, universe)
    except RegexRefusedError:
        return None


def _of_pattern(text: str, universe: Universe) -> Language | None:
    """What a pattern matches; None for what is no pattern, or one that cannot be analysed."""
    if error(text) is not None:
        return None
    try:
        return language(text, universe)
    except RegexRefusedError:
        return None


# --------------------------------------------------------------------------- where texts stand


def _leaves(value: Any, hint: str = "") -> Iterator[_Leaf]:
    """Every text and number."""
    if isinstance(value, Mapping):
        kind = value.get("type") or value.get("Type")
        beside = f"{kind}".lower() if isinstance(kind, str) else ""
        for key, inner in value.items():
            if inner is not kind:
                yield from _leaves(inner, f"{key}".lower() + beside)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _leaves(inner, hint)
    elif isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        yield hint, str(value)


def _about(value: Any, name: str) -> Iterator[_Leaf]:
    """The leaves of what is said about a header: of a mapping that names it, or of what stands under its name."""
    if isinstance(value, Mapping):
        if any(isinstance(each, str) and _header(each) == name for each in value.values()):
            yield from _leaves(value)
            return
        for key, inner in value.items():
            yield from _leaves(inner) if _header(str(key)) == name else _about(inner, name)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _about(inner, name)


def _header(text: str) -> str:
    found = _NAME.fullmatch(text.lower())
    return found[1] if found else ""


def _header_names(value: Any, *, inside: bool) -> Iterator[str]:
    """The names of headers that something is said about."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            below = str(key).lower()
            if isinstance(inner, str):
                named = below in _NAME_KEYS and (inside or "headers[" in inner)
                yield from filter(None, (_header(inner),) if named else ())
            elif below in {"headers", "withoutheaders"} and isinstance(inner, Mapping):
                yield from filter(None, (_header(str(each)) for each, said in inner.items() if _is_match(said)))
            else:
                yield from _header_names(inner, inside=inside or "header" in below)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _header_names(each, inside=inside)


def _is_match(said: Any) -> bool:
    """Whether it says how a value is matched (and not what is added to an answer)."""
    return isinstance(said, Mapping) and any(way in str(key).lower() for key in said for way in _WAYS)
