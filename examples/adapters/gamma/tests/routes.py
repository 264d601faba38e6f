"""Routes as Gateway API's pages write them, and Services around them."""

from __future__ import annotations

import json
from typing import Any

from hub.api import Destination, NativeObject, ObjectRef, Request, Role, Source

GROUP = "gateway.networking.k8s.io"
POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: {0}-0, namespace: store, labels: {{app: {0}}}}}
spec: {{serviceAccountName: {0}, containers: [{{name: a, ports: [{{containerPort: 8080}}, {{containerPort: 9000}}]}}]}}
---
apiVersion: v1
kind: Service
metadata: {{name: {0}, namespace: store}}
spec:
  selector: {{app: {0}}}
  ports: [{{name: http, port: 80, targetPort: 8080}}, {{name: grpc, port: 90, targetPort: 9000}}]
---
"""
WORLD = "".join(POD.format(name) for name in ("foo", "foo-v2"))


def ref(name: str, weight: int | None = None, port: int = 80) -> dict[str, Any]:
    """A backendRef, with what the API fills in left out."""
    return {"name": name, "port": port} | ({} if weight is None else {"weight": weight})


def route(kind: str, *rules: Any, port: int | None = 80, name: str = "r") -> NativeObject:
    """A route that is bound to the Service foo."""
    parent: dict[str, Any] = {"group": "", "kind": "Service", "name": "foo"}
    parent |= {} if port is None else {"port": port}
    body = {
        "apiVersion": f"{GROUP}/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "store"},
        "spec": {"parentRefs": [parent], "rules": list(rules)},
    }
    return NativeObject(ObjectRef(GROUP, kind, "store", name), Role.ROUTE, json.dumps(body).encode())


def rule(refs: list[Any], *matches: Any) -> dict[str, Any]:
    """A rule with these matches, or none."""
    return {"backendRefs": refs} | ({"matches": list(matches)} if matches else {})


def path(value: str, kind: str = "PathPrefix", **more: Any) -> dict[str, Any]:
    """A match of a path."""
    return {"path": {"type": kind, "value": value}, **more}


def call(path: str = "/", port: int = 80, **parts: Any) -> Request:
    """A call of the Service foo."""
    source = parts.pop("src", Source(identity="store/web"))
    return Request(source, Destination(service="store/foo"), port, path=path, **parts)
