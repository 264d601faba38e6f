"""Small RE2 patterns with texts that they match, and texts that miss by a hair.

Some are about characters of several bytes, letters that fold to ASCII (U+212A to k, U+017F to s) and bytes that are no UTF-8,
which stand as U+DCFF (`hub.model.raw_text`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

_KELVIN, _LONG_S, _STRAY = "\u212a", "\u017f", "\udcff"

PATHS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("/api", ("/api",)),
    ("/api/.*", ("/api/", "/api/v1", "/api/v1/x")),
    (".*", ("/", "/x", "/x/y")),
    ("/.*", ("/", "/x")),
    ("/metrics|/health", ("/metrics", "/health")),
    ("^/x$", ("/x",)),
    ("/v[0-9]+/items", ("/v1/items", "/v22/items")),
    (r"/files/[^/]+\.json", ("/files/a.json",)),
    ("(?i)/case", ("/case", "/CASE")),
    (r"/word\b.*", ("/word", "/word/x")),
    ("/a.c", ("/abc", "/a/c")),
    ("/~.*", ("/~me", "/%7Eme")),
    ("/%7[eE]x", ("/%7Ex",)),
    ("/a;b", ("/a;b",)),
    ("/a%2Fb", ("/a%2Fb", "/a/b")),
    ("/a//b", ("/a//b", "/a/b")),
    ("/é", ("/é", "/%C3%A9")),
    (r"/q\?x=1", ("/q?x=1",)),
    ("api", ("api", "/api")),
    ("/(api|admin)(/.*)?", ("/api", "/admin/x")),
    ("x*", ("", "xx")),
    ("/u/..", ("/u/ab", "/u/é", f"/u/a{_STRAY}")),
    ("/u/[^a][^b]", ("/u/ba", "/u/é", f"/u/{_KELVIN}")),
    ("/u/[éè]{2}", ("/u/é", "/u/éè", "/u/%C3%A9")),
    (r"/u/\W\W", ("/u/--", "/u/é")),
    (r"/u/\D{2}", ("/u/ab", "/u/é", "/u/12")),
    (r"/u/\p{Lu}.*", ("/u/A", "/u/é", "/u/a")),
    (r"/u/\x{c3}\x{a9}", ("/u/é", "/u/Ã©")),
    ("(?i)/u/[^k]*", ("/u/a", f"/u/{_KELVIN}", "/U/k")),
    ("(?s)/public/.+", ("/public/x", f"/public/{_STRAY}", "/public/é")),
    ("(?U)/public/.*", ("/public/x", f"/public/{_STRAY}")),
)
"""pathRegex values with paths that they match, or that somebody might take for a match."""

BAD_PATHS: Sequence[str] = ("", "/(", "/(?=x)", r"/(a)\1", "/[z", "a{1001}", "/" + "a?" * 3000, "\\", "*", "(?P<n")

HEADERS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("gold", ("gold",)),
    ("gold.*", ("gold", "gold1", f"gold{_STRAY}", "goldé")),
    (".*", ("", "any")),
    ("", ("",)),
    ("[a-z]+", ("abc",)),
    ("(?i)eu", ("eu", "EU")),
    (".*Firefox.*", ("Mozilla Firefox/1",)),
    ("a,b", ("a,b",)),
    ("yes|no", ("yes", "no")),
    (r"\d+", ("7",)),
    ("(?i)[^k]*", ("a", "K", _KELVIN, "é")),
    ("(?i:[^s]+)", ("a", "s", _LONG_S, f"a{_LONG_S}")),
    (r"(?is)[^\w]*", ("-", "k", _KELVIN)),
    ("(?Ui)a[^k]*", ("ab", "ak", f"a{_KELVIN}")),
    ("(?s).+", ("a", f"{_STRAY}{_STRAY}", "é")),
    ("(?i)k.*s", ("KS", f"{_KELVIN}s", f"k{_STRAY}s")),
    ("..", ("ab", "é", "a")),
    ("[^a][^b]", ("ba", "é", "ab")),
    (r"\W+", ("-", "é", "a")),
    (r"gold\D", ("goldx", "gold1", "goldé", f"gold{_STRAY}")),
    (r"\P{Lu}+", ("a", "É", "é")),
    ("[éè]", ("é", "e")),
    ("é.*", ("é", f"é{_STRAY}", "e")),
    (".* b", ("a b", " b", "b")),
    ("[^x]*", ("a", "x", f"a{_STRAY}")),
)

_ATOMS: Sequence[tuple[str, tuple[str, ...]]] = (
    ("a", ("a",)),
    ("[ab]", ("a", "b")),
    ("b?", ("", "b")),
    ("/", ("/",)),
    ("(a|/b)", ("a", "/b")),
    ("[^/]*", ("", "ab", ".")),
    (r"\.", (".",)),
    ("[0-9]{2}", ("10", "42")),
    (".", ("x", "/")),
)


def any_path(rng: Random) -> tuple[str, tuple[str, ...]]:
    """A pathRegex and some texts that it (nearly) matches; now and then one that RE2 refuses."""
    dice = rng.randrange(20)
    if dice == 0:
        return rng.choice(BAD_PATHS), ("/api", "/a", "/")
    return rng.choice(PATHS) if dice < 14 else _composed(rng)


def any_header(rng: Random) -> tuple[str, tuple[str, ...]]:
    """A header pattern and some texts that it (nearly) matches; now and then one that RE2 refuses."""
    return (rng.choice(BAD_PATHS), ("gold",)) if rng.randrange(25) == 0 else rng.choice(HEADERS)


def _composed(rng: Random) -> tuple[str, tuple[str, ...]]:
    atoms = [("/", ("/",)), *(rng.choice(_ATOMS) for _ in range(rng.randrange(1, 5)))]
    texts = tuple("".join(rng.choice(samples) for _, samples in atoms) for _ in range(2))
    return "".join(pattern for pattern, _ in atoms), texts


def near(rng: Random, text: str) -> str:
    """The text itself, or one that differs from it the way an attacker or a typo would."""
    return rng.choice(TWISTS)(text) if rng.randrange(2) else text


def near_value(text: str) -> tuple[str, ...]:
    """Header values that differ from a text in an outer blank, in a stray byte, or in a letter beyond ASCII."""
    return (
        " " + text,
        text + "\t",
        text + _STRAY,
        text[:-1] + _STRAY,
        text + "é",
        text + _KELVIN,
        text.replace("k", _KELVIN) + _LONG_S,
    )


def _dotted(text: str) -> str:
    return "/x/.." + text


def _escaped_first(text: str) -> str:
    return f"/%{ord(text[1]):02x}{text[2:]}" if len(text) > 1 and text[1].isascii() else text + "%20"


TWISTS: Sequence[Callable[[str], str]] = (
    lambda text: text + "x",
    lambda text: text + "/",
    lambda text: text[:-1],
    lambda text: text[1:],
    lambda text: "/x" + text,
    lambda text: "/" + text,
    lambda text: text + "?x=1",
    lambda text: "/x?" + text,
    lambda text: text + "#x",
    lambda text: text + "/../x",
    lambda text: text + "/..",
    lambda text: text + "/.",
    lambda text: text + "/%2e%2e/x",
    lambda text: text + "%2f..%2fx",
    lambda text: text + "%2Fx",
    lambda text: text + "%5cx",
    lambda text: text.replace("/", "\\"),
    lambda text: text + ";x",
    lambda text: text + "%00",
    lambda text: text + "%0a",
    lambda text: text + "\n",
    lambda text: text + "%3Fx",
    lambda text: text + "%C3%A9",
    lambda text: text + "é",
    lambda text: text + _STRAY,
    lambda text: text[:-1] + "é",
    lambda text: text[:-2] + "é",
    lambda text: text.replace("k", _KELVIN).replace("s", _LONG_S),
    lambda text: text.replace("/", "//"),
    lambda text: text.replace("/", "/./"),
    str.upper,
    str.swapcase,
    _dotted,
    _escaped_first,
)
