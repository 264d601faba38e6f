"""`smihub explain --access-log`: what a sidecar denied, and what SMI and each mesh say of it now."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from hub.cli.batch import Answering
from hub.cli.context import OUT, Output, emit, line, note
from hub.cli.data import SCHEMA
from hub.denials import MAX_LINE_BYTES, Denial, DenialLog, read_log
from hub.errors import ConfigError
from hub.model import Request
from hub.requests import to_json


def log_in(file: Path) -> DenialLog:
    """The log in a file. Raises ConfigError where it cannot be read, or where none of its lines is one of a log of denials."""
    try:
        with file.open("rb") as stream:
            found = read_log(_lines(stream))
    except OSError as error:
        raise ConfigError(f'"{file}" cannot be read: {(error.strerror or "unreadable").lower()}') from None
    if found.unread and not found.denials and not found.left_out:
        raise ConfigError(f'"{file}" has no line of a denial log; use the denials.jsonl file of a sidecar')
    return found


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield lines, of one that is too long only as much as shows that."""
    while each := stream.readline(MAX_LINE_BYTES + 1):
        yield each
        while each and not each.endswith(b"\n"):
            each = stream.readline(MAX_LINE_BYTES)


def tell(found: DenialLog, answering: Answering, output: Output, show: Callable[[Request], None]) -> None:
    """Print each distinct denial with what is said of it; as text, `show` prints that."""
    if output is not Output.TEXT:
        emit(_data(found, answering), output)
        return
    for one in found.denials:
        OUT.print(line((_title(one), "bold")))
        for text in _remarks(one):
            OUT.print(line(f"  {text}"))
        show(one.request)
    if not found.denials:
        OUT.print(line("no denials"))
    for text in _left(found):
        note(text)


def _title(one: Denial) -> str:
    times = "once" if one.times == 1 else f"{one.times} times"
    asked = one.request
    what = f" {asked.method} {asked.path}" if asked.protocol == "http" else ""
    when = f", last {one.last}" if one.last else ""
    return f"{_caller(one)} -> {asked.dst.identity}:{asked.port}{what}  ({times}{when})"


def _caller(one: Denial) -> str:
    if one.request.src.spiffe:
        return one.request.src.spiffe
    return f"unproven {one.claims}" if one.claims else "unknown"


def _remarks(one: Denial) -> Iterator[str]:
    if one.why:
        yield f"the sidecar: {one.why}"
    if one.cut:
        yield "the log has only the beginning of its path; what follows is about that part"
    if one.request.protocol == "http":
        yield "explained without headers and query, which the log does not contain"


def _left(found: DenialLog) -> Iterator[str]:
    if found.left_out:
        yield f"the sidecar did not log {found.left_out} more denials (rate limit)"
    if found.more:
        yield f"{found.more} more lines, of other denials, are not shown"
    if found.unread:
        yield f"{found.unread} lines are not denial log entries"


def _data(found: DenialLog, answering: Answering) -> dict[str, Any]:
    counts = {"leftOut": found.left_out, "more": found.more, "unread": found.unread}
    return {"schema": SCHEMA, "denials": [_denial_data(one, answering) for one in found.denials], **counts}


def _denial_data(one: Denial, answering: Answering) -> dict[str, Any]:
    met = {
        "times": one.times,
        "first": one.first,
        "last": one.last,
        "why": one.why,
        "claims": one.claims,
        "cut": one.cut,
    }
    return {"request": to_json(one.request), **met, **answering.reply(one.request)}
