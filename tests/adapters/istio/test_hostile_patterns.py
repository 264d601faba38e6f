"""Patterns that somebody would write to break the filters: flags in odd places, empty alternatives, huge counts, odd names, joined ports.

Each is held against SMI's reading, on sidecars of any age, and through the whole hub with requests one byte away.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.istio.config import IstioConfig
from adapters.istio.plugin import SPEC
from hub.api import HttpMatch
from hub.explain import Explainer
from hub.model import Request
from hub.semantics import Semantics
from hub.testing.documents import SinklessMesh, explained
from hub.testing.worlds import documents_of
from tests.adapters.istio.test_pattern_guards import SIDECARS, passes, rules_of, smis
from tests.servers.istio.worlds import standing_documents
from tests.servers.worlds import call, group, ports, target

pytestmark = pytest.mark.thorough
Lines = tuple[tuple[str, str], ...]
FILTERS = IstioConfig(patterns="envoyfilter")
HEADERS = (
    "(?i)[^k]+[0-9]", "(?i)gold.*", "gold(?i)X.*", "(?i:k)[^s]*", "(?-i)[^k]*(?i)s", "(?i)(?-i:[^k]*)", "(?s-i:.)*x", "(?i)[[:^alpha:]]*",
    "[[:^ascii:]]*a?", "[[:^word:]]+", r"[^\W]+", r"[\W\d]+", r"[\D]{2}", r"\S\S", ".{0,2}x", "(.*,)?a", "a(,.*)?", "(a|b)*,?c", "^a.*|.*b$",
    "(?m)a$.*", r"a\b.*", r".*\bgold\b.*", r"\B.*", "(?:^|.*,)gold(?:,.*|$)", "(|a)(|,)(|b)", "(?:)", "()", "(a*)*", "((a*)+)*b?", "x{0}a+",
    "a{1000}", "[ -~]+", "[!-~]*[^ ]", r"[^\t]*", "[a ]+", r"a[ \t]*", r"\s*a\s*", "[^a]* b", ".* ", " .*", "(?U).* ", ".*?b", "[^.]+",
    "[]a]+", "[^]a]+", r"[\]-a]+", "[^-a]*", r"[\\]+x?", "a|(?i)b.*|c", "K+", "gold.+", ".+.+", "(.+)", ".+?", ".*; .*", ".*(gold|silver).*",
)  # fmt: skip
PATHS = (
    "/(?i)[^k]+", "/.{2}", r"/\W+", "/[^a]?", r"/\S", "/(?:..)+", r"/\p{Greek}*a", "/[^[:ascii:]]*a", "/ſ?s+", "/[^/]{1,3}", r"/[\x{80}-\x{ff}]*a",
    r"/\xe9*a", r"/[^\x00-\x7f]*b", "/(?s:.)a", "/%..", r"/\pN+", "/(?P<x>a)+?[0-9]", "/(|a|b[0-9]+)", "/(?:[0-9]^b|c[0-9]+$)",
)  # fmt: skip
PIECES = (
    b"a", b"b", b"k", b"K", b"s", b"x", b"gold", b"GOLD", b" ", b"\t", b",", b"; ", b"1", b"-", b"]", b"\\", b".", b"\xff", b"\xc3", b"\xa9", b"\x80",
    "\u212a".encode(), "\u017f".encode(), "é".encode(), "€".encode(), "ß".encode(), b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf",
    b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf0\x9f\x98\x80",
)  # fmt: skip
"""Letters that fold into others, and bytes that some RE2 takes for a character."""
IN_PATHS = (*(one for one in PIECES if one not in {b" ", b"\t", b"; "}), b"/", b"%C3%A9", b"%")


def _text(rng: Random, pieces: Sequence[bytes]) -> bytes:
    return b"".join(rng.choice(pieces) for _ in range(rng.randrange(4)))


@pytest.mark.parametrize("pattern", HEADERS)
def test_values_that_are_not_meant(pattern: str) -> None:
    """Pass no sidecar, over one line or several."""
    rng, match = Random(pattern), HttpMatch(headers=(("x-a", pattern),))
    for _ in range(300):
        values = [_text(rng, PIECES) for _ in range(rng.choice((1, 1, 2, 3)))]
        meant = any(smis(pattern, one) for one in values)
        assert meant or not [one for one in SIDECARS if passes(match, values, b"/", one)] or not rules_of(match), values


@pytest.mark.parametrize("pattern", PATHS)
def test_paths_that_are_not_meant(pattern: str) -> None:
    """Pass no sidecar; those in ASCII that are meant pass all."""
    rng, match = Random(pattern), HttpMatch(path=pattern)
    assert rules_of(match)
    for _ in range(300):
        path = b"/" + _text(rng, IN_PATHS)
        for sidecar in SIDECARS:
            passed = passes(match, (), path, sidecar)
            assert passed is smis(pattern, path) or not (passed or path.isascii()), (path, sidecar)


# ------------------------------------------------------------------------------------------------ through the whole hub

Case = tuple[Sequence[Mapping[str, Any]], Sequence[str], Lines]
"""Matches, paths that they are about, and a header's lines."""
_MORE = (ports("first", 8080), ports("second", 9000), target("t1", "api", ["web"], "http:g", "tcp:first"))


def _header(name: str, pattern: str, value: str) -> Case:
    return [{"pathRegex": "/a", "headers": {name: pattern}}], ("/a",), ((name.lower(), value),)


def _path(pattern: str, *paths: str) -> Case:
    return [{"pathRegex": pattern}], paths, ()


CASES: dict[str, Case] = {
    **{f"header {name}": _header(name, "[a-z]+[0-9]", "abc1") for name in ("host", "Host", "authority", "Cookie", "te", "X-A", "via", "range")},
    "the empty path": ([{"pathRegex": "", "headers": {"x-a": "[0-9]+"}}], ("/", "/a"), (("x-a", "1"),)),
    "an empty alternative": _path("/(|a|b[0-9]+)", "/", "/a", "/b1"),
    "anchors inside": _path("/a[0-9]^b|/c[0-9]$|^/d", "/a1b", "/c1", "/d"),
    "anchors outside": _path(r"\A/a[0-9]+\z", "/a1"),
    "a query": _path(r"/u/[0-9]+\?a=1", "/u/1?a=1", "/u/1"),
    "escapes": _path("/u/%2[fF][0-9]+", "/u/%2F1", "/u/%2f1"),
    "dot segments": _path("/u/[.][.]/[0-9]+", "/u/../1", "/1"),
    "another letter of RFC 3986": _path("/[{|}]+[0-9]", "/{1", "/%7B1"),
    "no slash": _path("u/[0-9]+|[*]", "/u/1", "/"),
    "any line": _path("(?s)/a.[0-9]|(?m)/b[0-9]$", "/ax1", "/b1"),
    "a long one": _path("/(?:" + "|".join(f"a{n}[0-9]" for n in range(200)) + ")", "/a11", "/a1991", "/a1"),
    "a thousand": _path("/[a-z]{1000}", "/" + "a" * 1000, "/" + "a" * 999),
    "too large": _path("/" + "[a-z]{1,1000}" * 17, "/a"),
    "one header in two cases": (
        [{"pathRegex": "/a", "headers": {"X-A": "[0-9]+"}}, {"pathRegex": "/b", "headers": {"x-a": "[a-f]+"}}],
        ("/a", "/b"), (("x-a", "1"),),
    ),
    "two headers": ([{"headers": {"x-a": "[0-9]+", "x-b": "[a-f]+"}}], ("/",), (("x-a", "1"), ("x-b", "f"))),
    "duplicates": ([{"pathRegex": one} for one in ("/u/[0-9]+", "/u/(?:[0-9])+", "/u/[0-9]+")], ("/u/1",), ()),
    "a comma": _header("x-a", "v[0-9](,v[0-9])*", "v1,v2"),
    "a comma alone": _header("x-a", "a,b", "a,b"),
    "no ASCII": _header("x-a", "[^ -~]+", "é"),
    "outer blanks": _header("x-a", " ?a[0-9] ?", "a1"),
    "an empty value": _header("x-a", "[0-9]*", ""),
    "folding letters": _header("x-a", "(?i)[^k]+[0-9]", "a1"),
    "a cookie": _header("cookie", ".*a=1.*", "b=2; a=1"),
}  # fmt: skip

REFUSED = {
    *("header host", "header Host", "header Cookie", "header te", "the empty path", "a query", "dot segments"),
    *("another letter of RFC 3986", "no slash", "too large", "a comma alone", "no ASCII"),
}
"""Of which nothing is granted: what sidecars write themselves, what no path or value is, and what no sidecar tells apart."""


def _asked(rng: Random, paths: Sequence[str], lines: Lines) -> Iterator[Request]:
    """Each path with these lines, and both with one byte of theirs changed, repeated and left out."""
    every: list[Lines] = [lines, (), *((*lines, one) for one in lines), *((("x-a", "a"), *lines),)]
    every += [tuple((name, _edited(rng, value)) for name, value in lines) for _ in range(8)]
    wanted = [*paths, *(f"/{_edited(rng, path[1:])}" for path in paths for _ in range(8))]
    for caller in ("web-1", "partner-1"):
        for port in (80, 8080, 9000):
            yield from (call(caller, "api", port, path, "GET", one) for path in wanted for one in every)


def _edited(rng: Random, text: str) -> str:
    at, letter = rng.randint(0, len(text)), rng.choice("aAkK09,;.%/ \u212aé")
    return rng.choice((text[:at] + letter + text[at:], text[:at] + text[at + 1 :], text[:at] + letter + text[at + 1 :]))


def _read(case: Case) -> tuple[Explainer, Semantics]:
    values = [ports("http", 8080), group("g", *case[0]), target("t", "api", ["web"], "http:g"), *_MORE]
    documents = documents_of([*standing_documents(), *values])
    return explained(documents, (SinklessMesh("istio", SPEC, FILTERS),))[0], Semantics(documents)


@pytest.mark.parametrize("name", CASES)
def test_requests_one_byte_away(name: str) -> None:
    """Nothing is let in that SMI denies of what arrives, and what is refused although SMI allows it has a reason."""
    explainer, semantics = _read(CASES[name])
    let_in = 0
    for request in _asked(Random(name), *CASES[name][1:]):
        mesh = explainer.explain(request)[1]["istio"]
        arrived = request if mesh.received is None else replace(request, path=mesh.received)
        smi = semantics.judge(arrived).verdict
        assert (mesh.verdict, smi) in {("allow", "allow"), ("deny", "deny")} or (
            mesh.verdict == "deny" and mesh.losses
        ), request
        let_in += mesh.verdict == "allow"
    assert (let_in == 0) is (name in REFUSED)
