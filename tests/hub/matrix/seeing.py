"""Explainers that know what the objects of their meshes look like, of YAML text or of random worlds."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from hub.explain import Explainer
from hub.model import Document
from hub.plugins import installed_plugins
from hub.semantics import Semantics
from hub.testing.documents import Scope, SinklessMesh, explained
from hub.testing.kit import read_documents

PODS = """\
apiVersion: v1
kind: Pod
metadata: {name: api-0, namespace: d, labels: {app: api}}
spec: {serviceAccountName: api, containers: [{name: a, ports: [{containerPort: 8080}, {containerPort: 9000}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: d, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: a}]}
---
apiVersion: v1
kind: Pod
metadata: {name: old-0, namespace: d, labels: {app: old}}
spec: {serviceAccountName: old, containers: [{name: a}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: d}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}, {name: tcp-db, port: 9000}]}
---
"""


def seeing(documents: Sequence[Document], meshes: Sequence[SinklessMesh]) -> Explainer:
    """Both readings of some documents."""
    scope, families = Scope(trust_domain="cluster.local"), installed_plugins().families
    explainer, judged = explained(documents, meshes, scope)
    seen = [replace(each, view=families[each.spec.family].view) for each in judged]
    return Explainer(Semantics(documents, trust_domain=scope.trust_domain), explainer.compiled, seen)


def seeing_text(text: str, meshes: Sequence[SinklessMesh]) -> Explainer:
    """The same of YAML."""
    return seeing(read_documents(text), meshes)
