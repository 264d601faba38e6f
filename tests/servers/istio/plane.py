"""The control plane: a real etcd, a real kube-apiserver with Istio's types, and a real istiod, all on loopback."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from msgspec import Struct

from tests.servers.go_servers import CRDS, built
from tests.servers.istio.build import ETCD, ISTIOD, KUBE_APISERVER
from tests.servers.istio.kube import Kube
from tests.servers.istio.namespaces import SERVICE_RANGE
from tests.servers.ports import free_ports
from tests.servers.processes import Program, start, wait_until

ROOT_NAMESPACE = "istio-system"
ISTIO_VERSION = "1.31.0"
_TOKEN = "test-administrator"
_WANTED = re.compile(r"(authorizationpolicies|peerauthentications|virtualservices)\.")
_SETTINGS = {
    "POD_NAMESPACE": ROOT_NAMESPACE,
    "POD_NAME": "istiod",
    "REVISION": "default",
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",  # a filter of Istio's own Envoy build
    "PILOT_ENABLE_ALPN_FILTER": "false",  # so is this one
    "PILOT_DEBOUNCE_AFTER": "50ms",
    "PILOT_DEBOUNCE_MAX": "500ms",
}


class ControlPlane:
    """The running servers: a client of the API server, where istiod serves xDS, and its debug pages."""

    def __init__(self, kube: Kube, xds_port: int, http_port: int, metrics_port: int, programs: list[Program]) -> None:
        self.kube = kube
        self.xds_port = xds_port
        self.programs = programs
        self._debug = f"http://127.0.0.1:{http_port}/debug"
        self._metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        self._http = httpx.Client(timeout=10)

    def page(self, name: str) -> Any:
        """A debug page of istiod, decoded."""
        return json.loads(self._http.get(f"{self._debug}/{name}").raise_for_status().text)

    def metric(self, name: str) -> float:
        """The sum of a metric of istiod over all its labels; 0 if it was never set."""
        lines = self._http.get(self._metrics).raise_for_status().text.splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}(\{{| )", line))

    def versions(self) -> dict[tuple[str, str, str], str]:
        """What istiod knows of Istio's own objects: the resource version by kind, namespace and name."""
        found = self.page("configz")
        return {
            (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]): one["metadata"].get(
                "resourceVersion", ""
            )
            for one in found or []
        }

    def close(self) -> None:
        """Close what it holds; the servers are ended by who started them."""
        self._http.close()


@contextmanager
def control_plane(folder: Path, settings: Mapping[str, Any] | None = None) -> Iterator[ControlPlane]:
    """Run a control plane while the block lasts; everything it writes is below the folder. `settings` are of Istio's MeshConfig."""
    ports = dict(zip(("xds", "http", "metrics", "ctrlz"), free_ports(4), strict=True))
    with api_server(folder) as server, ExitStack() as stack:
        _add_types(server.kube)
        istiod = _running(stack, _istiod(folder, {**ports, "api": server.port}, settings or {}))
        plane = ControlPlane(server.kube, ports["xds"], ports["http"], ports["metrics"], [*server.programs, istiod])
        stack.callback(plane.close)
        ready = f"http://127.0.0.1:{ports['http']}/ready"
        wait_until("istiod is ready", lambda: _answers(ready), 60, istiod, *server.programs)
        yield plane


class ApiServer(Struct, frozen=True):
    """A running API server: its port, an administrator's client, how to get another user's, and what runs for it."""

    port: int
    kube: Kube
    client: Callable[[str], Kube]
    programs: tuple[Program, ...]


@contextmanager
def api_server(folder: Path, users: Sequence[str] = ()) -> Iterator[ApiServer]:
    """Run an API server alone while the block lasts. Further users may do nothing until RBAC lets them."""
    ports = dict(zip(("etcd", "peer", "api"), free_ports(3), strict=True))
    with ExitStack() as stack:
        etcd = _running(stack, _etcd(folder, ports))
        server = _running(stack, _api_server(folder, ports, users))
        certificate = folder / "certificates" / "apiserver.crt"
        wait_until("the API server has a certificate", lambda: _is_whole(certificate), 60, etcd, server)

        def client(token: str) -> Kube:
            made = Kube(f"https://127.0.0.1:{ports['api']}", token, certificate)
            stack.callback(made.close)
            return made

        kube = client(_TOKEN)
        wait_until("the API server is ready", kube.is_ready, 60, etcd, server)
        yield ApiServer(ports["api"], kube, client, (etcd, server))


def _running(stack: ExitStack, program: Program) -> Program:
    stack.callback(program.kill)
    return program


def _etcd(folder: Path, ports: Mapping[str, int]) -> Program:
    client, peer = f"http://127.0.0.1:{ports['etcd']}", f"http://127.0.0.1:{ports['peer']}"
    options = {
        "data-dir": folder / "etcd",
        "listen-client-urls": client,
        "advertise-client-urls": client,
        "listen-peer-urls": peer,
        "initial-advertise-peer-urls": peer,
        "initial-cluster": f"default={peer}",
        "log-level": "warn",
    }
    line: list[str | Path] = [
        built(ETCD).binary,
        "--unsafe-no-fsync",
        *(f"--{key}={value}" for key, value in options.items()),
    ]
    return start(line, folder / "etcd.log")


def _api_server(folder: Path, ports: Mapping[str, int], users: Sequence[str]) -> Program:
    key, tokens = folder / "accounts.key", folder / "tokens.csv"
    key.write_bytes(_signing_key())
    others = "".join(f"{user},{user},{user}\n" for user in users)
    tokens.write_text(f'{_TOKEN},administrator,administrator,"system:masters"\n{others}', encoding="utf-8")
    options = {
        "etcd-servers": f"http://127.0.0.1:{ports['etcd']}",
        "bind-address": "127.0.0.1",
        "advertise-address": "127.0.0.1",
        "secure-port": ports["api"],
        "cert-dir": folder / "certificates",
        "service-account-issuer": "https://kubernetes.default.svc",
        "service-account-key-file": key,
        "service-account-signing-key-file": key,
        "service-cluster-ip-range": SERVICE_RANGE,
        "token-auth-file": tokens,
        "authorization-mode": "RBAC",
        "disable-admission-plugins": "ServiceAccount",
        "endpoint-reconciler-type": "none",
    }
    line: list[str | Path] = [built(KUBE_APISERVER).binary, *(f"--{name}={value}" for name, value in options.items())]
    return start(line, folder / "kube-apiserver.log")


def _signing_key() -> bytes:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )


def _is_whole(certificate: Path) -> bool:
    return certificate.exists() and "END CERTIFICATE" in certificate.read_text(encoding="utf-8")


def _add_types(kube: Kube) -> None:
    """Istio's types, and the namespace of its root."""
    kube.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ROOT_NAMESPACE}})
    text = (built(ISTIOD).folder / CRDS).read_text(encoding="utf-8")
    serve_types(kube, [one for one in yaml.load_all(text, yaml.CSafeLoader) if one])


def serve_types(kube: Kube, types: Sequence[Mapping[str, Any]]) -> None:
    """Add CRDs, and wait until the API server serves them."""
    for one in types:
        kube.apply(one)
    for one in types:
        wait_until(f"the API server serves {one['metadata']['name']}", lambda one=one: _serves(kube, one), 20)  # type: ignore[misc]


def _serves(kube: Kube, definition: Mapping[str, Any]) -> bool:
    found = kube.read(definition) or {}
    conditions = found.get("status", {}).get("conditions", [])
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


def _istiod(folder: Path, ports: Mapping[str, int], settings: Mapping[str, Any]) -> Program:
    kubeconfig, mesh = folder / "kubeconfig.json", folder / "mesh.yaml"
    kubeconfig.write_text(json.dumps(_kubeconfig(folder, ports["api"])), encoding="utf-8")
    discovery = {"discoveryAddress": f"127.0.0.1:{ports['xds']}"}
    config = {"accessLogFile": "", "enableTracing": False, "defaultConfig": discovery, **settings}
    mesh.write_text(yaml.safe_dump(config), encoding="utf-8")
    options = {
        "kubeconfig": kubeconfig,
        "meshConfig": mesh,
        "grpcAddr": f"127.0.0.1:{ports['xds']}",
        "httpAddr": f"127.0.0.1:{ports['http']}",
        "monitoringAddr": f"127.0.0.1:{ports['metrics']}",
        "secureGRPCAddr": "",
        "httpsAddr": "",
        "ctrlz_port": ports["ctrlz"],
        "registries": "Kubernetes",
        "clusterID": "Kubernetes",
    }
    line: list[str | Path] = [
        built(ISTIOD).binary,
        "discovery",
        *(f"--{name}={value}" for name, value in options.items()),
    ]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), **_SETTINGS}
    return start(line, folder / "istiod.log", environment=environment)


def _kubeconfig(folder: Path, port: int) -> dict[str, Any]:
    cluster = {
        "server": f"https://127.0.0.1:{port}",
        "certificate-authority": str(folder / "certificates" / "apiserver.crt"),
    }
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "test", "user": {"token": _TOKEN}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    }


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
