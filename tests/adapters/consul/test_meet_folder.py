"""An intention of the folder that somebody edited, beside a file that cannot be read: what is revoked goes, and nobody gains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.folder import Folder, target

pytestmark = pytest.mark.thorough
CONFIG = """\
domain: {{trustDomain: cluster.local}}
sources: [{{path: manifests}}]
meshes:
- {{name: mesh, adapter: {adapter}, sink: {{path: rendered}}}}
"""
AROUND = """\
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api-1, namespace: shop, labels: {app: api}}
spec: {serviceAccountName: api, containers: [{name: a, ports: [{containerPort: 8080}]}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: routes, namespace: shop}
spec: {matches: [{name: books, pathRegex: /books, methods: [GET]}]}
"""
BROKEN = "kind: Pod\n<<<<<<< HEAD\nkind: [\n"


@pytest.fixture(name="folder", params=["consul", "consul-k8s"])
def make_folder(tmp_path: Path, request: pytest.FixtureRequest) -> Folder:
    """`web`, `job` and `evil` may GET /books of `api`, on either kind of mesh."""
    folder = Folder(tmp_path)
    folder.config(CONFIG.format(adapter=request.param))
    folder.write("around.yaml", AROUND)
    folder.write(
        "db.yaml", AROUND.partition("apiVersion: specs")[0].replace("api", "db").replace("dbVersion", "apiVersion")
    )
    for name in ("web", "job", "evil"):
        folder.write(f"{name}.yaml", target(name, source=name))
    assert applied(folder) == 0
    return folder


def applied(folder: Folder) -> int:
    """The exit code of an apply."""
    return folder.run("apply", "--yes").exit_code


def intention(folder: Folder, account: str = "api") -> Path:
    """The file of the intention of an account."""
    (found,) = (
        file
        for file in (folder.root / "rendered").rglob("*ntentions*")
        if file.stem.endswith(f"shop_{account}") or file.stem.endswith(f"shop--{account}")
    )
    return found


def sources(folder: Folder, account: str = "api") -> dict[str, Any]:
    """What each source of it may do, by the name of its account: its action, or how many permissions it has."""
    whole = yaml.safe_load(intention(folder, account).read_text())
    listed = whole.get("Sources") or whole["spec"]["sources"]
    found = ({key.lower(): value for key, value in one.items()} for one in listed)
    return {
        one["name"].rpartition("_")[2].rpartition("-")[2]: one.get("action") or len(one["permissions"]) for one in found
    }


def edit(folder: Folder, name: str) -> None:
    """Somebody lets an account send anything."""
    file = intention(folder)
    whole = yaml.safe_load(file.read_text())
    entry = "Sources" in whole
    listed = whole["Sources"] if entry else whole["spec"]["sources"]
    (one,) = (one for one in listed if str(one.get("Name", one.get("name"))).endswith(name))
    del one["Permissions" if entry else "permissions"]
    one["Action" if entry else "action"] = "allow"
    file.write_text(json.dumps(whole))


def test_what_is_revoked_goes_though_somebody_edited_the_intention(folder: Folder) -> None:
    """Whoever he let in further is let in no further than he is wanted; when all can be read, all is as wanted."""
    assert sources(folder) == {"evil": 3, "job": 3, "web": 3, "*": "deny"}
    edit(folder, "job")
    folder.write("bad.yaml", BROKEN)
    folder.remove("evil.yaml")
    folder.write("new.yaml", target("new", source="new"))
    assert folder.plan()["meshes"][0]["edited"] == ["access/shop/api"]
    assert applied(folder) == 1
    assert sources(folder) == {"evil": "deny", "job": 3, "new": "deny", "web": 3, "*": "deny"}
    assert folder.plan()["meshes"][0]["changes"] == []  # also none of others that would deny them, too
    assert sources(folder, "db") == {"*": "deny"}
    folder.remove("bad.yaml")
    assert applied(folder) == 0
    assert sources(folder) == {"job": 3, "new": 3, "web": 3, "*": "deny"}


def test_an_intention_that_somebody_deleted_comes_back_and_denies(folder: Folder) -> None:
    """Where Consul allows by default, its service would be open until all can be read."""
    intention(folder).unlink()
    folder.write("bad.yaml", BROKEN)
    assert applied(folder) == 1
    assert sources(folder) == {"evil": "deny", "job": "deny", "web": "deny", "*": "deny"}
    folder.remove("bad.yaml")
    assert applied(folder) == 0
    assert sources(folder) == {"evil": 3, "job": 3, "web": 3, "*": "deny"}
