"""How many lines of denials are kept, and in which file."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from adapters.vm import wire
from adapters.vm.bootstrap.denials import BURST, RATE, BoundedFile, Limit, keep, lines_of
from adapters.vm.config import VmConfig
from adapters.vm.safety.check import check
from adapters.vm.translate.unit import translate
from hub.api import UnsafeResourceError
from hub.model import HttpMatch
from tests.servers.units import access, http_grant, inbound


class Clock:
    """A clock that stands until it is told."""

    now = 0.0

    def __call__(self) -> float:
        """The time in seconds."""
        return self.now


def line(listener: str = "a") -> bytes:
    """A line as Envoy writes it."""
    return b'{"caller":"spiffe://td/ns/d/sa/web","listener":"%b","path":"/"}' % listener.encode()


def test_a_listener_has_its_own_limit_and_says_what_is_left_out() -> None:
    """A flood at one port takes no line from another, and the next line that gets through tells of those that did not."""
    clock = Clock()
    limit = Limit(clock)
    assert sum(len(limit.passed(line())) for _ in range(BURST + 50)) == BURST
    assert limit.passed(line("b")) == [line("b")]
    clock.now += 1
    passed = [each for _ in range(2 * RATE) for each in limit.passed(line())]
    assert json.loads(passed[0]) == {"left_out": 50, "listener": "a"}
    assert passed[1:] == [line()] * RATE


@pytest.mark.parametrize("odd", [b"", b"no line of ours", b'{"listener":"a"' + b" " * 20_000])
def test_what_is_no_line_of_ours_is_not_written(odd: bytes) -> None:
    """Nor one that is longer than any that Envoy is told to write."""
    assert Limit().passed(odd) == []


def test_names_without_end_fill_no_memory() -> None:
    """Only so many listeners are kept in mind; no Envoy has as many."""
    limit = Limit()
    assert sum(len(limit.passed(line(str(index)))) for index in range(5000)) == 4096


def test_the_file_is_bounded_and_private(tmp_path: Path) -> None:
    """What would make it larger goes into a new one; of the older ones one is kept."""
    file = BoundedFile(tmp_path / "log", 100)
    for index in range(50):
        file.append(b"%030d" % index)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["log", "log.1"]
    assert all(each.stat().st_size <= 100 for each in tmp_path.iterdir())
    assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o600}
    assert (tmp_path / "log").read_text().splitlines()[-1] == f"{49:030}"


def test_a_link_or_a_pipe_in_its_place_is_not_written_to(tmp_path: Path) -> None:
    """Nothing is written elsewhere, and nobody waits for whoever reads a pipe."""
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(OSError, match=name):
            BoundedFile(tmp_path / name).append(b"x")
    assert not (tmp_path / "elsewhere").exists()


def test_lines_come_whole_however_they_are_written(tmp_path: Path) -> None:
    """What Envoy writes in pieces is put together; a line without an end costs no memory."""
    read, write = os.pipe()
    for piece in (line()[:10], line()[10:] + b"\n" + line(), b"\n" + b"x" * 30_000):
        os.write(write, piece)
    os.close(write)
    keep(read, BoundedFile(tmp_path / "log"))
    assert (tmp_path / "log").read_bytes() == 2 * (line() + b"\n")
    assert list(lines_of(os.open(os.devnull, os.O_RDONLY))) == []


_OTHERS = [
    ("%REQ(AUTHORIZATION)%", "path"),
    ("%PATH(WQ:PATH)%", "path"),
    ("%REQ(:PATH)%", "path"),
    ("in/d/other/8080/http@0.0.0.0", "listener"),
    ("x", "more"),
]


@pytest.mark.parametrize(("said", "key"), _OTHERS)
def test_a_log_that_says_anything_else_does_not_leave(said: str, key: str) -> None:
    """Not a header's value, not the query, not another listener's name."""
    with pytest.raises(UnsafeResourceError, match="is never logged"):
        check("Listener", _changed(key, said))


def test_a_log_into_a_file_does_not_leave() -> None:
    """Envoy would refuse the listener, and every later one, where the file cannot be opened."""
    listener = _listener()
    listener.access_log[0].name = "envoy.access_loggers.file"
    with pytest.raises(UnsafeResourceError, match="access_log"):
        check("Listener", wire.pack(listener))


def test_listeners_without_a_log_still_leave() -> None:
    """As an older hub has left them in the state file."""
    listener = _listener()
    del listener.access_log[:]
    check("Listener", wire.pack(listener))


def _listener() -> Any:
    unit = access(http_grant("web", ["web"], HttpMatch(path="/")), ports=[inbound(8080, "tcp", 8081)])
    (body,) = (item.body for item in translate(unit, VmConfig()).objects if item.ref.kind == "Listener")
    check("Listener", body)
    return wire.parse("Listener", body)


def _changed(key: str, said: str) -> bytes:
    listener = _listener()
    log: Any = wire.unpack(listener.access_log[0].typed_config)
    log.log_format.json_format[key] = said
    listener.access_log[0].typed_config.CopyFrom(wire.any_of(log))
    return wire.pack(listener)
