"""TrafficSplits: which Services share a call, and when the root serves."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest

from hub.model import Answer, Reading, Request
from hub.semantics import Semantics
from hub.semantics.quantity import quantity_weight, whole_weight
from hub.semantics.reader import Invalid

Read = Callable[..., Semantics]
RequestTo = Callable[..., Request]


def service(name: str, ports: str = "[{name: http, port: 8080}]", namespace: str = "d") -> str:
    """Write a Service and a Pod behind it."""
    return f"""
---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{selector: {{app: {name}}}, ports: {ports}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: {name}-0, namespace: {namespace}, labels: {{app: {name}}}}}
spec: {{serviceAccountName: {name}}}
"""


def split(backends: str, name: str = "s", root: str = "web", more: str = "", version: str = "v1alpha4") -> str:
    """Write a TrafficSplit of d/web."""
    return f"""
---
apiVersion: split.smi-spec.io/{version}
kind: TrafficSplit
metadata: {{name: {name}, namespace: d}}
spec: {{service: {root}, backends: {backends}{more}}}
"""


V1, V2 = "{service: v1, weight: 90}", "{service: v2, weight: 10}"
FLEET = service("web") + service("v1") + service("v2")
GROUP = """
---
kind: HTTPRouteGroup
metadata: {name: fox, namespace: d}
spec: {matches: [{name: x, headers: {user-agent: '.*Firefox.*'}}, {name: y, pathRegex: /beta}]}
"""
FOX = ", matches: [{kind: HTTPRouteGroup, name: fox}]"


@pytest.fixture
def route(read: Read, request_to: RequestTo) -> Callable[..., Answer]:
    """Return a function that asks for d/web in a fleet of three Services plus more YAML."""

    def route(text: str, port: int = 8080, *, reading: Reading = Reading(), world: str = FLEET, **more: Any) -> Answer:
        asked = request_to("d/client", "service:d/web", port, **more)
        return read(text, world=world, reading=reading).judge(asked)

    return route


Route = Callable[..., Answer]


@pytest.mark.parametrize(
    ("backends", "weights"),
    [
        (f"[{V1}, {V2}]", {"v1": "9/10", "v2": "1/10"}),
        (f"[{V2}, {V1}]", {"v1": "9/10", "v2": "1/10"}),
        ("[{service: v1, weight: 1000}, {service: v2, weight: 500}]", {"v1": "2/3", "v2": "1/3"}),
        ("[{service: v1, weight: 50.0}, {service: v2, weight: 0}]", {"v1": "1"}),
        ("[{service: v1, weight: 1}, {service: gone, weight: 0}]", {"v1": "1"}),
        ("[{service: v1, weight: 1}, {service: gone, weight: 9}]", {"v1": "1"}),
        (
            "[{service: v1, weight: 3}, {service: v1.d, weight: 2}, {service: v2, weight: 5}]",
            {"v1": "1/2", "v2": "1/2"},
        ),
        ("[{service: v1.d.svc, weight: 1}]", {"v1": "1"}),
        ("[{service: v1.d.svc.cluster.local, weight: 1}]", {"v1": "1"}),
    ],
)
def test_weights(route: Route, backends: str, weights: dict[str, str]) -> None:
    """Shares are exact, zero is zero, missing backends leave their share to the others."""
    answer = route(split(backends))
    assert (answer.route, answer.weights) == ("split", weights)


@pytest.mark.parametrize(
    "backends",
    [
        "[]",
        "null",
        "[{service: v1, weight: 0.5}]",
        "[{service: v1, weight: '50'}]",
        "[{service: v1, weight: -1}]",
        "[{service: v1, weight: true}]",
        "[{service: v1, weight: .inf}]",
        "[{service: v1, weight: .nan}]",
        "[{service: v1, weight: 9223372036854775808}]",
        "[{service: v1}]",
        "[{weight: 1}]",
        "[{service: v1, weight: 1, matches: []}]",
        "[{service: v1.e, weight: 1}]",
        "[{service: v1.d.svc.example.org, weight: 1}]",
        "[{service: v1.d., weight: 1}]",
    ],
)
def test_invalid_split_leaves_the_root(route: Route, backends: str) -> None:
    """An invalid split is as good as none: the root serves everything."""
    answer = route(split(backends))
    assert (answer.route, answer.weights) == ("root", {"web": "1"})


@pytest.mark.parametrize(
    "backends",
    [
        "[{service: v1, weight: 0}]",
        "[{service: v1, weight: 0}, {service: v2, weight: 0}]",
        "[{service: gone, weight: 1}]",
    ],
)
def test_split_without_a_serving_backend(route: Route, backends: str) -> None:
    """A split that applies but has nobody to serve is unavailable, it does not fall back to the root."""
    answer = route(split(backends))
    assert answer == Answer("deny", route="unavailable", weights={}, backends={})


def test_missing_service_and_port(route: Route) -> None:
    """A call to a Service or a port that does not exist reaches nobody."""
    assert route("", world="").route == "no-service"
    assert route("", 8081).route == "no-port"
    assert route("", 8080, protocol="udp").route == "no-port"
    external = FLEET.replace("{selector: {app: web}, ports", "{type: ExternalName, ports")
    assert route("", world=external).route == "no-port"


def test_caller_from_outside_is_not_split(read: Read, request_to: RequestTo) -> None:
    """Clients in the mesh carry splits out; a caller from outside reaches the root."""
    judge = read(split(f"[{V1}]"), world=FLEET).judge
    asked = {src: judge(request_to(src, "service:d/web", 8080)).route for src in ("outside", "d/x", "spiffe://o/x")}
    assert asked == {"outside": "root", "d/x": "split", "spiffe://o/x": "split"}


def test_backend_counts_by_port_and_transport(route: Route) -> None:
    """A backend serves a port only if it has the same number on the same transport."""
    world = service("web", "[{port: 53, protocol: UDP}, {name: t, port: 53}]") + service("v1", "[{port: 53}]")
    world += service("v2", "[{port: 53, protocol: UDP}, {name: t, port: 54}]")
    text = split(f"[{V1}, {V2}]")
    assert route(text, 53, protocol="tcp", world=world).weights == {"v1": "1"}
    assert route(text, 53, protocol="udp", world=world).weights == {"v2": "1"}


def test_split_is_not_followed(route: Route, read: Read, request_to: RequestTo) -> None:
    """A backend is served by its own endpoints, although calls to it are split themselves; cycles end."""
    text = split("[{service: v1, weight: 1}]") + split("[{service: web, weight: 1}]", "t", root="v1")
    assert route(text).weights == {"v1": "1"}
    asked = request_to("d/client", "service:d/v1", 8080)
    assert read(text, world=FLEET).judge(asked).weights == {"web": "1"}


@pytest.mark.parametrize("root", ["web", "web.d", "web.d.svc.cluster.local"])
def test_a_root_among_the_backends_means_its_own_endpoints(route: Route, root: str) -> None:
    """With its weight; the strict reading takes such a split for none."""
    text = split(f"[{{service: {root}, weight: 1}}, {{service: v1, weight: 3}}]")
    assert route(text).weights == {"web": "1/4", "v1": "3/4"}
    assert route(text, reading=Reading(root_backend="reject")).weights == {"web": "1"}
    assert route(split("[{service: web, weight: 0}, {service: v1, weight: 3}]")).weights == {"v1": "1"}


@pytest.mark.parametrize(
    ("more", "request_words", "word"),
    [
        (FOX, {"headers": (("User-Agent", "a Firefox b"),)}, "split"),
        (FOX, {"path": "/beta?x"}, "split"),
        (FOX, {"headers": (("User-Agent", "other"),)}, "root"),
        (FOX, {"path": "/beta", "protocol": "tcp"}, "root"),
        (", matches: []", {"path": "/beta"}, "root"),
        (", matches: [{kind: HTTPRouteGroup, name: gone}]", {"path": "/beta"}, "root"),
        (", matches: [{kind: TCPRoute, name: fox}]", {"path": "/beta"}, "root"),
        (", matches: [{kind: TCPRoute, name: x}, {kind: HTTPRouteGroup, name: fox}]", {"path": "/beta"}, "split"),
        (", matches: [{kind: HTTPRouteGroup, name: fox, apiGroup: specs.smi-spec.io}]", {"path": "/beta"}, "split"),
        (", matches: [{kind: HTTPRouteGroup, name: fox, apiGroup: ''}]", {"path": "/beta"}, "split"),
        (", matches: [{kind: HTTPRouteGroup, name: fox, apiGroup: x}]", {"path": "/beta"}, "root"),
        (", matches: [{kind: HTTPRouteGroup, name: fox, matches: [x]}]", {"path": "/beta"}, "root"),
        (", matches: null", {"path": "/beta"}, "root"),
    ],
)
def test_conditional_split(route: Route, more: str, request_words: dict[str, object], word: str) -> None:
    """A conditional split shares only HTTP requests that a match of one of its groups admits."""
    assert route(GROUP + split(f"[{V1}]", more=more), **request_words).route == word


def test_condition_on_a_tcp_port(route: Route) -> None:
    """On a port declared as TCP no condition is ever met; without a declaration it is."""
    text = GROUP + split(f"[{V1}]", more=FOX)
    opaque = FLEET.replace("name: http, port", "name: tcp, port")
    undeclared = FLEET.replace("name: http, port", "port")
    assert [route(text, path="/beta", world=world).route for world in (opaque, undeclared)] == ["root", "split"]


@pytest.mark.parametrize("version", ["v1alpha1", "v1alpha2"])
def test_condition_in_old_versions(route: Route, version: str) -> None:
    """v1alpha1 and v1alpha2 have no matches: the object is invalid, never unconditional."""
    text = GROUP + split(f"[{V1}]", more=FOX, version=version)
    assert route(text, path="/beta").route == "root"


def test_layers_of_one_root(read: Read, request_to: RequestTo) -> None:
    """Conditional splits come first, oldest first; then the oldest unconditional one; no timestamp is oldest."""

    def created(text: str, moment: str) -> str:
        return text.replace("namespace: d}", f"namespace: d, creationTimestamp: '{moment}'}}")

    young = created(split(f"[{V1}]", "a-young"), "2024-01-02T00:00:00Z")
    old = created(split(f"[{V2}]", "b-old"), "2024-01-02T00:30:00.5+01:00")
    ageless = split("[{service: v1, weight: 1}]", "z")
    conditional = created(split(f"[{V1}]", "c", more=FOX), "2025-01-01T00:00:00Z")
    judge = read(FLEET + GROUP + young + old).judge
    assert judge(request_to("d/x", "service:d/web", 8080)).weights == {"v2": "1"}
    judge = read(FLEET + GROUP + young + old + ageless).judge
    assert judge(request_to("d/x", "service:d/web", 8080)).weights == {"v1": "1"}
    judge = read(FLEET + GROUP + old + conditional).judge
    asked = [judge(request_to("d/x", "service:d/web", 8080, path=path)).weights for path in ("/beta", "/x")]
    assert asked == [{"v1": "1"}, {"v2": "1"}]


def test_quantities_of_v1alpha1(route: Route) -> None:
    """v1alpha1 weights are quantities."""
    text = split("[{service: v1, weight: 1}, {service: v2, weight: 500m}]", version="v1alpha1")
    assert route(text).weights == {"v1": "2/3", "v2": "1/3"}


@pytest.mark.parametrize(
    ("written", "weight"),
    [
        ("500m", Fraction(1, 2)),
        ("1e3", Fraction(1000)),
        ("1E-2", Fraction(1, 100)),
        ("1E", Fraction(10**18)),
        ("2Ki", Fraction(2048)),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("+1", Fraction(1)),
        ("-0", Fraction(0)),
        (0.1, Fraction(1, 10)),
        (7, Fraction(7)),
    ],
)
def test_quantity(written: object, weight: Fraction) -> None:
    """A quantity is an exact number."""
    assert quantity_weight(written) == weight


@pytest.mark.parametrize(
    "written",
    [
        "",
        "m",
        "1 ",
        "1\n",
        "-1",
        "1K",
        "1e",
        "0x1",
        "１",
        "1e999999999",
        "1" * 65,
        True,
        None,
        [],
        1e300,
        float("nan"),
    ],
)
def test_quantity_that_is_none(written: object) -> None:
    """Other text, negatives, booleans and values out of range are refused, in bounded time."""
    with pytest.raises(Invalid):
        quantity_weight(written)


def test_huge_weights(route: Route) -> None:
    """Weights that are too long to be written in decimals void the split, the largest of the others stay exact."""
    text = split(f"[{{service: v1, weight: 0x{'f' * 5_000}}}, {{service: v2, weight: 1}}]", version="v1alpha1")
    assert route(text).route == "root"
    text = split(f"[{{service: v1, weight: {'9' * 18}}}, {{service: v2, weight: 1n}}]", version="v1alpha1")
    assert route(text).weights == {"v1": f"{'9' * 18}{'0' * 9}/{'9' * 18}{'0' * 8}1", "v2": f"1/{'9' * 18}{'0' * 8}1"}


def test_whole_weight_limits() -> None:
    """Whole weights reach from 0 to below 2^63."""
    assert whole_weight(2**63 - 1) == 2**63 - 1
    with pytest.raises(Invalid):
        whole_weight(2**63)
