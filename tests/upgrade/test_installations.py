"""What an older smihub left is read by this one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from adapters.vm.ca import LEAF_LIFE, Authority, Secret, make_root
from adapters.vm.fleet import Fleet
from adapters.vm.safety import check
from adapters.vm.seal import Sealer
from adapters.vm.sink import utc_now
from adapters.vm.state import State
from adapters.vm.tokens import bearer
from tests.servers.older import FIXTURES, install


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
        found = {workload: bearer(Secret(token.encode()), state.token_hash) for workload, token in tokens.items()}
        assert found == {workload: workload for workload in tokens}
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
