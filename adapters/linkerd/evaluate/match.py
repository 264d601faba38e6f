"""One `match` of an HTTPRoute: whether a request has it, and how much of the request it speaks of.

A path counts by the number of bytes that it matched: an exact one and a regex by all of them, a prefix by its own; a match
that asks for no path counts as the prefix `/`. Then more headers win, then more query parameters, then a method. Header and
query values are compared one by one: any one of several suffices; a regex never matches a value with bytes beyond ASCII.
Source: https://linkerd.io/2-edge/reference/httproute/, https://gateway-api.sigs.k8s.io/reference/spec/; the ties, the whole
text of a regex, prefixes by segment and values were observed on Linkerd edge-26.8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from msgspec import Struct

from adapters.linkerd.evaluate.dialect import regex
from adapters.linkerd.evaluate.request import Http
from hub.api import Fields, UnmodelledError

Score = tuple[int, int, int, bool]
"""Bytes of the path, headers, query parameters, method: what compares greater wins."""

_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_ESCAPED = re.compile(rb"%([0-9A-Fa-f]{2})")
_VISIBLE = re.compile(rb"[\t\x20-\x7e]*")
_MANAGED = frozenset(
    (
        *("connection", "content-length", "host", "keep-alive", "proxy-connection", "te", "trailer"),
        *("transfer-encoding", "upgrade", "http2-settings", "expect"),
    )
)
Question = Callable[[Http], bool]


class RequestMatch(Struct, frozen=True):
    """What must hold of a request: each of these."""

    length: Callable[[str], int | None]
    headers: tuple[Question, ...] = ()
    queries: tuple[Question, ...] = ()
    method: str | None = None

    def score(self, http: Http) -> Score | None:
        """How much of the request this speaks of, None where it does not match."""
        if self.method not in (None, http.method):
            return None
        length = self.length(http.path)
        if length is None or not all(ask(http) for ask in (*self.headers, *self.queries)):
            return None
        return length, len(self.headers), len(self.queries), self.method is not None

    def near(self, http: Http, *, path: bool, headers: bool) -> bool:
        """Whether it matches, or would if the path, or the headers, were others."""
        asked = (*(() if headers else self.headers), *self.queries)
        fits = path or self.length(http.path) is not None
        return self.method in {None, http.method} and fits and all(ask(http) for ask in asked)


def _everything(_: str) -> int:
    """A match that asks for no path matches like the prefix `/`."""
    return 1


EVERYTHING = RequestMatch(_everything)


def match_of(value: Any, where: str) -> RequestMatch:
    """Compile one entry of `matches`."""
    with Fields(value, where) as left:
        path, method = left.take("path"), left.text("method") or None
        headers, queries = left.items("headers"), left.items("queryParams")
    if method is not None and method not in _METHODS:
        raise left.unmodelled(f'the method "{method}"')
    return RequestMatch(
        _everything if path is None else _path(path, where),
        _questions(headers, where, _header),
        _questions(queries, where, _query),
        method,
    )


# --------------------------------------------------------------------------- path


def _path(value: Any, where: str) -> Callable[[str], int | None]:
    with Fields(value, where) as left:
        kind, text = left.text("type", "PathPrefix"), left.text("value", "/")
    if len(text) > 1024:
        raise left.unmodelled("a path of more than 1024 characters")
    if kind == "RegularExpression":
        test = regex(text, where)
        return lambda path: len(path.encode()) if test(path) else None
    if kind not in {"Exact", "PathPrefix"} or not text.startswith("/"):
        raise left.unmodelled(f'the path "{text}" of type "{kind}"')
    if kind == "Exact":
        return lambda path: len(path.encode()) if path == text else None
    return lambda path: _prefix(text, path)


def _prefix(text: str, path: str) -> int | None:
    """By whole segments; slashes at the end do not count on either side."""
    if text == "/":
        return 1
    prefix = text.rstrip("/")
    rest = path.rstrip("/").removeprefix(prefix)
    inside = path.rstrip("/").startswith(prefix) and rest[:1] in {"", "/"}
    return len(prefix.encode()) if inside else None


# --------------------------------------------------------------------------- headers and query parameters


def _questions(
    values: Sequence[Any], where: str, question: Callable[[str, str, str, str], Question]
) -> tuple[Question, ...]:
    """One question for each entry; the API server refuses a name that is listed twice."""
    found = []
    for value in values:
        with Fields(value, where) as left:
            found.append((left.text("name"), left.text("type", "Exact"), left.text("value")))
    if len({name for name, _, _ in found}) < len(found):
        raise UnmodelledError(f"{where}: a name that is listed twice in one match is not modelled")
    return tuple(question(name, kind, text, where) for name, kind, text in found)


def _header(name: str, kind: str, text: str, where: str) -> Question:
    lower = name.lower()
    if _NAME.fullmatch(name) is None or lower in _MANAGED or lower.startswith("l5d-"):
        raise UnmodelledError(f'{where}: a match on the header "{name}", which proxies set or remove, is not modelled')
    if kind == "Exact" and _VISIBLE.fullmatch(text.encode()) is not None:
        wanted = text.encode()
        return lambda http: wanted in http.headers.get(lower, ())
    test = _regex_of(kind, text, where)
    return lambda http: any(_visible(value) and test(value.decode()) for value in http.headers.get(lower, ()))


def _visible(value: bytes) -> bool:
    return _VISIBLE.fullmatch(value) is not None


def _query(name: str, kind: str, text: str, where: str) -> Question:
    test = text.__eq__ if kind == "Exact" else _regex_of(kind, text, where)
    return lambda http: any(key == name and bool(test(value)) for key, value in _pairs(http.query))


def _pairs(query: str | None) -> Iterator[tuple[str, str]]:
    """Names and values as a form has them (https://url.spec.whatwg.org/#concept-urlencoded-parser)."""
    for part in filter(None, (query or "").split("&")):
        name, _, value = part.partition("=")
        yield _decoded(name), _decoded(value)


def _decoded(text: str) -> str:
    raw = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), text.replace("+", " ").encode())
    return raw.decode("utf-8", "replace")


def _regex_of(kind: str, text: str, where: str) -> Callable[[str], bool]:
    if kind != "RegularExpression" or len(text) > 4096:
        raise UnmodelledError(f'{where}: the value "{text[:80]}" of type "{kind}" is not modelled')
    return regex(text, where)
