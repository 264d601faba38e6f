"""The folder that the benchmarks read: a company of many small applications, in several SMI versions.

One application is one file: ten SMI objects and the five Kubernetes facts that they need, so a folder of 10 000 SMI
objects has 15 000 objects in 1 000 files. The SMI objects are five TrafficTargets (its neighbours read, one of them
writes, operators watch, a backup speaks raw TCP), three HTTPRouteGroups with five, three and three matches, a TCPRoute
and a TrafficSplit. The facts are three Services and two Pods; nobody writes ServiceAccounts, the Pods name them.
Every object carries Kubernetes' recommended labels and an owner annotation, about half a kilobyte of JSON in all.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Scripts find their own folder first, and xds.py would hide the package of that name, which xDS's messages need.
sys.path.append(sys.path.pop(0))

SMI_PER_APP = 10
"""SMI objects of one application."""
FACTS_PER_APP = 5
"""Services and Pods of one application."""
TEAMS = 50
"""Namespaces."""
_CONFIG = "domain: {trustDomain: cluster.local}\nsources: [{path: manifests}]\nmeshes: [%s]\n"
CONFIG = _CONFIG % "{name: vms, adapter: vm}"
"""The smihub.yaml beside the folder `manifests`, for the VM mesh."""
CONFIGS = {
    "vm": CONFIG,
    "istio": _CONFIG % "{name: istio, adapter: istio, sink: {kind: directory, path: rendered}}",
}
FOUR = """\
domain: {trustDomain: cluster.local}
sources: [{path: manifests}]
meshes:
- {name: vm, adapter: vm}
- {name: istio, adapter: istio, sink: {kind: directory, path: istio}}
- {name: linkerd, adapter: linkerd, sink: {kind: directory, path: linkerd}}
- {name: consul, adapter: consul, sink: {kind: directory, path: consul}}
"""
"""Four meshes at once."""
CONFIGS["four"] = FOUR

_FACTS = """\
apiVersion: v1
kind: Service
metadata: {{name: app-{n}, namespace: team-{t}, {labels}}}
spec: {{selector: {{app: app-{n}}}, ports: [{{name: http, port: 80, targetPort: 8080}}, {{name: tcp-backup, port: 9000}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: app-{n}-v1, namespace: team-{t}, {labels}}}
spec: {{selector: {{app: app-{n}, version: v1}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: app-{n}-v2, namespace: team-{t}, {labels}}}
spec: {{selector: {{app: app-{n}, version: v2}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: app-{n}-v1-1, namespace: team-{t}, {labels_v1}}}
spec: {{serviceAccountName: app-{n}, containers: [{{name: app, ports: [{{containerPort: 8080}}, {{containerPort: 9000}}]}}]}}
status: {{podIP: "10.{a}.{b}.1"}}
---
apiVersion: v1
kind: Pod
metadata: {{name: app-{n}-v2-1, namespace: team-{t}, {labels_v2}}}
spec: {{serviceAccountName: app-{n}, containers: [{{name: app, ports: [{{containerPort: 8080}}, {{containerPort: 9000}}]}}]}}
status: {{podIP: "10.{a}.{b}.2"}}
"""

_SPECS = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {{name: app-{n}-items, namespace: team-{t}, {labels}}}
spec:
  matches:
  - name: list
    pathRegex: /v1/items
    methods: [GET, HEAD]
  - name: read
    pathRegex: "/v1/items/[0-9]+"
    methods: [GET, HEAD]
  - name: write
    pathRegex: "/v1/items/[0-9]+"
    methods: [PUT, PATCH]
  - name: create
    pathRegex: /v1/items
    methods: [POST]
  - name: remove
    pathRegex: "/v1/items/[0-9]+"
    methods: [DELETE]
    headers:
      x-tier: "gold.*"
---
apiVersion: specs.smi-spec.io/v1alpha3
kind: HTTPRouteGroup
metadata: {{name: app-{n}-orders, namespace: team-{t}, {labels}}}
spec:
  matches:
  - name: own
    pathRegex: "/v1/users/[a-z0-9-]+/orders"
    methods: [GET]
  - name: place
    pathRegex: /v1/orders
    methods: [POST]
  - name: any
    pathRegex: "/v1/orders/.*"
    methods: ["*"]
---
apiVersion: specs.smi-spec.io/v1alpha2
kind: HTTPRouteGroup
metadata: {{name: app-{n}-health, namespace: team-{t}, {labels}}}
matches:
- name: live
  pathRegex: /healthz
  methods: [GET]
- name: ready
  pathRegex: /readyz
  methods: [GET]
- name: metrics
  pathRegex: /metrics
  methods: [GET]
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {{name: app-{n}-backup, namespace: team-{t}, {labels}}}
spec:
  matches:
    ports: [9000]
"""

_COMMON = "app.kubernetes.io/name: app-{n}, app.kubernetes.io/part-of: shop-{t}, app.kubernetes.io/managed-by: argocd"
_LABELS = "labels: {{%s}}, annotations: {{example.com/owner: team-{t}@example.com}}"

_TARGET = """\
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {{name: app-{n}-{what}, namespace: team-{t}, {labels}}}
spec:
  destination:
    kind: ServiceAccount
    name: app-{n}
    namespace: team-{t}
  rules:
  - {{kind: {kind}, name: app-{n}-{rule}{matches}}}
  sources:
{sources}"""

_SPLIT = """\
apiVersion: split.smi-spec.io/v1alpha2
kind: TrafficSplit
metadata: {{name: app-{n}, namespace: team-{t}, {labels}}}
spec:
  service: app-{n}
  backends:
  - {{service: app-{n}-v1, weight: {weight}}}
  - {{service: app-{n}-v2, weight: 10}}
"""


def app(number: int, count: int, weight: int = 90) -> str:
    """The YAML of one application, with its `split`."""
    near = [_caller((number + step) % count) for step in (1, 2, 3)]
    targets = [
        _target(number, "readers", ("HTTPRouteGroup", "items", ", matches: [list, read]"), near),
        _target(number, "writer", ("HTTPRouteGroup", "items", ", matches: [create, write, remove]"), near[:1]),
        _target(number, "shop", ("HTTPRouteGroup", "orders", ""), [near[1], _caller((number + 7) % count)]),
        _target(
            number,
            "watch",
            ("HTTPRouteGroup", "health", ""),
            ["{kind: ServiceAccount, name: prometheus, namespace: ops}"],
        ),
        _target(number, "backup", ("TCPRoute", "backup", ""), ["{kind: ServiceAccount, name: backup, namespace: ops}"]),
    ]
    values = {"a": number // 250 % 250, "b": number % 250} | _metadata(number)
    return "---\n".join((_FACTS.format(**values), _SPECS.format(**values), *targets, split(number, weight)))


def split(number: int, weight: int) -> str:
    """The YAML of an application's TrafficSplit; `weight` is the share of its first version beside 10 of the second."""
    return _SPLIT.format(weight=weight, **_metadata(number))


def _metadata(number: int) -> dict[str, object]:
    """What the templates say about an application: number, team, and the labels that manifests usually carry."""
    values: dict[str, object] = {"n": number, "t": number % TEAMS}
    for version in ("v1", "v2"):
        labels = f"app: app-{number}, version: {version}, {_COMMON}"
        values[f"labels_{version}"] = (_LABELS % labels).format(**values)
    return values | {"labels": (_LABELS % _COMMON).format(**values)}


def _caller(number: int) -> str:
    return f"{{kind: ServiceAccount, name: app-{number}, namespace: team-{number % TEAMS}}}"


def _target(number: int, what: str, rule: tuple[str, str, str], callers: list[str]) -> str:
    kind, name, matches = rule
    sources = "".join(f"  - {caller}\n" for caller in callers)
    values = {"what": what, "kind": kind, "rule": name, "matches": matches, "sources": sources}
    return _TARGET.format(**values, **_metadata(number))


def write(folder: Path, smi_objects: int) -> int:
    """Write a folder of about this many SMI objects, one file per application; gives the number of applications."""
    count = max(8, smi_objects // SMI_PER_APP)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"app-{number}.yaml").write_text(app(number, count))
    return count
