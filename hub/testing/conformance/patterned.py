"""Worlds of one pattern, one header or one method each, with the texts that it matches and those that miss it by one character.

Random worlds meet a pattern in one of fifty, and a text that tells two readings of it apart in far fewer: whether a dot takes a line break,
an anchor holds for both alternatives, a slash at the end counts, a dollar takes a line break too. Here each is asked for certain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from hub.model import Request
from hub.testing.conformance.many import ASKED, METHODS, ManyWorld, matching
from hub.testing.patterns import HEADERS, PATHS, TWISTS, near_value

NAMES = (
    *("host", "cookie", "user-agent", "x-forwarded-for", "accept", "x_y", "authorization", "via", "content-type", "te"),
    *("referer", "x-request-id", "x-forwarded-proto", "connection", "content-length", ":path", ":authority"),
)
"""Names of headers that meshes, proxies or HTTP itself treat in ways of their own."""
_ANCHORED = (("/a|/b", ("/a", "/b")), ("/a/", ("/a/", "/a")), ("/a?b", ("/b", "/ab")), ("", ("/", "")))
_VALUES = (("a|b", ("a", "b")), ("a?b", ("b", "ab")))
_OTHER = "\n/xX"
"""What stands in the place of each character in turn."""


def pattern_worlds() -> Iterator[ManyWorld]:
    """By path, by value, by name of a header, by method."""
    for pattern, texts in (*_ANCHORED, *PATHS):
        paths = dict.fromkeys(path for text in texts for path in _near(text))
        yield matching(f"the path {pattern}", [{"pathRegex": pattern}], [replace(ASKED, path=path) for path in paths])
    for pattern, texts in (*_VALUES, *HEADERS):
        values = dict.fromkeys(value for text in texts for value in (*near_value(text), *_near(text)))
        yield matching(f"the value {pattern}", [{"headers": {"x-t": pattern}}], list(_headed("x-t", list(values))))
    for name in NAMES:
        yield matching(f"the header {name}", [{"headers": {name: "a"}}], list(_headed(name, ("a", "b", ""))))
    for method in METHODS:
        sent = dict.fromkeys((*METHODS, method.lower(), method.capitalize(), method[:-1], f"{method}S", ""))
        yield matching(f"the method {method}", [{"methods": [method]}], [replace(ASKED, method=one) for one in sent])


def _near(text: str) -> Iterator[str]:
    """The text, and it with one thing other."""
    yield text
    yield from (twist(text) for twist in TWISTS)
    for at in range(len(text)):
        yield text[:at] + text[at + 1 :]
        yield from (text[:at] + other + text[at + 1 :] for other in _OTHER)


def _headed(name: str, values: Sequence[str]) -> Iterator[Request]:
    """Requests with each value, with none, under a name that is nearly it, and with two lines."""
    yield ASKED
    for value in values:
        yield replace(ASKED, headers=((name, value),))
    first = values[0]
    yield replace(ASKED, headers=((name.upper(), first),))
    yield from (
        replace(ASKED, headers=((near, first),))
        for near in (name.replace("_", "-"), f"{name}x", name[:-1])
        if near != name
    )
    yield from (replace(ASKED, headers=lines) for lines in (((name, first), (name, "z")), ((name, "z"), (name, first))))
