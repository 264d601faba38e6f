"""The folder that the benchmarks read: a company of many small applications, in several SMI versions.

One application is four SMI objects (TrafficTarget, HTTPRouteGroup, TCPRoute, TrafficSplit) and the Kubernetes facts that
they need (three Services, two Pods, a ServiceAccount). Applications call their neighbours.
"""

from __future__ import annotations

from pathlib import Path

SMI_PER_APP = 4

_APP = """\
apiVersion: v1
kind: ServiceAccount
metadata: {{name: app-{n}, namespace: team-{t}}}
---
apiVersion: v1
kind: Service
metadata: {{name: app-{n}, namespace: team-{t}}}
spec: {{selector: {{app: app-{n}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: app-{n}-v1, namespace: team-{t}}}
spec: {{selector: {{app: app-{n}, version: v1}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: app-{n}-v2, namespace: team-{t}}}
spec: {{selector: {{app: app-{n}, version: v2}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: v1
kind: Pod
metadata: {{name: app-{n}-v1-1, namespace: team-{t}, labels: {{app: app-{n}, version: v1}}}}
spec: {{serviceAccountName: app-{n}, containers: [{{name: app, ports: [{{containerPort: 8080}}]}}]}}
status: {{podIP: "10.{a}.{b}.1"}}
---
apiVersion: v1
kind: Pod
metadata: {{name: app-{n}-v2-1, namespace: team-{t}, labels: {{app: app-{n}, version: v2}}}}
spec: {{serviceAccountName: app-{n}, containers: [{{name: app, ports: [{{containerPort: 8080}}]}}]}}
status: {{podIP: "10.{a}.{b}.2"}}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {{name: app-{n}, namespace: team-{t}}}
spec:
  matches:
  - {{name: read, pathRegex: "/v1/items(/[0-9]+)?", methods: [GET, HEAD]}}
  - {{name: write, pathRegex: "/v1/items/[0-9]+", methods: [PUT], headers: {{x-tier: "gold.*"}}}}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {{name: app-{n}, namespace: team-{t}}}
spec: {{matches: {{ports: [8080]}}}}
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {{name: app-{n}, namespace: team-{t}}}
spec:
  destination: {{kind: ServiceAccount, name: app-{n}, namespace: team-{t}}}
  rules: [{{kind: HTTPRouteGroup, name: app-{n}}}, {{kind: TCPRoute, name: app-{n}}}]
  sources: [{{kind: ServiceAccount, name: app-{next}, namespace: team-{nt}}}]
---
apiVersion: split.smi-spec.io/v1alpha2
kind: TrafficSplit
metadata: {{name: app-{n}, namespace: team-{t}}}
spec: {{service: app-{n}, backends: [{{service: app-{n}-v1, weight: {weight}}}, {{service: app-{n}-v2, weight: 10}}]}}
"""


def app(number: int, count: int, weight: int = 90) -> str:
    """The YAML of one application; `weight` is the share of its first version beside 10 of the second."""
    following = (number + 1) % count
    return _APP.format(
        n=number, t=number % 50, next=following, nt=following % 50, weight=weight, a=number // 250 % 250, b=number % 250
    )


def write(folder: Path, smi_objects: int) -> int:
    """Write a folder of about this many SMI objects, one file per application; gives the number of applications."""
    count = max(2, smi_objects // SMI_PER_APP)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"app-{number}.yaml").write_text(app(number, count))
    return count
