"""A small town in which callers may or may not call receivers: what SMI says, and what a mesh in memory lets through."""

from __future__ import annotations

from functools import cache
from itertools import product

from adapters.istio.plugin import SPEC as ISTIO
from hub.model import Destination, NativeObject, ObjectRef, Request, Role, Source
from hub.semantics import Semantics
from hub.testing.documents import Scope, compile_documents
from hub.testing.kit import read_documents
from hub.testing.memory import MemoryMesh
from tests.servers.folder import ROUTES, target

CALLERS, RECEIVERS = ("web", "evil", "other"), ("api", "db", "pay")
Granted = frozenset[str]
"""Who may call whom: `receiver.caller`."""


def pod(name: str) -> str:
    """A Pod of namespace `shop` that runs as an account of its own name, and receives on port 8080."""
    return f"""\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{smihub.io/sa: {name}}}}}
spec:
  serviceAccountName: {name}
  containers: [{{name: main, image: main, ports: [{{name: http, containerPort: 8080}}]}}]
"""


def _requests() -> tuple[Request, ...]:
    callers = (*(Source(identity=f"shop/{name}") for name in CALLERS), Source(outside=True))
    asked = product(callers, RECEIVERS, ("/books", "/orders"))
    return tuple(Request(who, Destination(pod=f"shop/{to}"), 8080, "http", "GET", path) for who, to, path in asked)


REQUESTS = _requests()
BASE = "---\n".join([ROUTES, *(pod(name) for name in (*CALLERS, *RECEIVERS))])
_FACTS = compile_documents(read_documents(BASE), Scope()).facts


@cache
def allowed(granted: Granted) -> frozenset[Request]:
    """What SMI lets through with these grants."""
    texts = [target(name, *name.split(".")) for name in sorted(granted)]
    semantics = Semantics(read_documents("---\n".join([BASE, *texts])))
    return frozenset(one for one in REQUESTS if semantics.judge(one).verdict == "allow")


@cache
def _served(standing: frozenset[tuple[ObjectRef, Role, bytes]]) -> frozenset[Request]:
    evaluator = ISTIO.evaluator([NativeObject(ref, role, body) for ref, role, body in sorted(standing)], _FACTS)
    return frozenset(one for one in REQUESTS if evaluator.judge(one).verdict != "deny")


def served(mesh: MemoryMesh) -> frozenset[Request]:
    """What a mesh lets through by all that stands there, whose ever it is."""
    return _served(frozenset((one.ref, one.role, one.owned) for one in mesh.objects.values()))


def receiver(request: Request) -> str:
    """The account that a request is for."""
    return (request.dst.pod or "").partition("/")[2]
