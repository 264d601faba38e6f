"""`smihub explain --access-log`: each distinct denial of a sidecar's log, what SMI and the mesh say, and what nearly grants it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from hub.denials import MAX_LINE_BYTES, MOST, read_log
from tests.servers.folder import Folder

WEB = "spiffe://cluster.local/ns/shop/sa/web"
BOOKS: dict[str, Any] = {
    "caller": WEB,
    "listener": "in/shop/api/8080/http@10.0.0.7",
    "method": "GET",
    "path": "/boks",
    "port": 8080,
    "status": 403,
    "time": "2026-07-01T10:00:00.000Z",
    "to": "shop/api",
    "why": "rbac_access_denied_matched_policy[none]",
}
STRANGER = {key: BOOKS[key] for key in ("listener", "port", "time", "to")} | {"claims": WEB, "why": "TLS_error"}
HOSTILE = [
    b"nothing",
    b"[" * 100_000,
    b'{"to":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    b'{"to":"shop/api","port":8080,"path":"' + b"x" * 200_000 + b'"}',
    b'{"to":"shop/api","port":99999,"caller":"spiffe://x"}',
    b'{"to":7,"port":8080}',
    b'{"to":"shop/api/x","port":8080}',
    b'{"left_out":"many"}',
    b'{"left_out":-5}',
    b"\xff\xfe\x00",
    b"{}",
    b"null",
]


def line(**changed: Any) -> bytes:
    """A line of the log, with something else in it."""
    return json.dumps({**BOOKS, **changed}).encode()


def log(folder: Folder, *lines: bytes) -> str:
    """Write a log; gives its name."""
    (folder.root / "denials.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return "denials.jsonl"


def test_each_distinct_denial_is_told_once_with_its_near_miss(folder: Folder) -> None:
    """The most frequent first: who called what, how often, both verdicts, and what stands between."""
    more = line(method="PUT", path="/books", time="2026-07-01T11:00:00.000Z")
    name = log(folder, line(), more, more, json.dumps(STRANGER).encode())
    result = folder.run("explain", "--access-log", name)
    assert (result.exit_code, result.stderr) == (0, "")
    titles = [one for one in result.stdout.splitlines() if " -> " in one]
    assert titles == [
        f"{WEB} -> shop/api:8080 PUT /books  (2 times, last 2026-07-01T11:00:00.000Z)",
        f"{WEB} -> shop/api:8080 GET /boks  (once, last 2026-07-01T10:00:00.000Z)",
        f"unproven {WEB} -> shop/api:8080  (once, last 2026-07-01T10:00:00.000Z)",
    ]
    assert result.stdout.count("SMI: deny") == result.stdout.count("mesh vms: deny") == 3
    assert "TrafficTarget/shop/api-from-web by match" in result.stdout
    assert "would, except for its path" in result.stdout


def test_denials_as_data(folder: Folder) -> None:
    """The request as `--batch` takes it, the counts, and the answers of `explain -o json`, near misses too."""
    name = log(folder, line(), line(), b'{"left_out":7,"listener":"x"}', b"odd")
    found = json.loads(folder.run("explain", "--access-log", name, "-o", "json").stdout)
    (one,) = found["denials"]
    assert (found["leftOut"], found["unread"], found["more"]) == (7, 1, 0)
    assert one["request"]["src"] == {"spiffe": WEB}
    assert (one["times"], one["smi"]["verdict"], one["meshes"]["vms"]["verdict"]) == (2, "deny", "deny")
    assert one["smi"]["near"][0]["object"] == "TrafficTarget/shop/api-from-web"


def test_hostile_lines_are_counted_and_nothing_else(folder: Folder) -> None:
    """Whatever stands in the file: the lines of the log in it are read, and no escape reaches the terminal."""
    name = log(folder, *HOSTILE, line(path="/\x1b[31m\n\u202e"), *HOSTILE)
    result = folder.run("explain", "--access-log", name)
    assert result.exit_code == 0
    assert f"{2 * len(HOSTILE)} lines are not denial log entries" in result.stderr
    assert "\x1b" not in result.stdout
    assert "\u202e" not in result.stdout
    assert r"/\x1b[31m\n\u202e" in result.stdout


@pytest.mark.parametrize(("content", "said"), [(b"hello\n", "no line of a denial log"), (None, "cannot be read")])
def test_a_file_that_is_no_log_is_one_error(folder: Folder, content: bytes | None, said: str) -> None:
    """Named with what to do; an empty log is none."""
    if content is not None:
        (folder.root / "file").write_bytes(content)
    result = folder.run("explain", "--access-log", "file")
    assert (result.exit_code, result.stdout) == (1, "")
    assert said in result.stderr
    (folder.root / "file").write_bytes(b"")
    assert folder.run("explain", "--access-log", "file").stdout == "no denials\n"


@pytest.mark.thorough
def test_many_lines_are_read_in_bounded_memory_and_time() -> None:
    """As many distinct denials as anybody asks for are counted, and the first ones kept."""
    began = time.process_time()
    lines = (line(path=f"/{index % 30_000}") for index in range(60_000))
    found = read_log(lines)
    assert len(found.denials) == MOST
    assert found.more == 60_000 - 2 * MOST
    assert time.process_time() - began < 20
    assert read_log([b" " * MAX_LINE_BYTES, b"x" * (MAX_LINE_BYTES + 1)]).unread == 1
