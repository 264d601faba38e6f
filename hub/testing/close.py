"""Requests that differ from another one in one byte, line, port or caller, and rows of requests with many of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from hub.model import Answer, Request
from hub.testing.random_requests import Hints, any_header_value, any_port, any_request, any_source

Part = Literal["byte", "line", "port", "caller"]
PARTS: tuple[Part, ...] = ("byte", "line", "port", "caller")
Judge = Callable[[Request], Answer]
_BYTES = "xX/.aAkKsS019 ,;??%-_\x7f\x80\xe9\u017f\u212a\udcff\udcff\udcff\udcff"
_LINES = (("x-tier", "gold"), ("x-region", "eu"), ("x-t", ""), ("user-agent", "Mozilla Firefox/1"), ("cookie", "a=b"))


class AnsweredRequest(Struct, frozen=True, gc=False):
    """A request with SMI's answer, and in which part it differs from one that SMI allows ("" if it was not made from one).

    `about` names the objects that allow it, or the one that it was made from.
    """

    request: Request
    answer: Answer
    part: Part | Literal[""] = ""
    about: tuple[str, ...] = ()


def row(rng: Random, hints: Hints, judge: Judge, wild: int, close: int) -> Iterator[AnsweredRequest]:
    """So many requests of any kind, then so many close to those of them that are allowed; these can be allowed again."""
    seeds: list[AnsweredRequest] = []
    split: list[AnsweredRequest] = []  # few, so they get their turn
    for _ in range(wild):
        request = any_request(rng, hints)
        answer = judge(request)
        one = AnsweredRequest(request, answer, about=answer.by)
        if answer.verdict == "allow":
            seeds.append(one)
        if any(name.startswith("TrafficSplit/") for name in answer.by):
            split.append(one)
        yield one
    for _ in range(close if seeds else 0):
        seed = rng.choice(split if split and rng.randrange(6) == 0 else seeds)
        part, request = close_to(rng, hints, seed.request)
        answer = judge(request)
        one = AnsweredRequest(request, answer, part if seed.answer.verdict == "allow" else "", answer.by or seed.about)
        if answer.verdict == "allow":
            seeds.append(one)
        yield one


def close_to(rng: Random, hints: Hints, request: Request) -> tuple[Part, Request]:
    """The request with another byte, line, port or caller."""
    lines = 6 if request.headers else 2
    weights = (6, lines, 1, 2) if request.protocol == "http" else (0, 0, 1, 2)
    part = rng.choices(PARTS, weights)[0]
    return part, _CHANGES[part](rng, hints, request)


def _byte(rng: Random, hints: Hints, request: Request) -> Request:
    if request.headers and rng.randrange(3) == 0:
        at = rng.randrange(len(request.headers))
        name, value = request.headers[at]
        return replace(request, headers=_put(request.headers, at, [(name, _corrupted(rng, value))]))
    return replace(request, path=_corrupted(rng, request.path))


def _corrupted(rng: Random, text: str) -> str:
    """The text with one character more, less or changed; most often at its end."""
    at = rng.choice((len(text), max(len(text) - 1, 0), rng.randrange(len(text) + 1)))
    new = rng.choice(_BYTES)
    return rng.choice((text[:at] + new + text[at:], text[:at] + text[at + 1 :], text[:at] + new + text[at + 1 :]))


def _line(rng: Random, hints: Hints, request: Request) -> Request:
    lines = request.headers
    if not lines or rng.randrange(3) == 0:
        return replace(request, headers=(*lines, rng.choice(_LINES)))
    at = rng.randrange(len(lines))
    name, value = lines[at]
    other, cut = any_header_value(rng, value), rng.randrange(len(value) + 1)
    changed = rng.choice(
        (
            [],
            [(name, other)],
            [(name, value), (name, other)],
            [(name, value[:cut]), (name, value[cut:])],
            [(f"{name}x", value)],
            [(name.upper(), value)],
        )
    )
    return replace(request, headers=_put(lines, at, changed))


def _put(
    lines: tuple[tuple[str, str], ...], at: int, changed: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    return (*lines[:at], *changed, *lines[at + 1 :])


def _port(rng: Random, hints: Hints, request: Request) -> Request:
    return replace(request, port=any_port(rng, hints))


def _caller(rng: Random, hints: Hints, request: Request) -> Request:
    return replace(request, src=any_source(rng, hints))


_CHANGES: dict[Part, Callable[[Random, Hints, Request], Request]] = {
    "byte": _byte,
    "line": _line,
    "port": _port,
    "caller": _caller,
}
