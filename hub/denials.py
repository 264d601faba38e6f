"""What a log of denials says (`denials.jsonl` of a sidecar): each distinct denial once, as a request that can be judged again.

Pure but for the lines that it is given. They may come from anybody: what is no line of such a log is counted and passed over, and
neither a long line nor many distinct ones take more memory than the bounds here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from hub.model import Request
from hub.requests import RequestError, decode

MAX_LINE_BYTES = 65_536
MOST = 1000
"""Most distinct denials that are kept; lines of further ones are counted."""
_PATH_CHARS = 2048
"""Where the sidecar cuts a path."""


class Denial(Struct, frozen=True):
    """One denial: the request (its headers and query are unknown), how often it was met, when first and last, and the mesh's reason.

    `claims` is the identity that the caller named and did not prove; the request is then one of nobody known. `cut`: the path
    was longer than the log has it.
    """

    request: Request
    why: str = ""
    claims: str = ""
    cut: bool = False
    times: int = 1
    first: str = ""
    last: str = ""


class DenialLog(Struct, frozen=True):
    """A whole log: distinct denials, the most frequent first, and how many lines are not among them.

    `unread` are no lines of such a log, `left_out` were not written by the sidecar, `more` are of further distinct denials.
    """

    denials: tuple[Denial, ...] = ()
    unread: int = 0
    left_out: int = 0
    more: int = 0


class _Line(Struct):
    to: str = ""
    port: int = 0
    time: str = ""
    caller: str = ""
    claims: str = ""
    method: str | None = None
    path: str = "/"
    why: str = ""
    ended: str = ""
    left_out: int = 0


_DECODER = msgspec.json.Decoder(_Line)


def read_log(lines: Iterable[bytes]) -> DenialLog:
    """Read a log line by line; a line beyond `MAX_LINE_BYTES` may be cut by whoever reads the file."""
    found: dict[Denial, Denial] = {}
    unread = left_out = more = 0
    for line in filter(bytes.strip, lines):
        entry = _entry_of(line)
        denial = None if entry is None or entry.left_out else _denial(entry)
        if entry is not None and entry.left_out > 0:
            left_out += entry.left_out
        elif denial is None:
            unread += 1
        elif not _count(found, denial):
            more += 1
    ranked = sorted(found.values(), key=lambda one: -one.times)
    return DenialLog(tuple(ranked), unread, left_out, more)


def _entry_of(line: bytes) -> _Line | None:
    try:
        return _DECODER.decode(line) if len(line) <= MAX_LINE_BYTES else None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _denial(entry: _Line) -> Denial | None:
    request: dict[str, Any] = {
        "src": {"spiffe": entry.caller} if entry.caller else {"outside": True},
        "dst": {"identity": entry.to},
        "port": entry.port,
        "protocol": "tcp" if entry.method is None else "http",
    }
    if entry.method is not None:
        request |= {"method": entry.method, "path": entry.path}
    try:
        decoded = decode(request).request
    except RequestError:
        return None
    cut = len(entry.path) >= _PATH_CHARS
    return Denial(decoded, entry.ended or entry.why, entry.claims, cut, first=entry.time, last=entry.time)


def _count(found: dict[Denial, Denial], denial: Denial) -> bool:
    """Add a denial to those found; False where it is one too many."""
    key = replace(denial, first="", last="")
    known = found.get(key)
    if known is None and len(found) >= MOST:
        return False
    found[key] = denial if known is None else replace(known, times=known.times + 1, last=denial.last)
    return True
