"""A small world in namespace `d`, and a way to ask it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from hub.model import Answer, Destination, Document, Origin, Reading, Request, Source
from hub.semantics import EVERYTHING, GovernedNamespaces, Semantics

WORLD = """
kind: HTTPRouteGroup
metadata: {name: r, namespace: d}
spec: {matches: [{name: m, pathRegex: /metrics, methods: [GET]}, {name: a, pathRegex: /api, methods: ["*"]}]}
---
kind: TCPRoute
metadata: {name: t80, namespace: d}
spec: {matches: {ports: [8080]}}
---
kind: TCPRoute
metadata: {name: tall, namespace: d}
spec: {matches: {ports: []}}
---
kind: UDPRoute
metadata: {name: u, namespace: d}
spec: {matches: {ports: [5353]}}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: d}
spec:
  selector: {app: api}
  ports:
  - {name: http, port: 8080}
  - {name: http-more, port: 9090}
  - {name: tcp-db, port: 5432}
---
apiVersion: v1
kind: Pod
metadata: {name: api-0, namespace: d, labels: {app: api}}
spec: {serviceAccountName: api, containers: [{name: c}]}
"""


def documents_of(text: str, source: str = "files") -> list[Document]:
    """Parse YAML into documents of one source."""
    return [Document(value, Origin(source)) for value in yaml.load_all(text, yaml.CSafeLoader) if value is not None]


def request_of(src: str, dst: str, port: int = 8080, **more: Any) -> Request:
    """Build a request; src and dst are written `ns/sa`, or `pod:ns/name`, `service:ns/name`, `spiffe://...`, `outside`."""
    return Request(_source(src), _destination(dst), port, **more)


def _source(text: str) -> Source:
    if text == "outside":
        return Source(outside=True)
    if text.startswith("spiffe://"):
        return Source(spiffe=text)
    return Source(pod=text[4:]) if text.startswith("pod:") else Source(identity=text)


def _destination(text: str) -> Destination:
    kind, colon, name = text.partition(":")
    if not colon:
        return Destination(identity=text)
    return Destination(pod=name) if kind == "pod" else Destination(service=name)


@pytest.fixture
def read() -> Callable[..., Semantics]:
    """Return a function that reads the small world plus more YAML."""

    def read(
        text: str = "",
        *,
        world: str = WORLD,
        reading: Reading = Reading(),
        governed: GovernedNamespaces = EVERYTHING,
        trust_domain: str = "cluster.local",
    ) -> Semantics:
        documents = documents_of(f"{world}\n---\n{text}")
        return Semantics(documents, reading=reading, governed=governed, trust_domain=trust_domain)

    return read


@pytest.fixture
def ask(read: Callable[..., Semantics]) -> Callable[..., Answer]:
    """Return a function that reads the small world plus more YAML and judges one request from d/web to d/api."""

    def ask(text: str, src: str = "d/web", dst: str = "d/api", port: int = 8080, **more: Any) -> Answer:
        return read(text).judge(request_of(src, dst, port, **more))

    return ask


@pytest.fixture
def request_to() -> Callable[..., Request]:
    """Return the function that builds a request from short words."""
    return request_of


@pytest.fixture
def documents() -> Callable[..., list[Document]]:
    """Return the function that parses YAML into documents of one source."""
    return documents_of


@pytest.fixture
def target() -> Callable[..., str]:
    """Return a function that writes a TrafficTarget to d/api from d/web (v1alpha3 unless its fields say otherwise)."""

    def target(rules: str, name: str = "t", *, src: str = "web", more: str = "", version: str = "v1alpha3") -> str:
        return f"""
---
apiVersion: access.smi-spec.io/{version}
kind: TrafficTarget
metadata: {{name: {name}, namespace: d}}
spec:
  destination: {{kind: ServiceAccount, name: api, namespace: d{more}}}
  sources: [{{kind: ServiceAccount, name: {src}, namespace: d}}]
  rules: {rules}
"""

    return target
