"""Objects of a Linkerd mesh, written as the API server takes them, and calls: what the tests of `evaluate` are made of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

from hub.api import Destination, NativeObject, ObjectRef, Request, Role, Source

Json = Any
POLICY, GATEWAY = "policy.linkerd.io", "gateway.networking.k8s.io"
OLD, NEW = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
VERSIONS = {
    "Server": "v1beta3",
    "ServerAuthorization": "v1beta1",
    "ServiceProfile": "v1alpha2",
    "HTTPRoute": "v1beta3",
    "GRPCRoute": "v1",
    "TCPRoute": "v1alpha2",
}
API, WEB, ROGUE = Destination(pod="shop/api"), "shop/web", "shop/rogue"
RAW = Source(outside=True)

AUTHZ = "https://linkerd.io/2-edge/reference/authorization-policy/"
ROUTES = "https://linkerd.io/2-edge/reference/httproute/"
SPEC = "https://gateway-api.sigs.k8s.io/reference/spec/"
INDEX = "https://github.com/linkerd/linkerd2/blob/main/policy-controller/k8s/index/src/inbound/routes.rs"
MTLS = "https://linkerd.io/2-edge/features/automatic-mtls/"
SEEN = "observed on Linkerd edge-26.8"


def native(kind: str, name: str, spec: Json, group: str = POLICY, **metadata: Json) -> NativeObject:
    """An object of the namespace `shop`, unless `namespace` says otherwise."""
    version = "v1" if (group, kind) == (GATEWAY, "HTTPRoute") else VERSIONS.get(kind, "v1alpha1")
    meta = {"name": name, "namespace": "shop", **metadata}
    body = {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": meta, "spec": spec}
    return NativeObject(ObjectRef(group, kind, meta["namespace"], name), Role.GRANT, json.dumps(body).encode())


def aged(age: str | None) -> dict[str, str]:
    """The metadata of an object of this age."""
    return {} if age is None else {"creationTimestamp": age}


def server(
    name: str = "api", port: Json = 8080, age: str | None = None, ns: str = "shop", **spec: Json
) -> NativeObject:
    """A Server before the Pods of `api`."""
    whole = {"podSelector": {"matchLabels": {"app": "api"}}, "port": port, **spec}
    return native("Server", name, whole, namespace=ns, **aged(age))


def identities(name: str = "web", *texts: str, **refs: Json) -> NativeObject:
    """A MeshTLSAuthentication of identity texts, or of the ServiceAccount of its name."""
    own = {"identityRefs": [{"kind": "ServiceAccount", "name": name, **refs}]}
    return native("MeshTLSAuthentication", name, {"identities": list(texts)} if texts else own)


def authn(name: str, kind: str = "MeshTLSAuthentication", **more: str) -> Json:
    """A required authentication."""
    group = "" if kind == "ServiceAccount" else POLICY
    return {"group": group, "kind": kind, "name": name, **more}


def policy(target: str, *required: Json, name: str = "", group: str = POLICY, ns: str = "shop") -> NativeObject:
    """An AuthorizationPolicy for `Kind/name`; a required text is the name of a MeshTLSAuthentication."""
    kind, _, what = target.partition("/")
    refs = [authn(one) if isinstance(one, str) else one for one in required]
    own = "core" if kind == "Namespace" else group
    spec = {"targetRef": {"group": own, "kind": kind, "name": what}, "requiredAuthenticationRefs": refs}
    return native("AuthorizationPolicy", name or f"on-{what}", spec, namespace=ns)


def granted(target: str, *accounts: str, name: str = "", group: str = POLICY) -> tuple[NativeObject, ...]:
    """A policy for accounts of `shop`, with the identities that it requires."""
    label = name or f"for-{target.partition('/')[2]}"
    refs = [{"kind": "ServiceAccount", "name": one, "namespace": "shop"} for one in accounts]
    known = native("MeshTLSAuthentication", label, {"identityRefs": refs})
    return known, policy(target, label, name=label, group=group)


def path(value: str, kind: str = "RegularExpression", **more: Json) -> Json:
    """A match of a path, and more."""
    return {"path": {"type": kind, "value": value}, **more}


def header(name: str, value: str, kind: str = "RegularExpression") -> Json:
    """A match of a header, or of a query parameter."""
    return {"name": name, "type": kind, "value": value}


TO_API = {"group": POLICY, "kind": "Server", "name": "api"}


def route(
    name: str, *matches: Json, age: str | None = None, group: str = POLICY, parent: Json = TO_API, **spec: Json
) -> NativeObject:
    """An HTTPRoute on the Server `api`, with one rule."""
    whole = {"parentRefs": [parent], "rules": [{"matches": list(matches)}], **spec}
    return native("HTTPRoute", name, whole, group, **aged(age))


def opened(name: str, account: str, *matches: Json, **more: Json) -> tuple[NativeObject, ...]:
    """A route that one account may use."""
    return route(name, *matches, **more), *granted(f"HTTPRoute/{name}", account, group=more.get("group", POLICY))


def ask(at: str = "/", src: str | Source = WEB, *, port: int = 8080, **parts: Json) -> Request:
    """An HTTP request to the Pod `api`."""
    source = Source(identity=src) if isinstance(src, str) else src
    return Request(source, API, port, path=at, **parts)


def send(src: str | Source = WEB, protocol: Literal["tcp", "udp"] = "tcp", port: int = 8080) -> Request:
    """Bytes that are not HTTP."""
    return Request(Source(identity=src) if isinstance(src, str) else src, API, port, protocol)


def surprised(value: Any, at: str = "") -> Iterator[Any]:
    """The value with one more field, in each of its objects in turn."""
    if isinstance(value, dict):
        if at not in {"labels", "annotations", "matchLabels"}:
            yield {**value, "surprise": 1}
        for key, inner in value.items():
            yield from ({**value, key: one} for one in surprised(inner, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from ([*value[:index], one, *value[index + 1 :]] for one in surprised(inner))


# ------------------------------------------------------------------------------------------------- splits

WORLD = """\
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: shop, labels: {app: api}}
spec: {serviceAccountName: api, containers: [{name: a, ports: [{containerPort: 8080}, {containerPort: 9090}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: v1, namespace: shop, labels: {app: store, version: v1}}
spec: {serviceAccountName: store, containers: [{name: a, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: v2, namespace: shop, labels: {app: store, version: v2}}
spec: {serviceAccountName: store, containers: [{name: a, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: far, namespace: other, labels: {app: far}}
spec: {serviceAccountName: far, containers: [{name: a, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: store, namespace: shop}
spec:
  selector: {app: store}
  ports:
  - {name: http, port: 80, targetPort: 8080}
  - {name: opaque, port: 81, targetPort: 8080, appProtocol: linkerd.io/opaque}
  - {name: one, port: 82, targetPort: 8080, appProtocol: http}
  - {name: two, port: 83, targetPort: 8080, appProtocol: kubernetes.io/h2c}
  - {name: redis, port: 6379, targetPort: 8080}
---
apiVersion: v1
kind: Service
metadata: {name: store-v1, namespace: shop}
spec: {selector: {version: v1}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: store-v2, namespace: shop}
spec: {selector: {version: v2}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: shop}
spec: {clusterIP: None, selector: {app: store}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: far, namespace: other}
spec: {selector: {app: far}, ports: [{port: 80, targetPort: 8080}]}
"""


def to(name: str, weight: int | None = None, port: int = 80, **more: str) -> Json:
    """A backend."""
    return {"name": name, "port": port, **more} | ({} if weight is None else {"weight": weight})


def rule(*backends: Json, matches: Json = None) -> Json:
    """A rule with backends."""
    return {"backendRefs": list(backends)} | ({} if matches is None else {"matches": matches})


def split(
    *rules: Json, name: str = "store", port: int | None = 80, kind: str = "", parent: str = "store", **meta: Json
) -> NativeObject:
    """A route with a Service of `shop` as its parent: of Linkerd's own group, unless a kind of the Gateway API is named."""
    ref = {"group": "" if kind else "core", "kind": "Service", "name": parent, "namespace": "shop"}
    spec = {"parentRefs": [ref | ({} if port is None else {"port": port})], "rules": list(rules)}
    return native(kind or "HTTPRoute", name, spec, GATEWAY if kind else POLICY, **meta)


def call(service: str = "shop/store", src: str | Source = WEB, *, port: int = 80, **parts: Json) -> Request:
    """A call to a Service."""
    source = Source(identity=src) if isinstance(src, str) else src
    return Request(source, Destination(service=service), port, **parts)
