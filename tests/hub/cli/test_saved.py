"""`smihub plan --save`: a private file with exactly the plan that is shown, in nobody's way."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hub.cli import saved as disk
from hub.errors import ConfigError
from hub.plan.saved import PREFIX, encode
from tests.hub.cli.test_apply import revisions
from tests.servers.folder import CONFIG, Folder, target
from tests.servers.saved import save, saved


def test_plan_save_writes_a_private_file_and_ends_as_plan_does(folder: Folder) -> None:
    """What is printed and the exit code are those of plan; the note says how to go on."""
    folder.config(f'{CONFIG}owner: "{"1" * 32}"\n')
    plain = folder.run("plan")
    result = save(folder)
    assert (result.exit_code, result.stdout) == (2, plain.stdout)
    assert result.stderr == "note: saved review.plan; apply exactly this plan with smihub apply review.plan\n"
    file = folder.root / "review.plan"
    assert oct(file.stat().st_mode & 0o777) == "0o600"
    assert [each.name for each in folder.root.glob("*.plan*")] == ["review.plan"]
    assert [each.name for each in folder.root.glob(".review*")] == []
    assert revisions(folder) == {"vms": 0}


def test_plan_save_has_the_plan_that_is_shown(folder: Folder) -> None:
    """The same objects, waves and bytes as `-o json` says, the mesh's token, and who saved it."""
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    shown = folder.plan()["meshes"][0]["changes"]
    save(folder)
    found = saved(folder)
    changes = found.meshes[0].plan.changes
    assert [(c.op.value, str(c.ref), c.wave) for c in changes] == [(c["op"], c["object"], c["wave"]) for c in shown]
    digests = [hashlib.sha256(c.after.body).hexdigest() if c.after else None for c in changes]
    assert digests == [c["sha256"] for c in shown]
    assert found.meshes[0].plan.token.startswith("1-")
    assert all(c.token.startswith("1-") for c in changes if c.before is not None)
    assert found.setup.smihub == "0.1.0"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", found.saved_at)


@pytest.mark.thorough
def test_plan_save_twice_gives_the_same_but_for_the_time(folder: Folder) -> None:
    """In processes with other hash seeds."""
    found = []
    for seed in ("1", "2"):
        folder.process("plan", "--save", "review.plan", env={"PYTHONHASHSEED": seed})
        found.append(encode(replace(saved(folder), saved_at="")))
    assert found[0] == found[1]


def test_plan_save_replaces_a_saved_plan_whatever_its_mode(folder: Folder) -> None:
    """The new one is private again, also where the old one is damaged or of another schema."""
    file = folder.root / "review.plan"
    for old in (b"", b"1,", b"99}"):
        file.unlink(missing_ok=True)
        file.write_bytes(PREFIX + old)
        file.chmod(0o644)
        assert save(folder).exit_code == 2
        assert oct(file.stat().st_mode & 0o777) == "0o600"
        assert saved(folder).meshes


@pytest.mark.parametrize("there", ["text", "empty", "folder", "link", "pipe"])
def test_plan_save_when_something_else_is_there_leaves_it(folder: Folder, there: str) -> None:
    """Only a saved plan is ever replaced; a link is not followed."""
    file, other = folder.root / "review.plan", folder.root / "other"
    other.write_text("precious")
    if there == "folder":
        file.mkdir()
    elif there == "link":
        file.symlink_to(other)
    elif there == "pipe":
        os.mkfifo(file)
    else:
        file.write_text("" if there == "empty" else "precious")
    before = file.lstat()
    result = save(folder)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert (file.lstat().st_ino, file.lstat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert other.read_text() == "precious"


@pytest.mark.parametrize("size", [0, 8])
def test_plan_save_when_somebody_writes_there_meanwhile_leaves_it(tmp_path: Path, size: int) -> None:
    """The last look is when the new file gets its name."""
    made, path = tmp_path / "made", tmp_path / "review.plan"
    made.write_bytes(PREFIX)
    path.write_bytes(b"precious"[:size])
    with pytest.raises(ConfigError, match="not a saved plan"):
        disk._put(made, path)
    assert path.read_bytes() == b"precious"[:size]


def test_plan_save_when_the_folder_is_missing_is_one_line(folder: Folder) -> None:
    """Before anything is planned or read."""
    result = folder.run("plan", "--save", "no/such/review.plan")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "no such file or directory" in result.stderr


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["manifests/review.json", "manifests/review.yaml"])
def test_plan_save_when_a_source_would_read_it_refuses(folder: Folder, name: str) -> None:
    """A saved plan must not become part of what it was made from."""
    result = folder.run("plan", "--save", name)
    assert (result.exit_code, (folder.root / name).exists()) == (1, False)
    assert "ends in .plan" in result.stderr
    assert folder.run("plan", "--save", "manifests/review.plan").exit_code == 2
    assert folder.run("apply", "manifests/review.plan", "--yes").exit_code == 0


def test_plan_save_holds_no_key_and_no_token(folder: Folder) -> None:
    """With an authority, issued tokens and secret-looking settings there, none of their bytes are in the file."""
    folder.config(CONFIG.replace("adapter: vm}", "adapter: vm, sink: {address: 'unix:/tmp/hush-hush.sock'}}"))
    folder.run("apply", "--yes")
    folder.run("bootstrap", "shop/api-1", "--out", str(folder.root / "envoy"))
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    save(folder)
    raw = (folder.root / "review.plan").read_bytes()
    whole = raw + b"".join(_opened(json.loads(raw)))
    assert b"RouteConfiguration" in whole
    assert b"/orders" in whole
    for secret in _secrets(folder):
        assert secret not in whole
    assert b"hush-hush" not in whole
    assert b"PRIVATE KEY" not in whole


def _opened(value: Any) -> list[bytes]:
    """Every text that may be base64, decoded."""
    if isinstance(value, dict):
        return [found for inner in value.values() for found in _opened(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in _opened(inner)]
    try:
        return [base64.b64decode(value, validate=True)] if isinstance(value, str) else []
    except ValueError:
        return []


def _secrets(folder: Folder) -> list[bytes]:
    """What nobody else may see: the authority's key, hashes of tokens, and the files that bootstrap wrote."""
    with sqlite3.connect(folder.root / ".smihub" / "hub.sqlite") as db:
        keys = [bytes(row[0]) for row in db.execute("SELECT key FROM authorities")]
        hashes = [bytes(row[0]) for row in db.execute("SELECT hash FROM tokens")]
    db.close()
    tokens = [path.read_bytes().strip() for path in (folder.root / "envoy").rglob("*token*") if path.is_file()]
    assert keys
    assert hashes
    assert tokens
    body = b"".join(line for key in keys for line in key.splitlines() if b"-----" not in line)
    found = [*keys, *hashes, *tokens, body[:40], base64.b64decode(body)]
    return [*found, *(base64.b64encode(each) for each in found), *(each.hex().encode() for each in hashes)]
