"""Random worlds whose callers and receivers are Workloads with real sidecars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from random import Random
from typing import Any

from msgspec import Struct

from hub.testing.cluster import ACCOUNTS, LABELS
from hub.testing.counterexamples import to_yaml
from hub.testing.damage import doubted
from hub.testing.worlds import make_values
from tests.servers.vm_grants import CALLER_LABELS, SERVER_PORTS, grant, shared

SERVERS = ("d/vm-0", "d/vm-1", "d/vm-2", "x/vm-3")
CALLERS = ("d/vm-0", "x/vm-3", "d/caller")
WORKLOADS = (*SERVERS, "d/caller")
_MOVED = {80: 8088, 3306: 9090}
FIRST_LOCAL = 20001
_MAX_UPSTREAMS = 10
_NAMES = frozenset({"d", "x", "default", "api", "web", "v1", "v2", "raw", "raw-1", "raw-2"})
_OTHERS = frozenset({"Pod", "Workload", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"})


class Plant(Struct, frozen=True):
    """A world: its objects, with `127.0.` for the addresses, and who stands where."""

    values: tuple[Any, ...]

    def texts(self, octet: int) -> dict[str, str]:
        """The files of a folder, one object each."""
        text = {f"object-{index:02}.yaml": to_yaml([value]) for index, value in enumerate(self.values)}
        return {name: one.replace("127.0.", f"127.{octet}.") for name, one in text.items()}

    @property
    def workloads(self) -> Mapping[str, Any]:
        """The spec of every standing Workload, by `ns/name`; of the last copy, where some are unequal."""
        named = {_pair(value): value["spec"] for value in self.values if value.get("kind") == "Workload"}
        return {name: named[name] for name in WORKLOADS if name in named}

    def upstream(self, workload: str, service: str, port: int) -> tuple[str, int] | None:
        """Where a workload reaches a Service port through its own sidecar (address with `127.0.`)."""
        for one in self.workloads[workload].get("upstreams", ()):
            if (one["service"], one["port"]) == (service, port):
                return one["address"], one["localPort"]
        return None


def plant(rng: Random, *, doubts: bool = True) -> Plant:
    """Random objects about the standing Workloads, one of which may not be there for certain if `doubts`."""
    drawn = [_moved(value) for value in make_values(rng) if str(value.get("kind")) not in _OTHERS]
    single = rng.randrange(3) != 0  # most often one account and one label behind everything, so that much is allowed
    workloads = [_server(rng, name, index, single=single) for index, name in enumerate(SERVERS)]
    caller = rng.choice(("web", "web", "api", "pay"))
    workloads.append(_standing("d/caller", 5, caller, CALLER_LABELS))
    if rng.randrange(8):
        drawn += shared(rng, caller)
    for number in range(rng.randrange(2, 5)):
        drawn += grant(rng, f"own-{number}", caller)
    services = sorted(set(_service_ports(drawn)))
    rng.shuffle(services)
    services.sort(key=lambda port: not port[0].startswith("d/raw"))  # the split that is surely one
    for value in workloads:
        _add_upstreams(value, services[:_MAX_UPSTREAMS])
    values = [*drawn, *workloads]
    return Plant(tuple(_with_doubt(rng, values) if doubts and rng.randrange(8) == 0 else values))


def _with_doubt(rng: Random, values: Sequence[Any]) -> list[Any]:
    """One Workload that nobody calls out from is not to be trusted; Services are such ones by themselves now and then."""
    chosen = rng.choice([value for value in values if value.get("kind") == "Workload" and _pair(value) not in CALLERS])
    return [new for value in values for new in (doubted(rng, value) if value is chosen else [value])]


def _pair(value: Any) -> str:
    return f"{value['metadata']['namespace']}/{value['metadata']['name']}"


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
    for port in rng.sample(SERVER_PORTS, rng.choice((2, 3, 4, 4, 4, 4))):
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
    if _pair(value) not in CALLERS:
        return
    address = value["spec"]["addresses"][0].replace("127.0.0.", "127.0.2.")
    value["spec"]["upstreams"] = [
        {"service": service, "port": port, "address": address, "localPort": FIRST_LOCAL + index, "shared": "host"}
        for index, (service, port) in enumerate(services)
    ]
