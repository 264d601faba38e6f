"""What an older smihub left is read by this one."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from adapters.vm.identity.ca import LEAF_LIFE, Authority, Secret, make_root
from adapters.vm.identity.tokens import Bearer, bearer
from adapters.vm.safety.check import check
from adapters.vm.serve.fleet import Fleet
from adapters.vm.serve.seal import Sealer
from adapters.vm.serve.sink import utc_now
from adapters.vm.state.revisions import State
from adapters.vm.state.schema import SCHEMA_VERSION
from tests.servers.older import FIXTURES, install


@pytest.mark.thorough
@pytest.mark.parametrize("octet", [200, 123])
def test_state_of_an_older_hub_is_read(tmp_path: Path, octet: int) -> None:
    """Its objects, its memory, its authority and the tokens that it issued."""
    base = install(tmp_path, "vm", octet).parent
    state = State(base / ".smihub" / "hub.sqlite", "vms")
    try:
        seen = state.observe()
        assert len(seen.objects) == 66
        assert len(seen.memory) == 9
        bodies = b"".join(item.owned for item in seen.objects.values())
        assert (f"127.{octet}.1.1".encode() in bodies, b"127.200." in bodies) == (True, octet == 200)
        fresh = make_root("cluster.local", utc_now())
        assert state.authority(fresh) != fresh
        tokens = json.loads((base / "tokens.json").read_text())
        found = {workload: bearer(Secret(token.encode()), state.tokens) for workload, token in tokens.items()}
        assert found == {workload: Bearer(workload) for workload in tokens}
        assert len(found) == 6
    finally:
        state.close()


def test_revision_of_an_older_hub_is_served(tmp_path: Path) -> None:
    """Until the first plan is applied, Envoys get what stands; the closed list knows the older shapes."""
    base = install(tmp_path, "vm").parent
    state = State(base / ".smihub" / "hub.sqlite", "vms")
    try:
        root = state.authority(make_root("cluster.local", utc_now()))
        fleet = Fleet(Sealer(root.certificate, check), Authority(root, LEAF_LIFE))
        assert len(fleet.advance(state.since(0))) == 6
    finally:
        state.close()


def test_fixtures_name_no_machine() -> None:
    """What was left holds no path of the machine that it was made on."""
    for file in FIXTURES.rglob("*"):
        if file.is_file():
            assert b"/home/" not in file.read_bytes()


def _raw(base: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(base / ".smihub" / "hub.sqlite")) as db:
        return [tuple(row) for row in db.execute(query)]


def test_state_of_an_older_hub_is_brought_up_to_date_once(tmp_path: Path) -> None:
    """Bodies, revisions and the authority stay; listeners and Workloads get marks, tokens the account of their Workload."""
    base = install(tmp_path, "vm").parent
    kept = (
        "SELECT ref, body, token, born, died FROM objects ORDER BY ref, born",
        "SELECT * FROM authorities",
        "SELECT name, revision, token FROM meshes",
    )
    before = [_raw(base, query) for query in kept]
    assert _raw(base, "PRAGMA user_version") == [(1,)]
    State(base / ".smihub" / "hub.sqlite", "vms").close()
    assert _raw(base, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert [_raw(base, query) for query in kept] == before
    living = _raw(base, "SELECT json_extract(ref, '$.kind') AS kind, mark FROM objects WHERE died IS NULL")
    marked = [mark for kind, mark in living if kind in {"Listener", "Workload"}]
    assert len({*marked, ""}) == len(marked) + 1
    assert all(mark == "" for kind, mark in living if kind not in {"Listener", "Workload"})
    assert {row[0] for row in _raw(base, "SELECT owner FROM meshes")} == {""}
    accounts = {row[0]: row[1] for row in _raw(base, "SELECT workload, account FROM tokens WHERE NOT ended")}
    assert accounts["shop/gold"] == "shop/api"
    assert len(accounts) == 6
    State(base / ".smihub" / "hub.sqlite", "vms").close()
    assert sorted(
        _raw(base, "SELECT json_extract(ref, '$.kind') AS kind, mark FROM objects WHERE died IS NULL")
    ) == sorted(living)


def test_tokens_of_an_older_hub_without_their_workload_have_ended(tmp_path: Path) -> None:
    """The older hub kept them for whoever would come back under that name."""
    base = install(tmp_path, "vm").parent
    with closing(sqlite3.connect(base / ".smihub" / "hub.sqlite")) as db, db:
        db.execute("INSERT INTO tokens VALUES ('vms', 'shop/gone', x'00')")
    state = State(base / ".smihub" / "hub.sqlite", "vms")
    try:
        assert [item.ended for item in state.tokens("shop/gone")] == [True]
        assert [item.ended for item in state.tokens("shop/web")] == [False]
    finally:
        state.close()


def test_state_is_as_it_was_when_bringing_it_up_to_date_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it happens in one transaction."""
    base = install(tmp_path, "vm").parent
    before = _raw(base, "SELECT * FROM sqlite_master"), _raw(base, "SELECT * FROM objects")

    def fails(_: bytes) -> str:
        raise MemoryError

    monkeypatch.setattr("adapters.vm.state.marks.account_of", fails)
    with pytest.raises(MemoryError):
        State(base / ".smihub" / "hub.sqlite", "vms")
    assert (_raw(base, "SELECT * FROM sqlite_master"), _raw(base, "SELECT * FROM objects")) == before
    assert _raw(base, "PRAGMA user_version") == [(1,)]
