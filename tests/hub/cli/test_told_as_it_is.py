"""What a plan says of a mesh is what that mesh does: no gain that it refuses, no Pod that is open and not named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.folder import CONFIG, Folder

ISTIO = CONFIG.replace("{name: vms, adapter: vm}", "{name: mesh, adapter: istio, sink: {kind: directory, path: out}}")
CODE = "istio.path-not-expressible"
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: quotes, namespace: fin}
spec: {selector: {app: quotes}, ports: [{name: http, port: 80, targetPort: http}]}
"""
TARGET = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: quotes, namespace: fin}
spec: {matches: [{name: one, pathRegex: "PATTERN", methods: [GET]}]}
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: quotes, namespace: fin}
spec:
  destination: {kind: ServiceAccount, name: quotes, namespace: fin}
  rules: [{kind: HTTPRouteGroup, name: quotes}]
  sources: [{kind: ServiceAccount, name: web, namespace: fin}]
"""
KINDS = [
    ("apps/v1", "Deployment"),
    ("argoproj.io/v1alpha1", "Rollout"),
    ("serving.knative.dev/v1", "Service"),
    ("apps.openshift.io/v1", "DeploymentConfig"),
]


def template(api: str, kind: str, labels: dict[str, str]) -> str:
    """A pod template whose Pods run as fin/quotes."""
    ports = [{"name": "http", "containerPort": 8080}]
    pod = {"serviceAccountName": "quotes", "containers": [{"name": "c", "image": "x", "ports": ports}]}
    spec = {"template": {"metadata": {"labels": {"app": "quotes", **labels}}, "spec": pod}}
    name = "quotes-app"  # a Service of Knative stands beside the core one
    return yaml.safe_dump(
        {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": "fin"}, "spec": spec}
    )


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """A folder for Istio."""
    folder = Folder(tmp_path)
    folder.config(ISTIO)
    return folder


def planned(folder: Folder, *options: str) -> dict[str, Any]:
    """The plan of the one mesh."""
    (mesh,) = json.loads(folder.run("plan", "-o", "json", *options).stdout)["meshes"]
    return dict(mesh)


@pytest.mark.thorough
@pytest.mark.parametrize(("api", "kind"), KINDS)
def test_pods_of_a_template_that_no_policy_selects_are_not_passed_over(folder: Folder, api: str, kind: str) -> None:
    """Whatever controller makes them: without the label they answer everybody, so the grant waits, and check says so too."""
    folder.write("all.yaml", SERVICE, TARGET.replace("PATTERN", "/q/.*"), template(api, kind, {}))
    plan = planned(folder)
    assert [one["code"] for one in plan["refused"]] == ["selector.unlabelled-pods"]
    assert plan["newlyAllowed"] == []
    assert "selector.unlabelled-pods" in folder.run("check").stdout
    folder.write(
        "all.yaml", SERVICE, TARGET.replace("PATTERN", "/q/.*"), template(api, kind, {"smihub.io/sa": "quotes"})
    )
    mended = planned(folder)
    assert (mended["refused"], mended["newlyAllowed"]) == ([], ["fin/web -> fin/quotes:* GET /q/.*"])
    asked = ("explain", "--from", "fin/web", "--to", "fin/quotes:80", "--path", "/q/1")
    assert folder.run(*asked).stdout.count(": allow") == 2


def test_what_the_mesh_refuses_is_not_listed_as_newly_allowed_nor_later_as_denied(folder: Folder) -> None:
    """Istio has no word for the path: a reviewer signs off what happens, and nobody reads of a revocation where nothing was."""
    deployed = template("apps/v1", "Deployment", {"smihub.io/sa": "quotes"})
    folder.write("all.yaml", SERVICE, TARGET.replace("PATTERN", "/users/[0-9]+"), deployed)
    plan = planned(folder, "--accept", CODE)
    assert (plan["newlyAllowed"], plan["gains"], plan["refused"]) == ([], [], [])
    assert [loss["code"] for loss in plan["losses"]] == [CODE]
    shown = folder.run("plan", "--accept", CODE).stdout
    assert "newly allowed" not in shown
    assert CODE in shown
    assert folder.run("apply", "--yes", "--accept", CODE).exit_code == 0
    said = folder.run("explain", "--from", "fin/web", "--to", "fin/quotes:80", "--path", "/users/12").stdout
    assert "mesh mesh: deny" in said
    folder.write("all.yaml", SERVICE, deployed)
    without = planned(folder)
    assert (without["newlyDenied"], without["revokes"]) == ([], [])


@pytest.mark.thorough
def test_a_port_that_was_lost_is_told_as_newly_allowed_once_it_is_not(folder: Folder) -> None:
    """Two Services disagree about a port, one of them goes: a grant for every port grants this one too from then on."""
    deployed = template("apps/v1", "Deployment", {"smihub.io/sa": "quotes"})
    other = SERVICE.replace("name: quotes", "name: raw").replace("{name: http, ", "{name: tcp-raw, ")
    smi = TARGET.replace("PATTERN", "/q/.*")
    folder.write("all.yaml", SERVICE, other, smi, deployed)
    assert folder.run("apply", "--yes", "--accept", "port.mixed-protocols").exit_code == 0
    said = folder.run("explain", "--from", "fin/web", "--to", "fin/quotes:80", "--path", "/q/1").stdout
    assert "mesh mesh: deny" in said
    folder.write("all.yaml", SERVICE, smi, deployed)
    assert planned(folder)["newlyAllowed"] == ["fin/web -> fin/quotes:8080 GET /q/.*"]
    assert folder.run("apply", "--yes").exit_code == 0
    folder.write("all.yaml", SERVICE, other, smi, deployed)
    assert planned(folder, "--accept", "port.mixed-protocols")["newlyDenied"] == [
        "fin/web -> fin/quotes:8080 GET /q/.*"
    ]
