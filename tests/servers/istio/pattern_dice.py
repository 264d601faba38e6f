"""Random worlds of patterns that Istio's policies cannot say, and calls that stand one byte away from what they allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from msgspec import Struct

from hub.model import Request
from tests.servers.worlds import World, call, group, ports, target

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_BYTES = "abkz0179AZ-_.~/"
_METHODS = ("GET", "POST", "PUT", "DELETE")
_CALLERS = {"web": "web-1", "partner": "partner-1"}
ALLOWED, CLOSE, OTHERS = 40, 25, 35
"""Calls of a world: allowed ones, denied ones one byte away from an allowed one, and whatever else is denied."""
Say = Callable[[Random], str]


class Piece(Struct, frozen=True):
    """A part of a pattern, and how to make a text that it matches."""

    pattern: str
    say: Say


def _some(rng: Random, alphabet: str, least: int, most: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(least, most)))


def _one_of(*texts: str) -> Say:
    return lambda rng: rng.choice(texts)


SEGMENTS = (
    Piece("[0-9]+", lambda rng: _some(rng, "0123456789", 1, 4)),
    Piece("[a-z]{2,4}", lambda rng: _some(rng, _LETTERS, 2, 4)),
    Piece("(items|orders)", _one_of("items", "orders")),
    Piece("v[12]", _one_of("v1", "v2")),
    Piece("[^/]+", lambda rng: _some(rng, _LETTERS + "-~:", 1, 5)),
    Piece(r"\w+", lambda rng: _some(rng, _LETTERS + "09_", 1, 5)),
    Piece("(?:a|b[0-9])", _one_of("a", "b7", "b0")),
    Piece("(?i)k[ab]*", lambda rng: rng.choice("kK") + _some(rng, "aAbB", 0, 3)),
    Piece("[^0-9/]*x", lambda rng: _some(rng, _LETTERS, 0, 3) + "x"),
    Piece(r"\p{Ll}\d", lambda rng: _some(rng, _LETTERS, 1, 1) + _some(rng, "0123456789", 1, 1)),
    Piece("fixed", _one_of("fixed")),
)
TAILS = (
    Piece("", _one_of("")),
    Piece("(/[^/]+)?", lambda rng: rng.choice(("", "/" + _some(rng, _LETTERS, 1, 3)))),
    Piece(r"(\.json|\.xml)", _one_of(".json", ".xml")),
    Piece("/?", _one_of("", "/")),
)
VALUES = (
    Piece(".*gold.*", lambda rng: _some(rng, _LETTERS, 0, 2) + "gold" + _some(rng, _LETTERS, 0, 2)),
    Piece("gold.*", lambda rng: "gold" + _some(rng, _LETTERS + "09", 0, 3)),
    Piece("[a-z]+", lambda rng: _some(rng, _LETTERS, 1, 4)),
    Piece(r"v[0-9]+\.[0-9]+", lambda rng: f"v{rng.randrange(20)}.{rng.randrange(9)}"),
    Piece("(gold|silver)-[0-9]{2}", lambda rng: rng.choice(("gold", "silver")) + f"-{rng.randrange(10, 99)}"),
    Piece(".+", lambda rng: _some(rng, _LETTERS, 1, 3)),
)


class Meant(Struct, frozen=True):
    """One match of a world, who may make such requests, and how to make one."""

    caller: str
    path: tuple[Piece, ...]
    header: Piece | None
    method: str

    def match(self) -> dict[str, Any]:
        """As SMI says it."""
        said: dict[str, Any] = {"pathRegex": _flags_first("".join(piece.pattern for piece in self.path))}
        if self.header is not None:
            said["headers"] = {"x-tier": self.header.pattern}
        return said if self.method == "*" else {**said, "methods": [self.method]}

    def request(self, rng: Random) -> Request:
        """One that it matches."""
        path = "".join(piece.say(rng) for piece in self.path)
        lines = () if self.header is None else (("x-tier", self.header.say(rng)),)
        method = rng.choice(_METHODS) if self.method == "*" else self.method
        return call(_CALLERS[self.caller], "api", 80, path, method, lines)


def _flags_first(pattern: str) -> str:
    """Flags in the middle of a pattern are kept to their group."""
    return pattern.replace("(?i)k[ab]*", "(?i:k[ab]*)")


def pattern_world(rng: Random) -> tuple[World, list[Meant]]:
    """Two callers of `api` with patterns of their own; the calls are the caller's business (`calls_of`)."""
    meant = [_meant(rng, caller) for caller in ("web", "web", "partner")]
    values: list[dict[str, Any]] = [ports("http", 8080)]
    for number, one in enumerate(meant):
        values.append(group(f"g{number}", one.match()))
        rules = (f"http:g{number}", *(("tcp:http",) if rng.randrange(3) == 0 else ()))
        values.append(target(f"t{number}", "api", [one.caller], *rules))
    return World("patterns", tuple(values), ()), meant


def _meant(rng: Random, caller: str) -> Meant:
    slash = Piece("/", _one_of("/"))
    segments = [piece for _ in range(rng.randint(1, 3)) for piece in (slash, rng.choice(SEGMENTS))]
    header = rng.choice(VALUES) if rng.randrange(3) == 0 else None
    return Meant(caller, (*segments, rng.choice(TAILS)), header, rng.choice(("*", "*", *_METHODS)))


def calls_of(rng: Random, meant: Sequence[Meant], denies: Callable[[Request], bool]) -> list[Request]:
    """A hundred calls: so many allowed, one byte away, and otherwise denied ones as the constants say."""
    good = [one for one in (rng.choice(meant).request(rng) for _ in range(4 * ALLOWED)) if not denies(one)][:ALLOWED]
    close = [one for one in (_near(rng, rng.choice(good)) for _ in range(40 * CLOSE)) if denies(one)][:CLOSE]
    others = [one for one in _others(rng, good) if denies(one)][:OTHERS]
    return [*good, *close, *others]


def _near(rng: Random, request: Request) -> Request:
    """The request with one byte of its path or header changed, left out, or added."""
    if request.headers and rng.randrange(2):
        ((name, value),) = request.headers
        return _but(request, request.path, ((name, _edited(rng, value, 0)),))
    return _but(request, _edited(rng, request.path, 1), request.headers)


def _edited(rng: Random, text: str, first: int) -> str:
    """One byte of a text another, after the first ones."""
    at, byte = rng.randint(first, len(text)), rng.choice(_BYTES)
    return rng.choice((text[:at] + byte + text[at:], text[:at] + text[at + 1 :], text[:at] + byte + text[at + 1 :]))


def _but(request: Request, path: str, headers: tuple[tuple[str, str], ...]) -> Request:
    return Request(request.src, request.dst, request.port, "http", request.method, path, headers)


def _others(rng: Random, good: Sequence[Request]) -> Iterator[Request]:
    """Other callers, methods, whole other paths, no header, bytes that are escaped or are not."""
    for _ in range(20 * OTHERS):
        one = rng.choice(good)
        caller = rng.choice(tuple(_CALLERS.values()))
        path = rng.choice(
            (one.path, one.path + "/../x", "/x" + one.path, one.path + "%2fx", one.path + "?/", "//" + one.path[1:])
        )
        lines = rng.choice((one.headers, (), (("x-tier", "guest"),), (("x-tier", "a"), ("x-tier", "b,c"))))
        yield call(caller, "api", 80, path, rng.choice((one.method, *_METHODS)), lines)


def close_to(denied: Request, allowed: Sequence[Request]) -> bool:
    """Whether one of these requests differs from it in one byte of the path, or of its header's value, and in nothing else."""
    return any(
        (one.src, one.method) == (denied.src, denied.method)
        and (
            (one.headers == denied.headers and _one_byte(one.path, denied.path))
            or (one.path == denied.path and _one_byte(_value(one), _value(denied)))
        )
        for one in allowed
    )


def _value(request: Request) -> str:
    return "\n".join(f"{name}: {value}" for name, value in request.headers)


def _one_byte(one: str, other: str) -> bool:
    """Whether a byte more, less, or another makes the one text the other."""
    short, long = sorted((one, other), key=len)
    at = next((at for at, (left, right) in enumerate(zip(short, long, strict=False)) if left != right), len(short))
    return one != other and long[at + 1 :] == short[at + len(short) - len(long) + 1 :]
