"""render, adopt, release, pause and resume on every kind of mesh, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hub.sinks.small_mesh import content
from tests.servers.folder import Folder, target

pytestmark = pytest.mark.thorough
CONFIG = """\
domain: {{trustDomain: cluster.local}}
sources: [{{path: manifests}}]
meshes:
- {{name: mesh, adapter: {adapter}{sink}}}
accept: [guard.blast-radius]
"""
OBJECTS = {
    "istio": "AuthorizationPolicy/shop/smihub-api",
    "linkerd": "Server/shop/smihub-8080-api",
    "consul": "service-intentions/shop_api",
    "consul-k8s": "ServiceIntentions/shop/shop--api",
}
"""By adapter: an object of the unit, of one name whether somebody is granted something or nobody."""
LISTENER = "Listener/in/shop/api/8080/http@0.0.0.0"
WORKLOADS = """\
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata:
  name: api-1
  namespace: shop
  labels: {app: api, smihub.io/sa: api}
  annotations: {config.linkerd.io/default-inbound-policy: deny}
spec: {serviceAccountName: api, containers: [{name: a, ports: [{containerPort: 8080}]}]}
"""
OTHERS = WORKLOADS.replace("api", "db").replace("dbVersion", "apiVersion")
ROUTES = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: routes, namespace: shop}
spec: {matches: [{name: books, pathRegex: /books, methods: [GET]}]}
"""
UNIT = "access/shop/api"


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """An empty one."""
    return Folder(tmp_path)


def applied(folder: Folder, adapter: str) -> Folder:
    """A folder with two accounts and a grant, applied to a mesh of this kind."""
    folder.config(CONFIG.format(adapter=adapter, sink="" if adapter == "vm" else ", sink: {path: rendered}"))
    folder.write("api.yaml", WORKLOADS)
    folder.write("db.yaml", OTHERS)
    folder.write("access.yaml", ROUTES, target("api-from-web"))
    result = folder.run("apply", "--yes")
    assert result.exit_code == 0, result.stderr
    assert folder.run("plan").exit_code == 0
    return folder


def said(folder: Folder, *arguments: str) -> tuple[int, str]:
    """The exit code of a verb, and what it said on stderr of the one thing that it is about."""
    result = folder.run(*arguments)
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("warning ", "note: this smihub.yaml"))]
    return result.exit_code, "\n".join(lines)


@pytest.mark.parametrize("adapter", OBJECTS)
def test_what_is_paused_stays_until_it_is_resumed(folder: Folder, adapter: str) -> None:
    """In the file of whatever family: what was written stays, the plan shows that it differs, and to resume takes the pause out."""
    name = OBJECTS[adapter]
    applied(folder, adapter)
    before = content(folder.root / "rendered")
    assert said(folder, "pause", "mesh", name) == (
        0,
        f"note: mesh mesh: {name} is paused; plan shows it while it differs",
    )
    (file,) = (file for file, text in content(folder.root / "rendered").items() if text != before[file])
    paused = (folder.root / "rendered" / file).read_bytes()
    folder.remove("api.yaml")
    folder.remove("access.yaml")
    assert folder.run("apply", "--yes").exit_code == 0
    assert (folder.root / "rendered" / file).read_bytes() == paused
    (planned,) = json.loads(folder.run("plan", "-o", "json").stdout)["meshes"]
    assert planned["paused"] == [name]
    assert folder.run("resume", "mesh", name).exit_code == 0
    assert (folder.root / "rendered" / file).read_bytes() == before[file]
    assert folder.run("plan").exit_code == 2


@pytest.mark.parametrize("adapter", OBJECTS)
def test_what_is_released_is_somebody_elses_until_it_is_adopted(folder: Folder, adapter: str) -> None:
    """`render` shows the same object all along."""
    applied(folder, adapter)
    before, shown = content(folder.root / "rendered"), folder.run("render", "mesh", "--unit", UNIT).stdout
    assert f"# {OBJECTS[adapter]}\n# unit: {UNIT}\n" in shown
    folder.config(
        (folder.root / "smihub.yaml")
        .read_text()
        .replace("mesh, adapter", "mesh, governed: {namespaces: [none]}, adapter")
    )
    code, told = said(folder, "release", "mesh", UNIT, "--yes")
    assert (code, told.startswith(f"note: mesh mesh: released {UNIT}; its objects stay in effect as they are")) == (
        0,
        True,
    )
    assert OBJECTS[adapter] in told
    folder.config(CONFIG.format(adapter=adapter, sink=", sink: {path: rendered}"))
    code, told = said(folder, "adopt", "mesh")
    found = told.removeprefix("note: adopt them with smihub adopt mesh ").split()
    assert (code, OBJECTS[adapter] in found) == (0, True)
    assert folder.run("adopt", "mesh", *found, "--yes").exit_code == 0
    assert content(folder.root / "rendered") == before
    assert folder.run("render", "mesh", "--unit", UNIT).stdout == shown


def test_a_mesh_that_is_changed_as_a_whole_says_what_to_do_instead(folder: Folder) -> None:
    """The VM mesh: its objects are one revision, and all of them smihub's. `render` shows them as others."""
    applied(folder, "vm")
    assert f"# {LISTENER}\n# unit: {UNIT}\n" in folder.run("render", "mesh").stdout
    whole = (
        "so no object of it can be paused or resumed; to keep all of it as it is, apply the other meshes only (--mesh)"
    )
    for verb in ("pause", "resume"):
        code, told = said(folder, verb, "mesh", LISTENER)
        assert (code, told.startswith(f'refused: mesh "mesh" is changed as a whole, {whole}')) == (3, True)
        assert told.endswith(", and serve it with smihub run --serve-only; nothing was written")
    assert said(folder, "adopt", "mesh") == (0, "note: no unmanaged object is in the place of one of smihub's")
    assert "is already managed by smihub" in said(folder, "adopt", "mesh", LISTENER)[1]
    assert "first delete the objects that name it" in said(folder, "release", "mesh", UNIT)[1]
    folder.remove("access.yaml")
    folder.remove("api.yaml")
    assert folder.run("apply", "--yes").exit_code == 0
    assert said(folder, "release", "mesh", UNIT) == (  # nobody was asked
        3,
        'refused: mesh "mesh" only contains objects that smihub manages, so they can only be deleted: add --delete; nothing was written',
    )
    code, told = said(folder, "release", "mesh", UNIT, "--delete", "--yes")
    assert (code, f"released {UNIT}; its objects are deleted" in told) == (0, True)
    assert UNIT not in folder.run("render", "mesh").stdout
    assert folder.run("plan").exit_code == 0
