"""What the settings of a mesh leave unseen is told with every plan, as a warning; it refuses nothing."""

from __future__ import annotations

import json
from functools import partial

import pytest

from hub.reconcile.domains import Domains
from tests.servers.folder import CONFIG, Folder

CODE = "consul.wildcards-unseen"
CONSUL = CONFIG.replace("{name: vms, adapter: vm}", "{name: consul, adapter: ADAPTER, sink: {path: rendered}CONFIG}")


def configured(folder: Folder, config: str = "", adapter: str = "consul") -> None:
    """A mesh of Consul with these settings."""
    folder.config(CONSUL.replace("ADAPTER", adapter).replace("CONFIG", config and f", config: {{{config}}}"))


@pytest.mark.parametrize("adapter", ["consul", pytest.param("consul-k8s", marks=pytest.mark.thorough)])
def test_what_nobody_declared_is_told_once_with_its_line(folder: Folder, adapter: str) -> None:
    """In text, Markdown and data; the exit code is that of the changes."""
    configured(folder, adapter=adapter)
    text, page = folder.run("plan"), folder.run("plan", "-o", "markdown")
    assert (text.exit_code, text.output.count(CODE), page.exit_code, page.output.count(CODE)) == (2, 1, 2, 1)
    assert text.stderr.startswith("warning smihub.yaml:5: meshes[0].config.wildcardSources: mesh consul: smihub cannot")
    (told,) = json.loads(folder.run("plan", "-o", "json").stdout)["problems"]
    assert (told["code"], told["severity"], told["origin"]["line"]) == (CODE, "warning", 5)


@pytest.mark.parametrize("config", ["wildcardSources: []", "wildcardSources: [old_batch]"])
def test_what_was_declared_is_not_told(folder: Folder, config: str) -> None:
    """None is an answer, too."""
    configured(folder, config)
    plan = folder.run("plan")
    assert (plan.exit_code, "warning" in plan.output) == (2, False)


@pytest.mark.thorough
def test_apply_and_a_saved_plan_tell_it_too(folder: Folder) -> None:
    """Before they write, which they do."""
    configured(folder)
    assert folder.run("plan", "--save", "one.plan").exit_code == 2
    assert folder.run("show", "one.plan").output.count(CODE) == 1
    applied = folder.run("apply", "one.plan", "--yes")
    assert (applied.exit_code, applied.output.count(CODE)) == (0, 1)
    again = folder.run("apply", "--yes")
    assert (again.exit_code, again.output.count(CODE)) == (0, 1)


def standing(folder: Folder, name: str, text: str) -> None:
    """A file of somebody else in the folder that smihub writes."""
    objects = folder.root / "rendered" / "objects"
    objects.mkdir(parents=True, exist_ok=True)
    (objects / name).write_text(text)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("theirs.json", '{"kind": "service-intentions", "NAME": "*", "Sources": [{"Name": "a", "Action": "allow"}]}'),
        ("theirs.hcl", 'kind = "service-intentions"\nname = "*"\nsources { name = "a" action = "allow" }\n'),
    ],
)
def test_an_intention_that_stands_there_is_seen(folder: Folder, name: str, text: str) -> None:
    """That of others for every service: whom it allows is told, in either form."""
    configured(folder)
    standing(folder, name, text)
    plan = folder.run("plan")
    assert (CODE in plan.output, plan.output.count('lets "a" call every service')) == (False, 1)
    standing(folder, name, text.replace("*", "shop_other"))
    plan = folder.run("plan")
    assert (CODE in plan.output, "object.overrides" in plan.output) == (True, False)


HCL = 'kind = "service-intentions"\nname = "*"\nsources { name = "old_batch" action = "allow" }\n'
RESOURCE = (
    "{apiVersion: consul.hashicorp.com/v1alpha1, kind: ServiceIntentions, metadata: {name: every, namespace: x}, spec: "
    "{destination: {name: '*'}, sources: [{name: old_batch, action: allow}, {name: '*', action: allow}, {name: 'No good', action: allow}]}}\n"
)


def denied_by_name(folder: Folder) -> int:
    """In how many intentions of smihub a source is denied by its name."""
    written = [path.read_text() for path in (folder.root / "rendered" / "objects").glob("*ntentions*api*")]
    return sum("old_batch" in text for text in written)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("adapter", "name", "text"), [("consul", "theirs.hcl", HCL), ("consul-k8s", "theirs.yaml", RESOURCE)]
)
def test_whom_others_allow_everywhere_is_denied_by_name(folder: Folder, adapter: str, name: str, text: str) -> None:
    """Every intention is written again for it, once. That its file has gone does not say that Consul has it no more."""
    configured(folder, adapter=adapter)
    assert (folder.run("apply", "--yes").exit_code, denied_by_name(folder)) == (0, 0)
    standing(folder, name, text)
    assert (folder.run("apply", "--yes").exit_code, denied_by_name(folder)) == (0, 1)
    assert folder.run("plan").exit_code == 0
    (folder.root / "rendered" / "objects" / name).unlink()
    assert (folder.run("plan").exit_code, denied_by_name(folder)) == (0, 1)
    configured(folder, "wildcardSources: []", adapter)
    assert (folder.run("apply", "--yes").exit_code, denied_by_name(folder)) == (0, 0)


@pytest.mark.thorough
async def test_a_running_hub_plans_everything_again_for_it(folder: Folder) -> None:
    """When it reads the folder again and finds it, or finds it gone."""
    configured(folder)
    hub = Domains.open(folder.root / "smihub.yaml").hubs[0]
    hub.read()
    (mesh,) = hub.meshes
    await hub.apply(mesh, (await hub.plan(mesh)).plan)
    for change in (partial(standing, folder, "theirs.hcl", HCL), (folder.root / "rendered/objects/theirs.hcl").unlink):
        change()
        mesh.invalidate_mirror()
        units = (await mesh.observed()).units
        assert units
        assert mesh.drifted == units
        mesh.drifted.clear()
        mesh.invalidate_mirror()
        await mesh.observed()
        assert mesh.drifted == set()
    await hub.close()


def test_an_entry_in_hcl_is_not_written_a_second_time(folder: Folder) -> None:
    """It is somebody else's, whatever its file is called."""
    configured(folder, "wildcardSources: []")
    standing(
        folder, "any.hcl", 'Kind = "service-intentions"\nName = "shop_api"\nSources { Name = "*" Action = "deny" }\n'
    )
    plan = folder.run("plan")
    assert (plan.exit_code, "guard.foreign-owner" in plan.output) == (3, True)


def test_a_file_that_cannot_be_read_is_told_with_its_line(folder: Folder) -> None:
    """As a warning: what is in it is not smihub's, and may be anything."""
    configured(folder, "wildcardSources: []")
    standing(folder, "broken.hcl", 'Kind = "service-intentions"\nName = "shop_api"\nSources = [\n')
    plan = folder.run("plan")
    told = 'mesh consul: "objects/broken.hcl" cannot be read: line 4: found'
    assert (plan.exit_code, plan.output.count(told), plan.output.count("object.unread")) == (2, 1, 1)


@pytest.mark.thorough
def test_a_mesh_that_another_smihub_yaml_owns_is_not_told_of(folder: Folder) -> None:
    """It is not planned."""
    configured(folder)
    assert folder.run("apply", "--yes").exit_code == 0
    folder.config((folder.root / "smihub.yaml").read_text() + f'owner: "{"a" * 32}"\n')
    assert folder.run("apply", "--yes").exit_code == 0
    folder.config((folder.root / "smihub.yaml").read_text().replace("a" * 32, "b" * 32))
    plan = folder.run("plan")
    assert (plan.exit_code, CODE in plan.output, "guard.owner" in plan.output) == (3, False, True)
