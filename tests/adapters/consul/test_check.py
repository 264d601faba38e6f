"""The last look: what smihub never writes is refused, whatever made it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from adapters.consul.config import ConsulConfig, ConsulK8sConfig
from adapters.consul.safety.check import check_entry, check_resource
from adapters.consul.translate.unit import translate_entries, translate_resources
from hub.api import UnsafeResourceError
from tests.adapters.consul.test_translate_goldens import CASES, GOLDENS
from tests.adapters.goldens import unit_of

Json = Any


def _entry(case: str, kind: str) -> Json:
    made = translate_entries(unit_of(GOLDENS, case), ConsulConfig()).objects
    return json.loads(next(one.body for one in made if one.ref.kind == kind and "rest" in f"{one.ref.name} rest"))


def _bytes(body: Json) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _sources(body: Json) -> list[Json]:
    return body["Sources"]  # type: ignore[no-any-return] # JSON


def _permissions(body: Json) -> list[Json]:
    return _sources(body)[1]["Permissions"]  # type: ignore[no-any-return] # JSON


EDITS: dict[str, Callable[[Json], object]] = {
    "a field that we never write": lambda body: body.update(JWT={}),
    "a namespace": lambda body: body.update(Namespace="default"),
    "without the deny of everybody": lambda body: _sources(body).pop(),
    "without the deny of everything else": lambda body: _permissions(body).pop(),
    "everybody allowed": lambda body: _sources(body)[-1].update(Action="allow"),
    "an action beside permissions": lambda body: _sources(body)[1].update(Action="allow"),
    "a source twice": lambda body: _sources(body).insert(0, _sources(body)[0]),
    "a source with a dot": lambda body: _sources(body)[0].update(Name="pay.v1"),
    "a peer": lambda body: _sources(body)[0].update(Peer="other"),
    "a permission without conditions": lambda body: _permissions(body)[0].update(HTTP={}),
    "a pattern that RE2 refuses": lambda body: _permissions(body)[-2]["HTTP"].update(PathRegex="(["),
    "a pattern that is too large": lambda body: _permissions(body)[-2]["HTTP"].update(PathRegex="(a{900}){900}"),
    "an empty pattern": lambda body: _permissions(body)[-2]["HTTP"].update(PathRegex=""),
    "a prefix of some paths": lambda body: _permissions(body)[-2]["HTTP"].update(PathPrefix="/foo"),
    "a method that Consul refuses": lambda body: _permissions(body)[0]["HTTP"].update(Methods=["PURGE"]),
    "a header of proxies": lambda body: _permissions(body)[0]["HTTP"].update(Header=[{"Name": ":path", "Regex": "/a"}]),
    "a pattern before the guard": lambda body: _permissions(body).insert(0, _permissions(body)[-2]),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_an_intention_that_says_more_or_less_is_refused(edit: Callable[[Json], object]) -> None:
    """Each edit of an intention that passes."""
    body = _entry("http-access", "service-intentions")
    check_entry(_bytes(body))
    edit(body)
    with pytest.raises(UnsafeResourceError):
        check_entry(_bytes(body))


SPLITS: dict[str, list[Json]] = {
    "a negative weight": [{"Service": "a", "Weight": -10}, {"Service": "b", "Weight": 110}],
    "a sum below 100": [{"Service": "a", "Weight": 49.99}, {"Service": "b", "Weight": 50}],
    "a step that is rounded": [{"Service": "a", "Weight": 49.995}, {"Service": "b", "Weight": 50.005}],
    "a weight of zero": [{"Service": "a", "Weight": 0}, {"Service": "b", "Weight": 100}],
    "a share twice": [{"Service": "a", "Weight": 50}, {"Service": "a", "Weight": 50}],
    "a namespace": [{"Service": "a", "Weight": 100, "Namespace": "other"}],
    "none": [],
}


@pytest.mark.parametrize("splits", SPLITS.values(), ids=SPLITS.keys())
def test_a_splitter_that_consul_or_envoy_reads_otherwise_is_refused(splits: list[Json]) -> None:
    """Consul takes most of them."""
    body = {"Kind": "service-splitter", "Name": "a--smihub-rest", "Splits": splits}
    with pytest.raises(UnsafeResourceError):
        check_entry(_bytes(body))


def test_what_else_consul_takes_is_refused() -> None:
    """A splitter of a service that others name, a protocol that hides HTTP, a router to another service, and bytes in another order."""
    share = [{"Service": "a", "Weight": 100}]
    check_entry(_bytes({"Kind": "service-splitter", "Name": "a--smihub-rest", "Splits": share}))
    route = {"Destination": {"Service": "b"}, "Match": {"HTTP": {"PathPrefix": "/"}}}
    for body in (
        {"Kind": "service-splitter", "Name": "a", "Splits": share},
        {"Kind": "service-defaults", "Name": "a", "Protocol": "tcp"},
        {"Kind": "service-defaults", "Name": "a", "Protocol": "http", "MutualTLSMode": "permissive"},
        {"Kind": "service-router", "Name": "a", "Routes": [route]},
        {"Kind": "service-resolver", "Name": "a", "Redirect": {"Service": "b"}},
        {
            "Kind": "service-intentions",
            "Name": "*",
            "Sources": [{"Name": "a", "Action": "allow"}, {"Name": "*", "Action": "deny"}],
        },
    ):
        with pytest.raises(UnsafeResourceError):
            check_entry(_bytes(body))
    with pytest.raises(UnsafeResourceError, match="canonical"):
        check_entry(b'{"Name":"a","Kind":"service-defaults","Protocol":"http"}')
    with pytest.raises(UnsafeResourceError):
        check_entry(b"\xff")


@pytest.mark.parametrize("case", CASES)
def test_a_resource_that_names_another_destination_is_refused(case: str) -> None:
    """And one whose fields have another spelling, which another reader may overlook."""
    for made in translate_resources(unit_of(GOLDENS, case), ConsulK8sConfig()).objects:
        body = json.loads(made.body)
        body["spec"] = {**body["spec"], "destination": {"name": "other"}}
        with pytest.raises(UnsafeResourceError):
            check_resource(_bytes(body))
        body["spec"] = {key.upper(): value for key, value in json.loads(made.body)["spec"].items()}
        with pytest.raises(UnsafeResourceError):
            check_resource(_bytes(body))
