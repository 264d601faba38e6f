"""What to write for each field of smihub.yaml: an error about one of them ends with a line that can be pasted."""

from __future__ import annotations

import re
from collections.abc import Mapping

EXAMPLES: Mapping[str, str] = {
    "domain": "domain: {trustDomain: example.org}",
    "domains": "domains: [{name: eu, trustDomain: eu.example.org, sources: [{path: eu}], meshes: [{name: vms, adapter: vm}]}]",
    "trustDomain": "trustDomain: example.org",
    "sources": "sources: [{path: manifests}]",
    "meshes": "meshes: [{name: vms, adapter: vm}]",
    "name": "name: vms",
    "adapter": "adapter: vm",
    "path": "path: manifests",
    "sink.path": "path: rendered/istio",
    "include": 'include: ["smi/**"]',
    "exclude": 'exclude: ["chart/"]',
    "kind": "kind: directory",
    "tests": "tests: [{from: shop/web, to: shop/api:80, expect: allow}]",
    "governed": "governed: {namespaces: [shop]}",
    "namespaces": "namespaces: [shop]",
    "sink": "sink: {path: rendered/istio}",
    "sink.address": "address: unix:/run/smihub/vms.sock",
    "state": "state: .smihub",
    "guards": "guards: {blastRadiusPercent: 20, minUnits: 5}",
    "blastRadiusPercent": "blastRadiusPercent: 20",
    "minUnits": "minUnits: 5",
    "accept": "accept: [port.undeclared-mixed]",
    "code": "code: port.undeclared-mixed",
    "object": "object: TrafficTarget/shop/api",
    "until": "until: 2030-12-31",
    "reading": "reading: {pathRegex: full, rootBackend: endpoints}",
    "pathRegex": "pathRegex: full",
    "rootBackend": "rootBackend: endpoints",
    "recheckSeconds": "recheckSeconds: 600",
    "http": "http: {address: 127.0.0.1:9464}",
    "http.address": "address: 127.0.0.1:9464",
    "objectNames": "objectNames: false",
}
CHOICES: Mapping[str, str] = {
    "pathRegex": "full or prefix",
    "rootBackend": "endpoints or reject",
    "governed": "all, targets, routes, or a mapping with namespaces",
}
"""What a field with few values may be."""
_INDEX = re.compile(r"\[[0-9]+\]")
_COMPLETE = ("remove", "give", "did you mean", "install", "repair")
"""How a remedy begins that needs no example."""
_YAML = re.compile(r"\b[a-zA-Z]+: \S")


def example_of(field: str) -> str | None:
    """What to write for a field, by its path in the file; None for one of which nothing is known here."""
    *_, parent, name = ("", *_INDEX.sub("", field).split("."))
    return EXAMPLES.get(f"{parent}.{name}") or EXAMPLES.get(name)


def with_example(field: str, message: str) -> str:
    """The message about a field, with what to write; one that says so already, and one about an unknown field, stay as they are."""
    example = example_of(field)
    what, _, remedy = message.partition("; ")
    if (
        example is None
        or what.endswith("unknown field")
        or remedy.startswith(_COMPLETE)
        or _YAML.search(remedy or what)
    ):
        return message
    return f"{message}; for example {example}"
