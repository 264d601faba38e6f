"""What a mesh can say of a path is granted once somebody accepts the Loss of the rest, and nothing of it before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.servers.folder import CONFIG, Folder

ISTIO = CONFIG.replace("{name: vms, adapter: vm}", "{name: mesh, adapter: istio, sink: {kind: directory, path: out}}")
CODE = ("--accept", "istio.path-not-expressible")
INPUT = """
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, ports: [{name: http, port: 8080}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api, smihub.io/sa: api}}
    spec: {serviceAccountName: api, containers: [{name: c, image: x, ports: [{containerPort: 8080}]}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: r, namespace: shop}
spec: {matches: [{name: m, methods: [GET], pathRegex: "PATTERN"}]}
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: t, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: api, namespace: shop}
  rules: [{kind: HTTPRouteGroup, name: r}]
  sources: [{kind: ServiceAccount, name: web, namespace: shop}]
"""
BOOKS = "shop/web -> shop/api:* GET /v1/books"


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """Web may GET a path of which Istio can say a part."""
    folder = Folder(tmp_path)
    folder.config(ISTIO)
    folder.write("all.yaml", INPUT.replace("PATTERN", "/v1/books(/[0-9]+)?"))
    return folder


def planned(folder: Folder, *options: str) -> tuple[list[str], list[str], list[str]]:
    """What is newly allowed and denied, and what refuses."""
    (mesh,) = json.loads(folder.run("plan", "-o", "json", *options).stdout)["meshes"]
    return mesh["newlyAllowed"], mesh["newlyDenied"], [one["code"] for one in mesh["refused"]]


@pytest.mark.thorough
def test_before_the_loss_is_accepted_nothing_of_it_is_granted(folder: Folder) -> None:
    """The policy has no rules until then; afterwards it has that path, and the plan says just that."""
    assert planned(folder) == ([], [], ["istio.path-not-expressible"])
    assert folder.run("apply", "--yes").exit_code == 3
    assert "/v1/books" not in policies(folder)
    assert planned(folder, *CODE) == ([BOOKS], [], [])
    shown = folder.run("plan", *CODE).stdout
    assert 'a request with path "/v1/books/0" is refused' in shown
    assert folder.run("apply", "--yes", *CODE).exit_code == 0
    assert "- /v1/books\n" in policies(folder)


def test_what_is_granted_stays_when_nobody_accepts_the_rest_any_more(folder: Folder) -> None:
    """The code refuses again, and takes nothing away; a pattern that means less does."""
    folder.run("apply", "--yes", *CODE)
    assert planned(folder) == ([], [], ["istio.path-not-expressible"])
    folder.write("all.yaml", INPUT.replace("PATTERN", "/v1/books/[0-9]+"))
    assert planned(folder) == ([], [BOOKS], ["istio.path-not-expressible"])


@pytest.mark.thorough
def test_a_pattern_that_grows_keeps_what_it_granted(folder: Folder) -> None:
    """From one text to that text and what cannot be said: nothing is lost, nothing is gained."""
    folder.write("all.yaml", INPUT.replace("PATTERN", "/v1/books"))
    folder.run("apply", "--yes")
    folder.write("all.yaml", INPUT.replace("PATTERN", "/v1/books(/[0-9]+)?|/v1/shelves"))
    assert planned(folder) == ([], [], ["istio.path-not-expressible"])
    assert planned(folder, *CODE) == (["shop/web -> shop/api:* GET /v1/shelves"], [], [])


def policies(folder: Folder) -> str:
    """All that was written."""
    return "".join(path.read_text() for path in sorted((folder.root / "out").rglob("*.yaml")))
