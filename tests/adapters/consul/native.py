"""Config entries as Consul's HTTP API takes them, and calls: what the tests of `evaluate` are made of.

Everything stands in the namespace `shop`, so the service of an account or Service `web` is `shop_web`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hub.api import Destination, NativeObject, ObjectRef, Request, Role, Source

Json = Any
A, B, OTHER, OUTSIDE = "shop/a", "shop/b", "shop/c", Source(outside=True)
WEB, TCP = Destination(pod="shop/web"), Destination(pod="shop/tcpsvc")

DOCS = "https://developer.hashicorp.com/consul/docs/"
INTENTIONS = f"{DOCS}reference/config-entry/service-intentions"
ROUTER, SPLITTER = f"{DOCS}reference/config-entry/service-router", f"{DOCS}reference/config-entry/service-splitter"
RESOLVER = f"{DOCS}reference/config-entry/service-resolver"
SEEN = "observed on Consul 1.22 with Envoy 1.40"


def entry(kind: str, name: str, **fields: Json) -> NativeObject:
    """An entry of a service of `shop` (`*`: of every one)."""
    return raw_entry(kind, service(name), **fields)


def raw_entry(kind: str, name: Json, **fields: Json) -> NativeObject:
    """An entry of this very name."""
    body = {"Kind": kind, "Name": name, **fields}
    return NativeObject(ObjectRef("", kind, "", str(name)), Role.GRANT, json.dumps(body).encode())


def service(name: str) -> str:
    """The service of an account, or of a Service, of `shop`."""
    return name if name == "*" else f"shop_{name}"


def intentions(name: str, *sources: Json) -> NativeObject:
    """Who may call a service."""
    return entry("service-intentions", name, Sources=list(sources))


def allow(name: str) -> Json:
    """A source that may send anything."""
    return {"Name": service(name), "Action": "allow"}


def deny(name: str = "*") -> Json:
    """A source that may send nothing."""
    return {"Name": service(name), "Action": "deny"}


def source(name: str, *permissions: Json) -> Json:
    """A source with permissions."""
    return {"Name": service(name), "Permissions": list(permissions)}


def may(action: str = "allow", **http: Json) -> Json:
    """A permission; its fields are those of `HTTP`, and `exact`, `prefix` and `regex` are about the path."""
    paths = {"exact": "PathExact", "prefix": "PathPrefix", "regex": "PathRegex"}
    return {"Action": action, "HTTP": {paths.get(name, name): value for name, value in http.items()}}


def refuse(**http: Json) -> Json:
    """A permission that denies."""
    return may("deny", **http)


def header(name: str, **more: Json) -> Json:
    """A condition on a header."""
    return {"Name": name, **more}


def defaults(name: str, protocol: str = "http") -> NativeObject:
    """The protocol of a service."""
    return entry("service-defaults", name, Protocol=protocol)


HTTP = tuple(defaults(name) for name in ("web", "web-v1", "web-v2", "web-beta"))
"""The services of these tests that speak HTTP; `tcpsvc` does not."""


def web(*permissions: Json) -> tuple[NativeObject, ...]:
    """The account `a` may send these requests to `web`."""
    return *HTTP, intentions("web", source("a", *permissions))


def everyone(*names: str) -> tuple[NativeObject, ...]:
    """Intentions that let everybody in, at these services."""
    return tuple(intentions(name, allow("*")) for name in names)


def split(name: str, *splits: Json) -> NativeObject:
    """A splitter."""
    return entry("service-splitter", name, Splits=list(splits))


def to(weight: float, name: str = "", **more: Json) -> Json:
    """One share; without a name it is for the service itself."""
    return {"Weight": weight, **({"Service": service(name)} if name else {}), **more}


def router(name: str, *routes: Json) -> NativeObject:
    """A router."""
    return entry("service-router", name, Routes=list(routes))


def route(name: str = "", **http: Json) -> Json:
    """A route to a service; without a name it has no destination."""
    match = {"Match": {"HTTP": may(**http)["HTTP"]}} if http else {}
    return match | ({"Destination": {"Service": service(name)}} if name else {})


def resolver(name: str, **fields: Json) -> NativeObject:
    """A resolver."""
    return entry("service-resolver", name, **fields)


def ask(at: str = "/", src: str | Source = A, dst: Destination = WEB, *, port: int = 8080, **parts: Json) -> Request:
    """An HTTP request to a Pod."""
    caller = Source(identity=src) if isinstance(src, str) else src
    return Request(caller, dst, port, path=at, **parts)


def lines(*values: str, name: str = "x-role") -> tuple[tuple[str, str], ...]:
    """Lines of one header."""
    return tuple((name, value) for value in values)


def send(src: str | Source = A, dst: Destination = TCP, port: int = 8080) -> Request:
    """Bytes to a Pod that are not HTTP."""
    return ask("/", src, dst, port=port, protocol="tcp")


def call(name: str = "web", at: str = "/", src: str | Source = A, **parts: Json) -> Request:
    """A request to a Service."""
    return ask(at, src, Destination(service=f"shop/{name}"), port=80, **parts)


# --------------------------------------------------------------------------- the same as manifests of consul-k8s

_KINDS = {
    "service-intentions": "ServiceIntentions",
    "service-defaults": "ServiceDefaults",
    "service-router": "ServiceRouter",
    "service-splitter": "ServiceSplitter",
    "service-resolver": "ServiceResolver",
}


def manifest(native: NativeObject) -> NativeObject:
    """The manifest that consul-k8s makes this entry of; names with `_` become ones of Kubernetes."""
    body = json.loads(native.body.replace(b"shop_", b"shop--"))
    kind, name = _KINDS[body.pop("Kind")], body.pop("Name")
    spec = _camel(body)
    if kind == "ServiceIntentions":
        spec["destination"] = {"name": name}
        name = "all" if name == "*" else name
    whole = {"apiVersion": "consul.hashicorp.com/v1alpha1", "kind": kind, "metadata": _meta(name), "spec": spec}
    return NativeObject(ObjectRef("consul.hashicorp.com", kind, "shop", name), Role.GRANT, json.dumps(whole).encode())


def _meta(name: str) -> Json:
    return {"name": name, "namespace": "shop"}


def _camel(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {_first(key): inner if key == "Subsets" else _camel(inner) for key, inner in value.items()}
    return [_camel(one) for one in value] if isinstance(value, list) else value


def _first(key: str) -> str:
    return "http" if key == "HTTP" else key[0].lower() + key[1:]


# --------------------------------------------------------------------------- the world around them

_PODS = ("web", "web-v1", "web-v2", "tcpsvc", "a", "b", "c")
_POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: {0}, namespace: shop, labels: {{app: {0}}}}}
spec: {{serviceAccountName: {0}, containers: [{{name: a, ports: [{{containerPort: 8080}}]}}]}}
---
"""
_SERVICE = """\
apiVersion: v1
kind: Service
metadata: {{name: {0}, namespace: shop}}
spec: {{selector: {{app: {0}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
"""
WORLD = "".join(
    (*(_POD.format(name) for name in _PODS), *(_SERVICE.format(name) for name in (*_PODS, "web-beta", "nosvc")))
)
"""Pods, and the Services before them; behind `web-beta` and `nosvc` there is nobody."""
