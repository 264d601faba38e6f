"""Requests to a Pod with a sidecar, judged by hand from Istio's documentation: the objects, who asks, and the page that says what happens."""

from __future__ import annotations

from typing import Any

from hub.api import Destination, NativeObject, Request, Source
from hub.testing.conformance.subject import JudgedRequest
from tests.adapters.istio.test_evaluate_workloads import native

_DOCS = "https://istio.io/latest/docs/"
POLICY = _DOCS + "reference/config/security/authorization-policy/"
CONDITIONS = _DOCS + "reference/config/security/conditions/"
CONCEPT = _DOCS + "concepts/security/"
TCP = _DOCS + "tasks/security/authorization/authz-tcp/"
PEERS = _DOCS + "reference/config/security/peer_authentication/"
SERVICES = _DOCS + "reference/config/networking/virtual-service/"

_WORLD = """\
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: d, labels: {app: api}}
spec: {serviceAccountName: api, containers: [{name: a, ports: [{containerPort: 8080}, {containerPort: 9000}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: d}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp-raw, port: 90, targetPort: 9000}]}
"""
_WEB = {"source": {"principals": ["cluster.local/ns/d/sa/web"]}}


def _policy(*rules: Any, action: str = "ALLOW", labels: Any = None, name: str = "x") -> NativeObject:
    spec = {"selector": {"matchLabels": labels or {"app": "api"}}, "action": action, "rules": list(rules)}
    return native("AuthorizationPolicy", spec, name, "d")


def _granting(operation: Any, *when: Any) -> NativeObject:
    """ALLOW for web."""
    return _policy({"from": [_WEB], "to": [{"operation": operation}], **({"when": list(when)} if when else {})})


def _denying(*paths: str) -> tuple[NativeObject, ...]:
    """DENY for these paths, beside an ALLOW for everything."""
    rule = {"to": [{"operation": {"paths": list(paths)}}]}
    return _policy(rule, action="DENY", name="deny"), _policy({}, name="allow")


def _routing(path: str) -> NativeObject:
    """Requests for this path go to the Service itself, and nothing is said of others."""
    own = [{"destination": {"host": "api.d.svc.cluster.local", "port": {"number": 80}}}]
    entry = {"match": [{"uri": {"exact": path}, "port": 80}], "route": own}
    return native("VirtualService", {"hosts": ["api.d.svc.cluster.local"], "http": [entry]}, "api", "d")


def _ask(path: str = "/a", caller: str = "d/web", **parts: Any) -> Request:
    return Request(Source(identity=caller), Destination(pod="d/api"), 8080, path=path, **parts)


def _call(path: str) -> Request:
    return Request(Source(identity="d/web"), Destination(service="d/api"), 80, path=path)


def _send(caller: str = "d/web") -> Request:
    return Request(Source(identity=caller), Destination(pod="d/api"), 9000, "tcp")


_NOTHING = native("AuthorizationPolicy", {}, "nothing", "d")
_READ = _granting({"methods": ["GET"], "paths": ["/a"], "ports": ["8080"]})
_GOLD = _granting({"ports": ["8080"]}, {"key": "request.headers[x-tier]", "values": ["gold"]})
_OTHERS = _policy({"from": [_WEB]}, labels={"app": "other"})
_RAW = _granting({"ports": ["9000"]})
_STRICT = native("PeerAuthentication", {"mtls": {"mode": "STRICT"}}, "default", "d")
_STRANGER = Request(Source(outside=True), Destination(pod="d/api"), 8080, path="/a")
_TIER = ("x-tier", "gold")

JUDGED = tuple(
    JudgedRequest(tuple(objects), request, verdict, source, _WORLD)
    for source, objects, request, verdict in (
        # Without a policy for the workload everything is allowed; with an ALLOW only what one of its rules matches.
        (POLICY, (), _ask(), "allow"),
        (POLICY, (_NOTHING,), _ask(), "deny"),
        (POLICY, (_policy(),), _ask(), "deny"),
        (POLICY, (_policy({}),), _ask(), "allow"),
        (POLICY, (_OTHERS,), _ask(caller="d/peer"), "allow"),
        (CONCEPT, _denying("/a"), _ask("/a"), "deny"),
        (CONCEPT, _denying("/a"), _ask("/b"), "allow"),
        (POLICY, (_READ,), _ask(), "allow"),
        (POLICY, (_READ,), _ask(caller="d/peer"), "deny"),
        (POLICY, (_READ,), _ask(method="POST"), "deny"),
        (POLICY, (_READ,), _ask("/ab"), "deny"),
        (POLICY, (_granting({"paths": ["/a*"]}),), _ask("/ab"), "allow"),
        (POLICY, (_granting({"paths": ["*.json"]}),), _ask("/x.json"), "allow"),
        (POLICY, (_granting({"notPaths": ["/a*"]}),), _ask("/ab"), "deny"),
        (POLICY, (_granting({"ports": ["9000"]}),), _ask(), "deny"),
        (CONDITIONS, (_GOLD,), _ask(headers=(_TIER,)), "allow"),
        (CONDITIONS, (_GOLD,), _ask(), "deny"),
        # On a TCP port an ALLOW rule with a field of HTTP matches nothing.
        (TCP, (_RAW,), _send(), "allow"),
        (TCP, (_RAW,), _send("d/peer"), "deny"),
        (TCP, (_granting({"ports": ["9000"], "methods": ["GET"]}),), _send(), "deny"),
        (PEERS, (_STRICT,), _STRANGER, "deny"),
        (PEERS, (_STRICT,), _ask(), "allow"),
        (SERVICES, (_routing("/a"),), _call("/a"), "allow"),
        (SERVICES, (_routing("/a"),), _call("/b"), "deny"),
    )
)
