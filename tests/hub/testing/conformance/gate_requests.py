"""Requests to the gate mesh, judged by hand from what gate_evaluate.py says of its objects."""

from __future__ import annotations

import json
from typing import Any

from hub.api import Destination, NativeObject, ObjectRef, Request, Role, Source
from hub.testing.conformance.subject import JudgedRequest

_PAGE = "https://gate.example/docs/passes"
_WORLD = """\
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: d}
spec: {serviceAccountName: api, containers: [{name: a, ports: [{containerPort: 8080}]}]}
"""
_API, _WEB = (f"spiffe://cluster.local/ns/d/sa/{name}" for name in ("api", "web"))


def _native(kind: str, name: str, body: Any) -> NativeObject:
    return NativeObject(ObjectRef("gate.example", kind, "d", name), Role.GRANT, json.dumps(body).encode())


_LOCK = _native("Lock", "api", {"receiver": _API})
_PASS = _native(
    "Pass",
    "p",
    {"receiver": _API, "callers": [_WEB], "at": [{"port": 8080, "variants": ["none"]}], "list": "l"},
)
_LIST = _native("List", "l", {"requests": [{"path": "/a", "methods": ["GET"]}]})


def _asked(path: str = "/a", caller: str = "d/web", **parts: Any) -> Request:
    return Request(Source(identity=caller), Destination(pod="d/api"), 8080, path=path, **parts)


REQUESTS = (
    JudgedRequest((_LOCK, _PASS, _LIST), _asked(), "allow", _PAGE, _WORLD),
    JudgedRequest((_LOCK, _PASS, _LIST), _asked("/b"), "deny", _PAGE, _WORLD),
    JudgedRequest((_LOCK, _PASS, _LIST), _asked(caller="d/peer"), "deny", _PAGE, _WORLD),
    JudgedRequest((_LOCK, _PASS, _LIST), _asked(method="POST"), "deny", _PAGE, _WORLD),
    JudgedRequest((_LOCK, _PASS, _LIST), _asked(protocol="tcp"), "deny", _PAGE, _WORLD),
    JudgedRequest((_LOCK,), _asked(), "deny", _PAGE, _WORLD),
    JudgedRequest((), _asked(), "ungoverned", _PAGE, _WORLD),
)
