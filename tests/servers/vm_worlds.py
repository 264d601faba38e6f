"""Random worlds whose receivers are Workloads with real sidecars, and their requests as calls that can really be made."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from hub.model import Destination, Request, Source
from hub.testing.asks import Hints, any_request
from hub.testing.cluster import ACCOUNTS, LABELS
from hub.testing.found import to_yaml
from hub.testing.worlds import make_values

SERVERS = ("d/vm-0", "d/vm-1", "d/vm-2", "x/vm-3")
CALLERS = ("d/vm-0", "x/vm-3", "d/caller")
WORKLOADS = (*SERVERS, "d/caller")
PORTS = (8088, 8080, 9090, 5432)
_MOVED = {80: 8088, 3306: 9090}
FIRST_LOCAL = 20001
_MAX_UPSTREAMS = 10
_DRAWS = 40
_KINDS = {
    "Service": "v1",
    "HTTPRouteGroup": "specs.smi-spec.io/v1alpha4",
    "TCPRoute": "specs.smi-spec.io/v1alpha4",
    "TrafficTarget": "access.smi-spec.io/v1alpha3",
    "TrafficSplit": "split.smi-spec.io/v1alpha2",
}
_VERSIONED = {kind: {"apiVersion": version, "kind": kind} for kind, version in _KINDS.items()}
_NAMES = frozenset({"d", "x", "default", "api", "web", "v1", "v2", "raw", "raw-1", "raw-2"})
_HOST = re.compile(r"[a-z0-9.-]+")
_OTHERS = frozenset({"Pod", "Workload", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})
Way = Literal["sidecar", "certificate", "none", "foreign", "plaintext"]


class Plant(Struct, frozen=True):
    """A world: its objects, with `127.0.` for the addresses, and who stands where."""

    values: tuple[Any, ...]

    def texts(self, octet: int) -> dict[str, str]:
        """The files of a folder, one object each."""
        text = {f"object-{index:02}.yaml": to_yaml([value]) for index, value in enumerate(self.values)}
        return {name: one.replace("127.0.", f"127.{octet}.") for name, one in text.items()}

    @property
    def workloads(self) -> Mapping[str, Any]:
        """The spec of every Workload, by `ns/name`."""
        return {
            f"{value['metadata']['namespace']}/{value['metadata']['name']}": value["spec"]
            for value in self.values
            if isinstance(value, dict) and value.get("kind") == "Workload"
        }

    def upstream(self, workload: str, service: str, port: int) -> tuple[str, int] | None:
        """Where a workload reaches a Service port through its own sidecar (address with `127.0.`)."""
        for one in self.workloads[workload].get("upstreams", ()):
            if (one["service"], one["port"]) == (service, port):
                return one["address"], one["localPort"]
        return None


class Call(Struct, frozen=True):
    """A request and the way it is really made."""

    request: Request
    way: Way
    http2: bool = False

    @property
    def direct(self) -> bool:
        """Whether it goes straight to the receiver's sidecar."""
        return self.way != "sidecar"

    @property
    def probes(self) -> bool:
        """Whether it can be tried while one world replaces another: what arrives names its call."""
        return self.way == "certificate" and self.request.protocol == "http"


def plant(rng: Random) -> Plant:
    """Random objects about the standing Workloads."""
    drawn = [_moved(value) for value in make_values(rng) if str(value.get("kind")) not in _OTHERS]
    single = rng.randrange(3) != 0  # most often one account and one label behind everything, so that much is allowed
    workloads = [_server(rng, name, index, single=single) for index, name in enumerate(SERVERS)]
    workloads.append(_standing("d/caller", 5, rng.choice(("web", "web", "api", "pay")), {"app": "caller"}))
    if rng.randrange(4):
        drawn += _shared(rng, workloads[-1]["spec"]["serviceAccount"])
    services = sorted(set(_service_ports(drawn)))
    rng.shuffle(services)
    services.sort(key=lambda port: not port[0].startswith("d/raw"))  # the split that is surely one
    for value in workloads:
        _add_upstreams(value, services[:_MAX_UPSTREAMS])
    return Plant((*drawn, *workloads))


def _shared(rng: Random, caller: str) -> list[Any]:
    """A Service that is split among two others, and a grant on it, because chance alone seldom makes both at once."""
    kind, port = rng.choice((("http", 8080), ("tcp", 5432), ("tcp", 9090)))
    meta = {"namespace": "d", "name": "raw"}
    ports = [{"name": f"{kind}-raw", "port": 7000, "targetPort": port}]
    services = [
        {**_VERSIONED["Service"], "metadata": {**meta, "name": name}, "spec": {"selector": label, "ports": ports}}
        for name, label in (
            ("raw", {"app": "api"}),
            ("raw-1", {"app": "api"}),
            ("raw-2", rng.choice(({"app": "api"}, rng.choice(LABELS)))),
        )
    ]
    shares = [
        {"service": "raw-1", "weight": rng.choice((0, 1, 1, 2))},
        {"service": "raw-2", "weight": rng.randrange(1, 3)},
    ]
    accounts = [{"kind": "ServiceAccount", "name": name, "namespace": "d"} for name in (caller, "api")]
    route = "HTTPRouteGroup" if kind == "http" else "TCPRoute"
    every = {"matches": [{"name": "every", "pathRegex": "/.*", "methods": ["*"]}]} if kind == "http" else {}
    grant = {"destination": accounts[1], "sources": [accounts[0]], "rules": [{"kind": route, "name": "raw"}]}
    return [
        *services,
        {**_VERSIONED[route], "metadata": meta, "spec": every},
        {**_VERSIONED["TrafficTarget"], "metadata": meta, "spec": grant},
        {**_VERSIONED["TrafficSplit"], "metadata": meta, "spec": {"service": "raw", "backends": shares}},
    ]


def _moved(value: Any) -> Any:
    """The same object with ports of our applications."""
    if isinstance(value, dict):
        return {key: _moved(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_moved(item) for item in value]
    return _MOVED.get(value, value) if type(value) is int else value


def _standing(name: str, number: int, account: str, labels: Mapping[str, str]) -> dict[str, Any]:
    namespace, _, short = name.partition("/")
    return {
        "apiVersion": "smihub.io/v1alpha1",
        "kind": "Workload",
        "metadata": {"name": short, "namespace": namespace, "labels": dict(labels)},
        "spec": {"serviceAccount": account, "addresses": [f"127.0.0.{number}"]},
    }


def _server(rng: Random, name: str, index: int, *, single: bool) -> dict[str, Any]:
    tame = single and rng.randrange(5) != 0
    value = _standing(
        name, index + 1, "api" if tame else rng.choice(ACCOUNTS), {"app": "api"} if tame else rng.choice(LABELS)
    )
    ports: list[dict[str, Any]] = []
    for port in rng.sample(PORTS, rng.randrange(2, 5)):
        one: dict[str, Any] = {"port": port, "appAddress": f"127.0.1.{index + 1}"}
        if rng.randrange(3) == 0:
            one["appProtocol"] = rng.choice(("http", "tcp", "grpc", "odd"))
        if rng.randrange(4) == 0 and not any("name" in other for other in ports):
            one["name"] = rng.choice(("main", "http-a"))
        ports.append(one)
    value["spec"]["ports"] = ports
    return value


def _service_ports(values: Sequence[Any]) -> Iterator[tuple[str, int]]:
    """(ns/name, port) of every Service that can be read at a glance; a wrong guess is one upstream less."""
    for value in values:
        meta, spec = value.get("metadata"), value.get("spec")
        if value.get("kind") != "Service" or not isinstance(meta, dict) or not isinstance(spec, dict):
            continue
        names = [str(meta.get("namespace", "default")), str(meta.get("name"))]
        ports = spec.get("ports")
        for one in ports if isinstance(ports, list) and _NAMES.issuperset(names) else ():
            port = one.get("port") if isinstance(one, dict) else None
            if isinstance(port, int) and 1 <= port <= 65535:
                yield "/".join(names), port


def _add_upstreams(value: dict[str, Any], services: Sequence[tuple[str, int]]) -> None:
    name = f"{value['metadata']['namespace']}/{value['metadata']['name']}"
    if name not in CALLERS:
        return
    address = value["spec"]["addresses"][0].replace("127.0.0.", "127.0.2.")
    value["spec"]["upstreams"] = [
        {"service": service, "port": port, "address": address, "localPort": FIRST_LOCAL + index, "shared": "host"}
        for index, (service, port) in enumerate(services)
    ]


# ---------------------------------------------------------------------------------------------------------- calls


def calls(rng: Random, world: Plant, count: int, allows: Callable[[Request], bool]) -> tuple[Call, ...]:
    """Requests close to the world's boundaries, as calls that can be made; up to half of them such as SMI allows."""
    hints = Hints.of(world.values)
    drawn = [call for _ in range(count * _DRAWS) if (call := _call(rng, world, any_request(rng, hints))) is not None]
    drawn[:0] = _shared_calls(world)
    good = [call for call in drawn if allows(call.request)][: count // 2]
    chosen = {id(call) for call in good}
    strange = [_without_identity(rng, call) for call in good if call.way == "certificate"][: count // 16]
    rest = [call for call in drawn if id(call) not in chosen][: count - len(good) - len(strange)]
    found = [*good, *strange, *rest]
    rng.shuffle(found)
    return tuple(found)


def _shared_calls(world: Plant) -> Iterator[Call]:
    """Calls that go through the split of `_shared`, if that is there."""
    caller, service, port = "d/caller", "d/raw", 7000
    if world.upstream(caller, service, port):
        for protocol in ("http", "tcp"):
            request = Request(Source(pod=caller), Destination(service=service), port, protocol, "GET", "/")
            yield Call(request, "sidecar")


def _without_identity(rng: Random, call: Call) -> Call:
    """The same request by somebody who is nobody: no certificate, a foreign one, or no TLS at all."""
    outside: tuple[Way, ...] = ("none", "foreign", "plaintext")
    return Call(replace(call.request, src=Source(outside=True)), rng.choice(outside))


def _call(rng: Random, world: Plant, request: Request) -> Call | None:
    http2 = request.protocol == "http" and rng.randrange(2) == 0
    if request.protocol == "udp" or not sendable(request, http2=http2):
        return None
    if request.dst.service is not None:
        callers = [name for name in CALLERS if world.upstream(name, request.dst.service, request.port)]
        if not callers:
            return None
        return Call(replace(request, src=Source(pod=rng.choice(callers))), "sidecar", http2)
    placed = _placed(rng, world, request)
    if placed is None:
        return None
    if placed.src.outside:
        return Call(placed, rng.choice(("none", "foreign", "plaintext")))
    if spiffe_of(world, placed.src) is None:
        return None
    return Call(placed, "certificate", http2)


def _placed(rng: Random, world: Plant, request: Request) -> Request | None:
    """The same request to one Workload; None if nobody stands there."""
    if request.dst.identity is None:
        return request if request.dst.pod in SERVERS else None
    members = [name for name in SERVERS if identity(world, name) == request.dst.identity]
    return replace(request, dst=Destination(pod=rng.choice(members))) if members else None


def identity(world: Plant, workload: str) -> str:
    """The `ns/account` of a Workload."""
    return f"{workload.partition('/')[0]}/{world.workloads[workload]['serviceAccount']}"


def spiffe_of(world: Plant, source: Source) -> str | None:
    """The URI of a caller's certificate; None where there can be none."""
    if source.pod is not None and source.pod not in world.workloads:
        return None
    pair = source.identity or (identity(world, source.pod) if source.pod else None)
    if pair is None:
        return source.spiffe if source.spiffe and source.spiffe.isascii() else None
    namespace, _, account = pair.partition("/")
    return f"spiffe://cluster.local/ns/{namespace}/sa/{account}"


def sendable(request: Request, *, http2: bool) -> bool:
    """Whether the request can be written at all: HTTP/1.1 cannot carry a line's end, and Host must be a host."""
    texts = (request.method, request.path, *(part for line in request.headers for part in line))
    broken = any(char in text for text in texts for char in "\r\n\0")
    hosts = (value for name, value in request.headers if name.lower() == "host")
    return (http2 or not broken) and all(_HOST.fullmatch(value) for value in hosts)
