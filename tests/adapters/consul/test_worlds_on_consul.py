"""What random worlds become in a real Consul: it gives every entry back as it was, and compiles where calls go."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

import pytest

from adapters.consul.plugin import SPEC
from hub.testing.documents import SinklessMesh, explained
from hub.testing.worlds import documents_of, make_values
from tests.servers.consul.agent import consul
from tests.servers.consul.dice import random_world
from tests.servers.consul.entries import Entries, Entry, comparable, key_of
from tests.servers.consul.judging import ConsulJudge

pytestmark = pytest.mark.consul
WORLDS = 30
"""Of each of two kinds: of the Consul mesh of these tests, and of every mesh."""
HUB = 'service_prefix "" { policy = "write" intentions = "write" }'


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entries]:
    """The entries of a Consul without services, written by somebody who may do what the hub's token may."""
    with consul(tmp_path_factory.mktemp("consul"), "deny") as agent:
        yield Entries(agent.bearer("hub", HUB))


def hold(entries: Entries, written: Sequence[Entry]) -> None:
    """Write entries, and fail where one does not come back as it was, or where no chain comes of one."""
    entries.replace(written)
    for one in written:
        assert comparable(entries.read(key_of(one))) == comparable(one)
    for name in {one["Name"] for one in written} - {"*"}:
        assert entries.chain(name)["ServiceName"] == name


@pytest.mark.parametrize("seed", range(WORLDS))
def test_worlds_of_this_mesh(entries: Entries, seed: int) -> None:
    """Accounts that are Consul services, and splits between them."""
    written = ConsulJudge(random_world(Random(f"e{seed}"), 0), SPEC).natives
    assert written
    hold(entries, written)


@pytest.mark.parametrize("seed", range(WORLDS))
def test_worlds_of_every_mesh(entries: Entries, seed: int) -> None:
    """Worlds about anything, with mistakes in them; what of them is for Consul."""
    documents = documents_of(make_values(Random(f"e{seed}")))
    _, (mesh,) = explained(documents, (SinklessMesh("consul", SPEC),))
    written: list[dict[str, Any]] = [
        json.loads(one.body) for made in mesh.translations.values() for one in made.objects
    ]
    hold(entries, written)
