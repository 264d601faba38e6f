"""What people do to objects by hand, by chance: sensible edits, and whatever else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from random import Random
from typing import Any

import msgspec
from msgspec.structs import replace

from hub.model import Grant, HttpMatch, NativeObject
from tests.adapters.linkerd.met import CALLERS
from tests.servers.units import http_grant, tcp_grant

_PATHS = ("/a", "/a/.*", "/a/b", "/b", ".*", None)
_METHODS = (None, None, ("GET",), ("POST",))
_HEADERS: tuple[tuple[tuple[str, str], ...], ...] = ((), (), (("x-a", "1"),))
_GARBAGE = (b"", b"{}", b"[]", b"\xff", b'{"spec":{}}', b"null")
_WORDS = (
    *("web", "shop", "evil", "/", "Exact", "GET", "*", "Namespace", "Server", "HTTPRoute"),
    *("^(?:/a)$", "^(?:/b)$", "^(?:/a/.*)$", "^(?:/.*)$"),
)
_SERVER: dict[str, tuple[Any, ...]] = {
    "accessPolicy": ("all-unauthenticated", "audit", "x", None, 1),
    "port": (8080, 9000, 9999, "http"),
    "proxyProtocol": ("opaque", "HTTP/1", None),
    "podSelector": ({"matchLabels": {"app": "api"}}, {"matchLabels": {}}, None),
}


def some_grants(dice: Random) -> list[Grant]:
    """Grants by chance, of which many overlap."""
    grants = [
        http_grant(
            f"t{number}",
            dice.sample(CALLERS, dice.randint(1, 3)),
            HttpMatch(dice.choice(_PATHS), dice.choice(_METHODS), dice.choice(_HEADERS)),
            ports=dice.choice((None, None, (8080,), (9000,))),
        )
        for number in range(dice.randint(0, 4))
    ]
    raw = [tcp_grant("raw", [dice.choice(CALLERS)], dice.choice((None, (8080,))))]
    return [*grants, *(raw if dice.random() < 0.35 else [])]


def less(dice: Random, grants: Sequence[Grant]) -> list[Grant]:
    """Some of the grants, some of them to fewer callers."""
    kept = (one for one in grants if dice.randrange(4))
    return [
        replace(one, sources=one.sources[1:] if dice.randrange(3) == 0 else one.sources)
        for one in kept
        if one.sources[1:]
    ]


def edited(dice: Random, objects: Sequence[NativeObject], others: Sequence[NativeObject]) -> list[NativeObject]:
    """The objects after some edits; `others` are of another set of grants."""
    found = {one.ref: one for one in objects}
    for _ in range(dice.choice((1, 1, 1, 2, 3)) if found else 0):
        one = dice.choice(sorted(found.values(), key=lambda each: each.ref))
        kind = dice.randrange(9)
        if kind == 0 and len(found) > 1:
            del found[one.ref]
        elif kind == 1 and others:
            other = dice.choice(others)
            found.setdefault(other.ref, other)
        elif kind == 2:
            found[one.ref] = replace(one, body=dice.choice(_GARBAGE)) if dice.randrange(3) == 0 else one
        else:
            found[one.ref] = replace(one, body=_changed(dice, one, [*found.values(), *others]))
    return list(found.values())


def _changed(dice: Random, one: NativeObject, around: Sequence[NativeObject]) -> bytes:
    value: Any = _value(one)
    if not isinstance(value, dict) or not isinstance(value.get("spec"), dict):
        return one.body
    if dice.randrange(4) == 0:
        _with_another_spec(dice, one, value, around)
    elif one.ref.kind == "Server" and dice.randrange(2):
        field = dice.choice(sorted(_SERVER))
        value["spec"][field] = dice.choice(_SERVER[field])
    elif dice.randrange(2):
        _in_a_list(dice, value, around)
    else:
        _text(dice, value, around)
    return msgspec.json.encode(value, order="sorted")


def _with_another_spec(dice: Random, one: NativeObject, value: Any, around: Sequence[NativeObject]) -> None:
    found = [each for each in around if each.ref.kind == one.ref.kind and isinstance(_value(each), dict)]
    if found:
        value["spec"] = _value(dice.choice(found)).get("spec")


def _in_a_list(dice: Random, value: Any, around: Sequence[NativeObject]) -> None:
    """One element less, one twice, one from elsewhere, or another order."""
    lists = list(_lists(value))
    if not lists:
        return
    elements, kind = dice.choice(lists), dice.randrange(4)
    if kind == 0 and elements:
        del elements[dice.randrange(len(elements))]
    elif kind == 1 and elements:
        elements.append(deepcopy(dice.choice(elements)))
    elif kind == 2:
        others = [each for other in around for found in _lists(_value(other)) for each in found]
        alike = [each for each in others if elements and type(each) is type(elements[0])]
        elements.append(deepcopy(dice.choice(alike or ["?"])))
    else:
        dice.shuffle(elements)


def _text(dice: Random, value: Any, around: Sequence[NativeObject]) -> None:
    """Another text in the place of one."""
    places = list(_texts(value))
    for where, key in places and [dice.choice(places)]:
        where[key] = dice.choice((*_WORDS, *(one.ref.name for one in around)))


def _value(one: NativeObject) -> Any:
    try:
        return msgspec.json.decode(one.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _lists(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, list):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _lists(inner)


def _texts(value: Any) -> Iterator[tuple[Any, Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        if isinstance(inner, str):
            yield value, key
        yield from _texts(inner)
