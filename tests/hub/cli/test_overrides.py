"""Verbs name the objects of others in the sources that change what a mesh does."""

from __future__ import annotations

import json

from tests.servers.folder import CONFIG, Folder

LINKERD = CONFIG.replace("{name: vms, adapter: vm}", "{name: linkerd, adapter: linkerd, sink: {path: rendered}}")
PROFILE = "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\nmetadata: {name: api.shop.svc, namespace: shop}\n"


def test_plan_and_check_name_it_where_the_mesh_is_one_that_it_concerns(folder: Folder) -> None:
    """A ServiceProfile is nothing to a mesh of VMs."""
    folder.write("profile.yaml", PROFILE)
    for verb in ("check", "plan"):
        assert "object.overrides" not in folder.run(verb).output
    folder.config(LINKERD)
    for verb in ("check", "plan"):
        assert "object.overrides" in folder.run(verb).output
    plan = json.loads(folder.run("plan", "-o", "json").stdout)
    assert [one["code"] for one in plan["problems"]] == ["object.overrides"]
    (folder.manifests / "profile.yaml").unlink()
    assert "object.overrides" not in folder.run("check").output
