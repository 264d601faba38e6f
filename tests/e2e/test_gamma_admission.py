"""The objects of the example adapter on a real kube-apiserver with Gateway API's types: each is taken, and nothing is added to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import pytest

from hub.api import AdapterSpec, Backend, HttpMatch, NativeObject, ObjectRef, Route, RoutePort, Split
from hub.testing.conformance.split_worlds import make_split_values
from hub.testing.documents import Scope, SinklessMesh, compile_documents, translate_units
from hub.testing.worlds import documents_of, make_values
from tests.servers.istio.gateway import CHANNELS, gateway_types
from tests.servers.istio.kube import Kube
from tests.servers.istio.plane import api_server, serve_types

pytestmark = pytest.mark.istio
EXAMPLE = Path(__file__).parents[2] / "examples" / "adapters" / "gamma"
NAMESPACES = ("d", "x", "default", "shop")
WORLDS = 150
LONG = "s" * 63


@pytest.fixture(scope="module")
def spec() -> Iterator[AdapterSpec[Any]]:
    """The adapter, from its own folder: here it is its objects that count, and tests/house/test_gamma.py installs it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(EXAMPLE))
        yield import_module("smihub_gamma.plugin").SPEC


@pytest.fixture(scope="module", params=CHANNELS)
def kube(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kube]:
    """An API server with the types of a channel."""
    with api_server(tmp_path_factory.mktemp(request.param)) as server:
        serve_types(server.kube, gateway_types(request.param))
        for name in NAMESPACES:
            server.kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield server.kube


def split(count: int, *when: HttpMatch) -> Split:
    """A split of so many backends."""
    backends = tuple(Backend(f"b{number}", Fraction(number)) for number in range(count))
    return Split(ObjectRef("split.smi-spec.io", "TrafficSplit", "shop", "s"), when or None, backends)


def at_their_limits(spec: AdapterSpec[Any]) -> Iterator[NativeObject]:
    """Routes that are as large as they may be, and those that random worlds seldom have."""
    headers = tuple((f"x-{number}", "gold") for number in range(16))
    calls = (HttpMatch(path=r"/shop\.Cart/(Add|Drop)", headers=headers), HttpMatch(path=r"/shop\.Till/.*"))
    matches = tuple(HttpMatch(path=f"/{number}(/.*)?", methods=("GET", "PATCH")) for number in range(31))
    ports = (
        RoutePort(80, "TCP", "http", (split(17, *matches), split(17))),
        RoutePort(81, "TCP", "http", (split(1),)),
        RoutePort(90, "TCP", "http", (split(2, *calls),), word="grpc"),
        RoutePort(91, "TCP", "http", (split(1),), word="grpc-x"),
        RoutePort(100, "TCP", "tcp", (split(17),)),
        RoutePort(65535, "TCP", "none", (split(1),)),
    )
    made = spec.translate(Route("shop", LONG, ports), spec.config())
    assert (len(made.objects), made.losses) == (len(ports), ())
    yield from made.objects


def of_random_worlds(spec: AdapterSpec[Any]) -> Iterator[NativeObject]:
    """What is made of worlds as the conformance kit has them."""
    for number in range(WORLDS):
        values = (make_values, make_split_values)[number % 2](Random(f"admission/{number}"))
        units = compile_documents(documents_of(values), Scope()).units
        for translation in translate_units(units, SinklessMesh("gamma", spec)).values():
            yield from translation.objects


def test_every_object_is_taken_as_it_is(kube: Kube, spec: AdapterSpec[Any]) -> None:
    """An API server that filled something in would make every GitOps tool see a difference."""
    objects = {native.body: native for native in (*at_their_limits(spec), *of_random_worlds(spec))}
    kinds = {native.ref.kind for native in objects.values()}
    assert kinds == {"HTTPRoute", "GRPCRoute", "TCPRoute"}
    for body in objects:
        manifest = json.loads(body)
        assert kube.apply(manifest)["spec"] == manifest["spec"]
        kube.delete(manifest)


def test_tcp_routes_of_older_releases_are_taken_where_they_are_served(kube: Kube, spec: AdapterSpec[Any]) -> None:
    """`tcpRouteVersion: v1alpha2`: Gateway API 1.6 serves it in the experimental channel."""
    unit = Route("shop", "old", (RoutePort(100, "TCP", "tcp", (split(3),)),))
    (native,) = spec.translate(unit, spec.config(tcp_route_version="v1alpha2")).objects
    manifest = json.loads(native.body)
    if kube.serves("gateway.networking.k8s.io/v1alpha2"):
        assert kube.apply(manifest)["spec"] == manifest["spec"]
    else:
        with pytest.raises(RuntimeError, match="404"):
            kube.apply(manifest)


@pytest.mark.parametrize(
    "change",
    [
        {"matches": [{"path": {"type": "Exact", "value": "/a//b"}}]},
        {"matches": [{"method": "PURGE"}]},
        {"backendRefs": [{"name": "b", "port": 80, "weight": 1_000_001}]},
        {"backendRefs": [{"name": f"b{number}", "port": 80} for number in range(17)]},
    ],
)
def test_what_the_adapter_reports_as_lost_is_refused_here(kube: Kube, spec: AdapterSpec[Any], change: Any) -> None:
    """So these types are in effect, and the limits of the adapter are theirs."""
    (native,) = spec.translate(
        Route("shop", "api", (RoutePort(80, "TCP", "http", (split(2),)),)), spec.config()
    ).objects
    manifest = json.loads(native.body)
    manifest["spec"]["rules"][0] |= change
    with pytest.raises(RuntimeError, match="422"):
        kube.apply(manifest)
