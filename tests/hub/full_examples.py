"""A full document of every kind and version that smihub reads, with everything that it points to: nothing is left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from msgspec import Struct

# ------------------------------------------------------------------------------------------------ what is pointed to

PLACES = """
apiVersion: v1
kind: Service
metadata: {name: api, namespace: d}
spec: {selector: {app: api}, ports: [{name: http-main, port: 8080}, {name: http-admin, port: 9090, targetPort: admin}]}
"""
SERVICE = "{apiVersion: v1, kind: Service, metadata: {name: %s, namespace: d}, spec: {ports: [{port: 8080}]}}"
SERVICES = (PLACES, *(SERVICE % name for name in ("root", "v1", "v2", "v3")))
POD = """
apiVersion: v1
kind: Pod
metadata: {name: api-0, namespace: d, labels: {app: api, track: canary}}
spec:
  serviceAccountName: api
  containers:
  - name: main
    ports: [{containerPort: 9090, name: admin}, {containerPort: 5432}, {containerPort: 6379}, {containerPort: 7000}]
"""
GROUP = """
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: r, namespace: d}
spec: {matches: [{name: a, pathRegex: /api, methods: [GET]}, {name: b, pathRegex: /b}]}
"""
ROUTE = """
apiVersion: specs.smi-spec.io/v1alpha4
kind: %s
metadata: {name: %s, namespace: d}
spec: {matches: {ports: [%s]}}
"""
SPECS = (GROUP, ROUTE % ("TCPRoute", "t", "5432, 6379"), ROUTE % ("TCPRoute", "limit", "8080, 5432"))
UDP = ROUTE % ("UDPRoute", "u", 53)
GRANT = """
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: grant, namespace: d}
spec:
  destination: {kind: %s, name: %s, namespace: d}
  rules: [%s]
  sources: [{kind: %s, name: %s, namespace: d}]
"""
API, WEB, IB = ("ServiceAccount", "api"), ("ServiceAccount", "web"), ("IdentityBinding", "ib")
MATCH_A, MATCH_B = "{kind: HTTPRouteGroup, name: r, matches: [a]}", "{kind: HTTPRouteGroup, name: r, matches: [a, b]}"
TCP_RULE, LIMIT_RULE, UDP_RULE = (
    "{kind: TCPRoute, name: t}",
    "{kind: TCPRoute, name: limit}",
    "{kind: UDPRoute, name: u}",
)
EVERY_PORT = "{apiVersion: specs.smi-spec.io/v1alpha4, kind: TCPRoute, metadata: {name: t, namespace: d}, spec: {}}"
RIVAL = """
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: rival, namespace: d, creationTimestamp: "2024-02-01T00:00:00Z"}
spec: {service: root, backends: [{service: v3, weight: 1}]%s}
"""

# ------------------------------------------------------------------------------------------------ full examples

NAMES = {"HTTPRouteGroup": "r", "TCPRoute": "t", "UDPRoute": "u", "IdentityBinding": "ib"}
HEAD = """
apiVersion: %s
kind: %s
metadata: {name: %s, namespace: d, labels: {team: a}, annotations: {note: a}}
status: {seen: a}
"""
TARGET = """
destination: {kind: ServiceAccount, name: api, namespace: d%s}
%s: [%s]
sources: [{kind: ServiceAccount, name: web, namespace: d%s}, {kind: ServiceAccount, name: pay, namespace: x}]
"""
MATCHES = """
matches:
- {name: a, pathRegex: /api, methods: [GET, POST], headers: %s}
- {name: b, pathRegex: /b}
"""
HEADER_MAP, HEADER_LIST = "{x-tier: gold, x-zone: eu}", "[{x-tier: gold}, {x-zone: eu}]"
PORTS = "matches: {ports: [5432, 6379]}"
BACKENDS = """
service: root
backends: [{service: v1, weight: %s}, {service: v2, weight: %s}]
"""
CONDITION = "matches: [{kind: HTTPRouteGroup, name: r, apiGroup: specs.smi-spec.io}]"
OLDER, YOUNGER = "2024-01-01T00:00:00Z", "2024-03-01T00:00:00Z"
ACCOUNTS = """
schemes:
  serviceAccount: web
  spiffeIdentities: ["spiffe://cluster.local/ns/d/sa/pay", "spiffe://partner.example/billing"]
"""
LABELS = "schemes: {podLabelSelector: {matchLabels: {app: api, track: canary}}}"
WORKLOAD = """
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {name: vm, namespace: d, labels: {app: api}}
status: {seen: a}
spec:
  serviceAccount: api
  addresses: [10.0.0.7]
  bind: 10.0.0.8
  ports:
  - {port: 5432, protocol: TCP, appProtocol: http, appAddress: 127.0.0.2, appPort: 15432}
  - {port: 7070, name: admin}
  upstreams:
  - {service: d/v1, port: 8080, address: 127.0.0.3, localPort: 9001, shared: host}
  - {service: d/v1, port: 8080, path: /run/vm/v1.sock}
"""


class Example(Struct, frozen=True):
    """A full document of one kind and version, and what else is there."""

    name: str
    text: str
    around: tuple[str, ...]

    @property
    def subject(self) -> Any:
        """The document whose fields are changed."""
        return yaml.load(self.text, yaml.CSafeLoader)

    @property
    def others(self) -> list[Any]:
        """The documents beside it."""
        return [value for text in self.around for value in yaml.load_all(text, yaml.CSafeLoader)]


def _example(api: str, kind: str, body: str, around: tuple[str, ...], word: str = "") -> Example:
    """Under `spec`, as all but the oldest versions have it."""
    return _flat(api, kind, "spec:" + f"\n{body.strip()}".replace("\n", "\n  "), around, word)


def _flat(api: str, kind: str, body: str, around: tuple[str, ...], word: str = "") -> Example:
    """With its fields beside `metadata`, or without any."""
    name = "-".join(part for part in (kind, api.partition("/")[2], word) if part)
    return Example(name, HEAD % (api, kind, NAMES.get(kind, "own")) + body, (*SERVICES, POD, *around))


def _targets() -> Iterator[Example]:
    group, kind, port, core = "access.smi-spec.io/", "TrafficTarget", ", port: %d", ", group: core"
    for rule, number, word in ((MATCH_A, 8080, "http"), (TCP_RULE, 5432, "raw")):
        yield _flat(f"{group}v1alpha1", kind, TARGET % (port % number, "specs", rule, ""), SPECS, word)
        yield _example(f"{group}v1alpha2", kind, TARGET % (port % number, "rules", rule, ""), SPECS, word)
    for version, extra in (("v1alpha3", ""), ("v1alpha4", core)):
        http, raw = f"{MATCH_A}, {LIMIT_RULE}", f"{TCP_RULE}, {UDP_RULE}"
        yield _example(group + version, kind, TARGET % (extra, "rules", http, extra), SPECS, "http")
        yield _example(group + version, kind, TARGET % (extra, "rules", raw, extra), (*SPECS, UDP), "raw")


def _specs() -> Iterator[Example]:
    group, granted = "specs.smi-spec.io/", (GRANT % (*API, MATCH_B, *WEB),)
    yield _flat(f"{group}v1alpha1", "HTTPRouteGroup", MATCHES % HEADER_LIST, granted)
    yield _flat(f"{group}v1alpha2", "HTTPRouteGroup", MATCHES % HEADER_MAP, granted)
    yield _example(f"{group}v1alpha3", "HTTPRouteGroup", MATCHES % HEADER_LIST, granted)
    yield _example(f"{group}v1alpha4", "HTTPRouteGroup", MATCHES % HEADER_MAP, granted)
    split = (RIVAL % f", {CONDITION}",)
    yield _example(f"{group}v1alpha4", "HTTPRouteGroup", MATCHES % HEADER_LIST, split, "condition")
    granted = (GRANT % (*API, TCP_RULE, *WEB),)
    yield _flat(f"{group}v1alpha1", "TCPRoute", "", granted)
    yield _flat(f"{group}v1alpha2", "TCPRoute", "", granted)
    yield _flat(f"{group}v1alpha3", "TCPRoute", "spec: {}", granted)
    yield _example(f"{group}v1alpha4", "TCPRoute", PORTS, granted)
    yield _example(f"{group}v1alpha4", "UDPRoute", PORTS, (GRANT % (*API, UDP_RULE, *WEB),))


def _splits() -> Iterator[Example]:
    """One that wins over its rival, or as a layer comes after it; so its age counts."""
    group, rival = "split.smi-spec.io/", RIVAL % ""
    yield _aged(_example(f"{group}v1alpha1", "TrafficSplit", BACKENDS % ('"1"', "500m"), (rival,)), OLDER)
    yield _aged(_example(f"{group}v1alpha2", "TrafficSplit", BACKENDS % (90, 10), (rival,)), OLDER)
    rival = RIVAL % f", {CONDITION}"
    for version in ("v1alpha3", "v1alpha4"):
        body = BACKENDS % (90, 10) + CONDITION
        yield _aged(_example(group + version, "TrafficSplit", body, (GROUP, rival)), YOUNGER)


def _aged(example: Example, created: str) -> Example:
    text = example.text.replace("namespace: d,", f'namespace: d, creationTimestamp: "{created}",')
    return Example(example.name, text, example.around)


def _bindings() -> Iterator[Example]:
    api, to_api, to_ib = "access.smi-spec.io/v1alpha4", GRANT % (*API, MATCH_B, *IB), GRANT % (*IB, MATCH_B, *WEB)
    yield _example(api, "IdentityBinding", ACCOUNTS, (GROUP, to_api), "accounts")
    yield _example(api, "IdentityBinding", LABELS, (GROUP, to_ib), "destination")
    yield _example(api, "IdentityBinding", LABELS, (GROUP, to_api), "source")


def _workloads() -> Iterator[Example]:
    granted = (GRANT % (*API, TCP_RULE, *WEB)).replace("name: grant", "name: raw")
    yield Example("Workload-v1alpha1", WORKLOAD, (*SERVICES, GROUP, EVERY_PORT, GRANT % (*API, MATCH_B, *WEB), granted))


EXAMPLES = (*_targets(), *_specs(), *_splits(), *_bindings(), *_workloads())
