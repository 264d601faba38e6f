"""What the adapter writes, in a real Consul: it takes every entry as it is, with its mark, and compiles splits as they are meant."""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.consul.config import ConsulConfig
from adapters.consul.files import FILES
from adapters.consul.translate.unit import translate_entries
from hub.api import Baseline, FileMark, NativeObject, RoutePort
from hub.testing.conformance.sentinels import SENTINELS
from hub.testing.documents import Scope, compile_documents, translate_units
from hub.testing.kit import read_documents
from hub.testing.worlds import documents_of, make_values
from tests.adapters.consul.test_translate_goldens import CASES, GOLDENS
from tests.adapters.goldens import unit_of
from tests.servers.consul.agent import Agent, consul
from tests.servers.consul.entries import Entries, key_of
from tests.servers.readings import CONSUL
from tests.servers.units import route

pytestmark = pytest.mark.consul
Json = dict[str, Any]
LONG = FileMark("consul", "access/shop/web", "grant", "o" * 32, "n" * 4000, "é" * 1000, "d" * 64)
WORLDS = 60


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """One server for this file."""
    with consul(tmp_path_factory.mktemp("entries"), "deny") as running:
        yield running


def _bodies(*natives: NativeObject) -> list[Json]:
    return [json.loads(FILES.write(one.body, LONG)) for one in natives]


def _backends(*names: str) -> Iterator[NativeObject]:
    """What the units of other Services write."""
    for name in names:
        unit = replace(route(name, RoutePort(80, "TCP", "http")), namespace="shop")
        yield from translate_entries(unit, ConsulConfig()).objects


def _known(entry: Any, written: Any) -> Any:
    """What comes back of what was written; Consul adds fields, and sorts sources by its precedence."""
    if isinstance(written, dict):
        return {key: _known(entry[key], value) for key, value in written.items()}
    if isinstance(written, list):
        assert len(entry) == len(written)
        pairs = zip(sorted(entry, key=_name), sorted(written, key=_name), strict=True)
        return sorted((_known(*pair) for pair in pairs), key=_name)
    return entry


def _name(value: Any) -> str:
    return str(value.get("Name")) if isinstance(value, dict) else ""


@pytest.mark.parametrize("case", CASES)
def test_consul_takes_entries_as_they_are(agent: Agent, case: str) -> None:
    """And gives them back: none is cut, rounded or renamed."""
    made = translate_entries(unit_of(GOLDENS, case), ConsulConfig(wildcard_sources=("old_batch",))).objects
    defaults = [one for one in (*_backends("web-v2", "web-v3", "api"), *made) if one.ref.kind == "service-defaults"]
    bodies = {key_of(body): body for body in _bodies(*defaults, *made)}
    entries = Entries(agent.root)
    entries.replace(bodies.values())
    for key, body in bodies.items():
        found = _known(entries.read(key), body)
        assert found == {name: sorted(value, key=_name) if name == "Sources" else value for name, value in body.items()}
    entries.replace([])


def test_consul_takes_the_intention_of_every_service(agent: Agent) -> None:
    """The Baseline of `mode: mesh`."""
    entries = Entries(agent.root)
    entries.replace(_bodies(*translate_entries(Baseline(whole=True), ConsulConfig(mode="mesh")).objects))
    assert entries.read(("service-intentions", "*"))["Sources"][0]["Action"] == "deny"
    entries.replace([])


def test_a_split_is_compiled_as_it_is_meant(agent: Agent) -> None:
    """The root's share is its own endpoints, and a virtual service without a splitter is nobody."""
    made = translate_entries(unit_of(GOLDENS, "split"), ConsulConfig()).objects
    entries = Entries(agent.root)
    entries.replace(_bodies(*_backends("web-v2", "web-v3"), *made))
    nodes = entries.chain("shop_web")["Nodes"]
    assert {one["Type"] for one in nodes.values()} == {"router", "splitter", "resolver"}
    (rest,) = (one for name, one in nodes.items() if name.startswith("splitter:shop_web--smihub-rest"))
    shares = {split["Definition"]["Service"]: (split["Weight"], split["NextNode"]) for split in rest["Splits"]}
    assert {name: weight for name, (weight, _) in shares.items()} == {
        "shop_web": 33.34,
        "shop_web-v2": 33.33,
        "shop_web-v3": 33.33,
    }
    assert all(after.startswith(f"resolver:{name}.") for name, (_, after) in shares.items())
    entries.replace([])


def test_consul_takes_what_random_worlds_become(agent: Agent) -> None:
    """Every entry of them, of whatever units, in Consul's order."""
    worlds = [read_documents(one.text) for one in SENTINELS]
    worlds += [documents_of(make_values(Random(f"entries/{number}"))) for number in range(WORLDS)]
    entries, kinds = Entries(agent.root), set[str]()
    for documents in worlds:
        made = translate_units(compile_documents(documents, Scope()).units, CONSUL).values()
        bodies = _bodies(*(one for each in made for one in each.objects))
        kinds |= {body["Kind"] for body in bodies}
        entries.replace(bodies)
    entries.replace([])
    assert kinds == {"service-defaults", "service-intentions", "service-router", "service-splitter"}
