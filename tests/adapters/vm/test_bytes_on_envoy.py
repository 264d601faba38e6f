"""Bytes beyond ASCII on a real Envoy, over HTTP/1.1 and HTTP/2: what is served, RE2 matches as UTF-8 text; bytes never add up.

Envoy runs RE2 over bytes; SMI's patterns are over UTF-8 text, and a value is what stands between its outer blanks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path

import pytest
import re2
from msgspec import Struct
from msgspec.structs import replace

from adapters.vm.config import VmConfig
from adapters.vm.translate.unit import translate
from hub.model import Client, HttpMatch, ObjectRef, RoutePort
from tests.servers.apps import echo
from tests.servers.calls import Connect, plain, statuses1, statuses2, tls
from tests.servers.certificates import Authority
from tests.servers.ports import held_port
from tests.servers.sidecar import endpoint, sidecar
from tests.servers.units import access, http_grant, inbound, route, spiffe, split

pytestmark = pytest.mark.envoy
Lines = tuple[bytes, ...]

KELVIN, LONG_S = "\u212a".encode(), "\u017f".encode()
HEADERS = (
    "(?i)[^k]*", "(?i)[^s]*", "(?i:[^k]*)", r"(?i)[^\w]*", "(?is)[^k]*", "(?Ui)[^s]*", "(?i)a[^k]*b", r"(?i)[\W]+",
    "gold.*", ".+", ".*", "[^x]*", "(?s)gold.*", "(?U)gold.*", "gold", "(?i)gold", "goldé", r"\W*", r"gold\D", r"\P{Lu}+", "..",
    "[é]",
)  # fmt: skip
VALUES: tuple[Lines, ...] = (
    (b"gold",), (b"gold1",), (KELVIN,), (LONG_S,), (b"a" + KELVIN + b"b",), ("é".encode(),), ("goldé".encode(),), (b"gold\xff",),
    (b"\xff\xfe",), (b"gold\xed\xa0\x80",), (b"gold\xc3",), (b"\xc0\xaf",), (b"gold\xf8\x80\x80\x80\xaf",), (b"gold\xf4\x90\x80\x80",),
    (b"\xff", b"no"), (b"no", b"gold\xff"), ("€".encode(), b"gold\xc3"),
)  # fmt: skip
PATHS = (
    "..", "[^a][^b]", "[éè]{2}", ".{2,3}", r"\W\W", r"\D{2}", r"\p{Lu}.*", r"\x{c3}\x{a9}", "[^/]{3}", ".*", "(?i)[^k]*", "(?s).+",
    "(?U).*", "é", r"\P{Lu}+",
)  # fmt: skip
PIECES = (b"ab", "é".encode(), "€".encode(), b"\xff", b"a\xff", KELVIN, LONG_S, b"\xc3", b"\xf8\x80\x80\x80\xaf", b"%C3%A9")  # fmt: skip
JOINED = (".* b", ".* b.*", "a .*", "a.* b", r".*\ b", ".*a b.*", "b.*", ".*b", "(?i).* B")
JOINED_VALUES: tuple[Lines, ...] = (
    (b"a", b" b"), (b"a", b"b"), (b"a ", b"b"), (b"x", b" b x"), (b"a b",), (b" b",), (b"b",), (b"x", b"a b"), (b"a", b"\tb"),
)  # fmt: skip


class Asked(Struct, frozen=True):
    """A request, and whether SMI admits it."""

    path: bytes
    lines: tuple[tuple[str, bytes], ...]
    admitted: bool


class Doors(Struct, frozen=True):
    """How to reach an Envoy over each version."""

    http1: Connect
    http2: Connect

    def statuses(self, asked: Sequence[Asked]) -> list[tuple[str, Asked, int]]:
        """The answers over HTTP/1.1 and over HTTP/2."""
        sent = [(one.path, one.lines) for one in asked]
        return [
            *zip(repeat("HTTP/1.1"), asked, statuses1(self.http1, sent)),
            *zip(repeat("HTTP/2"), asked, statuses2(self.http2, sent)),
        ]


def admits(pattern: str, value: bytes) -> bool:
    """Whether RE2 matches a whole value, without its outer blanks, as UTF-8 text."""
    stripped = value.strip(b" \t")
    try:
        stripped.decode()
    except UnicodeDecodeError:
        return False
    return re2.fullmatch(pattern, stripped) is not None


def asked_of_headers(patterns: Sequence[str], values: Sequence[Lines], name: str) -> list[Asked]:
    """Every value for every pattern."""
    return [
        Asked(path_of(name, index), tuple((name_of(name, index), line) for line in lines), any(admits(one, line) for line in lines))
        for index, one in enumerate(patterns)
        for lines in values
    ]  # fmt: skip


def asked_of_paths() -> list[Asked]:
    """Every piece for every pattern, each pattern below a folder of its own."""
    return [
        Asked(f"/u{index}/".encode() + piece, (), admits(pattern, piece))
        for index, pattern in enumerate(PATHS)
        for piece in PIECES
    ]


def name_of(name: str, index: int) -> str:
    """The header of a pattern: each has its own unless the name means something to Envoy."""
    return f"{name}{index}" if name == "x-h" else name


def path_of(name: str, index: int) -> bytes:
    """The path of a header pattern."""
    return f"/{name}/{index}".encode()


def matches() -> list[HttpMatch]:
    """One match for each pattern."""
    found = [HttpMatch(path=f"/u{index}/{_group(pattern)}") for index, pattern in enumerate(PATHS)]
    for name, patterns in (("x-h", HEADERS), ("accept", JOINED), ("x-j", JOINED)):
        found += [
            HttpMatch(path=path_of(name, index).decode(), headers=((name_of(name, index), pattern),))
            for index, pattern in enumerate(patterns)
        ]
    return found


def _group(pattern: str) -> str:
    return f"(?:{pattern})"


EVERY = [
    *asked_of_paths(),
    *asked_of_headers(HEADERS, VALUES, "x-h"),
    *asked_of_headers(JOINED, JOINED_VALUES, "accept"),
    *asked_of_headers(JOINED, JOINED_VALUES, "x-j"),
]


@contextmanager
def receiving(folder: Path, config: VmConfig) -> Iterator[Doors]:
    """An Envoy whose application `web` may call as the patterns say."""
    authority, port = Authority(), held_port()
    grant = replace(http_grant("bytes", ["web"], *matches()), ports=(port,))
    leaf = authority.issue([spiffe("web")])
    with echo() as app:
        objects = translate(access(grant, ports=[inbound(port, "http", app.port)]), config).objects
        with sidecar(folder, authority, authority.issue([spiffe("api")]), objects) as running:
            assert running.ads.nacks == []
            yield Doors(*(tls(port, authority.pem, leaf, alpn) for alpn in ((), ("h2",))))


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """A sidecar that refuses paths with another normal form."""
    with receiving(tmp_path_factory.mktemp("refusing"), VmConfig()) as doors:
        yield doors


@pytest.fixture(scope="module")
def normalising(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """A sidecar that normalises paths."""
    with receiving(tmp_path_factory.mktemp("normalising"), VmConfig(paths="normalise")) as doors:
        yield doors


CONDITION = 503
"""The status of a split whose backends have no weight."""


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    """An Envoy that answers itself where a condition of a split holds; other calls go to a sidecar that denies them."""
    authority, port, inside = Authority(), held_port(), held_port()
    client = Client(ObjectRef("smihub.io", "Workload", "d", "caller"), "127.0.0.1", port)
    layers = (split("off", tuple(matches()), s2=0),)
    made = translate(route("s", RoutePort(80, "TCP", "http", layers, (spiffe("api"),), (client,))), VmConfig()).objects
    near = [one for one in made if one.ref.kind != "Listener" or "@" in one.ref.name]
    far = translate(access(ports=[inbound(inside, "http", held_port())]), VmConfig()).objects
    folder = tmp_path_factory.mktemp("split")
    with (
        sidecar(folder, authority, authority.issue([spiffe("api")]), far),
        sidecar(folder, authority, authority.issue([spiffe("web")]), near, [endpoint("out/d/s/80", inside)]) as running,
    ):
        assert running.ads.nacks == []
        yield Doors(plain(port), plain(port))


def is_plain(asked: Asked) -> bool:
    """Whether nobody could read a request in two ways."""
    whole = (asked.path, *(line for _, line in asked.lines))
    return len(asked.lines) < 2 and all(one.isascii() and one == one.strip() for one in whole)


def test_what_is_served_is_admitted(receiver: Doors) -> None:
    """Access: nothing is served that the patterns do not admit as text, and of what they admit in ASCII nothing is lost."""
    answered = receiver.statuses(EVERY)
    assert [one for one in answered if one[2] == 200 and not one[1].admitted] == []
    assert [one for one in answered if one[2] != 200 and one[1].admitted and is_plain(one[1])] == []
    assert sum(status == 200 for _, _, status in answered) > 200


def test_path_when_its_bytes_are_escaped_first(normalising: Doors) -> None:
    """With `paths: normalise` patterns see, and applications get, escapes instead of bytes."""
    asked = [Asked(b"/u9/" + piece, (), True) for piece in ("é".encode(), b"a\xff")]
    assert [status for version, _, status in normalising.statuses(asked) if version == "HTTP/2"] == [200, 200]
    headers = [one for one in EVERY if one.lines]
    assert [one for one in normalising.statuses(headers) if one[2] == 200 and not one[1].admitted] == []


def test_condition_that_holds_is_met(caller: Doors) -> None:
    """Splits: no condition holds for what its pattern does not admit as text."""
    answered = caller.statuses(EVERY)
    assert [one for one in answered if one[2] == CONDITION and not one[1].admitted] == []
    assert [one for one in answered if one[2] != CONDITION and one[1].admitted and is_plain(one[1])] == []
    assert sum(status == CONDITION for _, _, status in answered) > 200
