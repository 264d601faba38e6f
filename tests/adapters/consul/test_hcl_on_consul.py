"""Entries in HCL: what a real Consul makes of each is what smihub reads; what smihub refuses may be an entry to Consul, never another one."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest

from adapters.consul.files import FILES
from hub.api import ConfigError
from tests.adapters.consul.hcl_changes import changed
from tests.adapters.consul.hcl_entries import ENTRIES
from tests.servers.consul.agent import Agent, consul
from tests.servers.consul.build import CONSUL
from tests.servers.consul.entries import comparable, key_of
from tests.servers.go_servers import built

pytestmark = pytest.mark.consul


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """One server for this file, in which every service speaks HTTP."""
    with consul(tmp_path_factory.mktemp("hcl"), "deny") as running:
        running.root.put("/config", {"Kind": "proxy-defaults", "Name": "global", "Config": {"protocol": "http"}})
        running.root.put("/config", {"Kind": "mesh", "AllowEnablingPermissiveMutualTLS": True})
        keys = {"Local": {"JWKS": "eyJrZXlzIjogW119"}}  # {"keys": []}
        running.root.put("/config", {"Kind": "jwt-provider", "Name": "issuer", "JSONWebKeySet": keys})
        yield running


def written(agent: Agent, folder: Path, text: str) -> str:
    """What `consul config write` says of a text; it goes by what it holds, not by its name."""
    file = folder / "entry.txt"
    file.write_bytes(text.encode())
    command = [built(CONSUL).binary, "config", "write", f"-http-addr={agent.http}", f"-token={agent.root.token}", file]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60, check=False)
    return done.stdout if done.returncode == 0 else f"refused: {done.stderr}"


def read_or_none(text: str) -> Any:
    """The same; None where smihub refuses it, or the name does not fit into an address."""
    try:
        (found,) = FILES.read(text.encode())
    except ConfigError:
        return None
    return read(text) if found.ref is not None and re.fullmatch("[a-z*_-]+", found.ref.name) else None


def read(text: str) -> Any:
    """The entry that smihub reads."""
    (found,) = FILES.read(text.encode())
    return msgspec.json.decode(found.body)


@pytest.mark.parametrize("case", ENTRIES)
def test_consul_reads_what_smihub_reads(agent: Agent, tmp_path: Path, case: str) -> None:
    """Written by its own command, and read back by the API."""
    text, expected = ENTRIES[case]
    said = written(agent, tmp_path, text)
    assert said.startswith("Config entry written"), said
    kind, name = key_of(expected)
    found = agent.root.get(f"/config/{kind}/{name}")
    agent.root.delete(f"/config/{kind}/{name}")
    assert comparable(found) == comparable(expected) == comparable(read(text))


@pytest.mark.parametrize("number", [60, pytest.param(300, marks=pytest.mark.slow)])
def test_texts_that_were_changed_mean_the_same_to_both(agent: Agent, tmp_path: Path, number: int) -> None:
    """Of those that smihub reads, Consul takes many, each as smihub has read it; the others it refuses for what they say."""
    random, taken, seen = Random(f"hcl/{number}"), 0, set[bytes]()
    while len(seen) < number:
        text = changed(random)
        mine = read_or_none(text)
        if mine is None or msgspec.json.encode(mine) in seen:
            continue
        seen.add(msgspec.json.encode(mine))
        said = written(agent, tmp_path, text)
        assert "Failed to decode" not in said or "invalid config entry kind" in said, (text, said)
        if said.startswith("Config entry written"):
            kind, name = key_of(mine)
            found = agent.root.get(f"/config/{kind}/{name}")
            agent.root.delete(f"/config/{kind}/{name}")
            assert comparable(found) == comparable(mine), text
            taken += 1
    assert taken > number / 3
