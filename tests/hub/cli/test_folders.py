"""Folders as people have them: what of a repository is read, what is left alone, and what holds everything up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub.api import SERVICE_ACCOUNT_LABEL
from tests.hub.cli.test_run import running
from tests.servers.folder import Folder, target

HELM = (
    "{{- if .Values.on }}\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{ .Release.Name }}\n{{- end }}\n"
)
BESIDE = {
    "chart/Chart.yaml": "apiVersion: v2\nname: demo\n",
    "chart/values-prod.yaml": "replicas: {{ 3\n",
    "chart/templates/deploy.yaml": HELM,
    "ci/docker-compose.yml": 'x-env: &env {A: "1"}\nservices:\n  a: {image: x, environment: {<<: *env, B: "2"}}\n',
    "infra/patch.yaml": "- op: remove\n  path: /spec/sources/0\n",
    "infra/scrape.yaml": "- job_name: x\n",
    "infra/stack.yaml": 'Resources:\n  B: {Type: "AWS::S3::Bucket", Properties: {BucketName: !Ref Name}}\n',
    "infra/tcp.yaml": "tcp:\n  8080: shop/api:80\n",
    "notes.yaml": "nothing but words\n",
    "web/package.json": '{"name": "x"}\n',
    "web/tsconfig.json": '{\n  // comments are usual here\n  "compilerOptions": {"strict": true}\n}\n',
}
"""What stands beside the SMI files of a usual repository, and has nothing to do with them."""


def write(folder: Folder, files: dict[str, str]) -> None:
    """Put files into the source, with their folders."""
    for name, text in files.items():
        folder.write(name, text)


def problems(folder: Folder, *arguments: str) -> list[tuple[str, str]]:
    """What `check` tells: severity and code."""
    found = json.loads(folder.run("check", "-o", "json", *arguments).stdout)["problems"]
    return [(each["severity"], each["code"]) for each in found]


@pytest.mark.thorough
def test_a_repository_with_other_peoples_files_is_planned_as_if_they_were_not_there(folder: Folder) -> None:
    """One warning for the chart and one for the rest, no error; nothing waits, and everything is granted."""
    alone = folder.plan()["meshes"]
    write(folder, BESIDE)
    assert sorted(problems(folder)) == [("warning", "file.template"), ("warning", "file.unrelated")]
    assert folder.run("check").exit_code == 0
    assert folder.plan()["meshes"] == alone
    assert folder.run("render", "vms").exit_code == 0


def test_files_that_everybody_knows_get_no_word(folder: Folder) -> None:
    """Neither do lists without a kind."""
    names = ("Chart.yaml", "values.yaml", "values-eu.yml", "kustomization.yaml", "package.json", "Kustomization")
    write(folder, dict.fromkeys(names, "name: demo\n") | {"list.yaml": "- a: 1\n"})
    assert problems(folder) == []


def test_a_document_without_a_kind_among_objects_is_told_with_its_line(folder: Folder) -> None:
    """In a file of ours it is a mistake, not somebody else's."""
    folder.write("more.yaml", target("more") + "---\nspec: {}\n")
    assert problems(folder) == [("warning", "object.no-kind")]


@pytest.mark.thorough
@pytest.mark.parametrize(
    "text",
    [
        "{{ if .Values.on }}\napiVersion: access.smi-spec.io/v1alpha3\n{{ end }}\n",
        f"{{{{ x }}}}\nlabels: {{{SERVICE_ACCOUNT_LABEL}: web}}\n",
        "kind: Service\nmetadata: [\n",
        'a: [\n"kind" : "PodList"\n',
        "- kind:\n    Deployment\n  [\n",
        "\ufeffa: [ smi-spec.io",
        "# SMI-SPEC.IO\na: [\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be", "utf-32"])
def test_a_file_that_may_be_of_ours_holds_gains_whatever_is_wrong_with_it(
    folder: Folder, text: str, encoding: str
) -> None:
    """It names SMI or smihub, or holds a kind that is read; also in UTF-16, which is not read, with a mark or without."""
    folder.write("odd.yaml", text.encode(encoding))
    assert [severity for severity, _ in problems(folder)] == ["error"]
    assert folder.plan()["meshes"][0]["held"] == ["access/shop/api"]


@pytest.mark.thorough
def test_a_template_that_happens_to_be_yaml_is_no_object(folder: Folder) -> None:
    """A quoted name that is still to be filled in: no error, no doubt about what ports speak; objects beside it count."""
    alone = folder.plan()["meshes"]
    name = 'apiVersion: v1\nkind: Service\nmetadata: {name: "{{ .Values.name }}"}\nspec: {ports: [{port: 80}]}\n'
    folder.write("ansible.yaml", name)
    assert problems(folder) == [("warning", "file.template")]
    assert folder.plan()["meshes"] == alone


@pytest.mark.thorough
@pytest.mark.parametrize("text", ["a: [\n", "{{ x }}\n", "\x00"])
def test_a_file_from_which_something_stands_is_missed_whatever_it_looks_like_now(folder: Folder, text: str) -> None:
    """The Service that declares HTTP becomes other people's text: a fresh process holds what stands, and says so."""
    service = (folder.manifests / "workloads.yaml").read_text().rpartition("---\n")
    folder.write("workloads.yaml", service[0])
    folder.write("service.yaml", service[2])
    assert folder.run("apply", "--yes").exit_code == 0
    folder.write("service.yaml", text)
    folder.write("more.yaml", target("more", source="peer"))
    plan = folder.plan()["meshes"][0]
    assert (plan["held"], plan["newlyDenied"], plan["newlyAllowed"]) == (["access/shop/api"], [], [])
    assert folder.run("plan").exit_code == 1


@pytest.mark.thorough
@pytest.mark.parametrize("text", ["a: [\n", "{{ x }}\n"])
def test_the_log_of_a_hub_that_starts_names_such_a_file_and_nothing_that_only_follows(
    folder: Folder, text: str
) -> None:
    """No Service is told missing, and no template unread, while what the file held still stands; told anew once it is mended."""
    service = (folder.manifests / "workloads.yaml").read_text().rpartition("---\n")
    folder.write("workloads.yaml", service[0])
    folder.write("service.yaml", service[2])
    assert folder.run("apply", "--yes").exit_code == 0
    folder.write("service.yaml", text)
    with running(folder) as hub:
        unread = hub.until("source_unread")
        folder.write("service.yaml", service[2])
        hub.until("source_read")
        hub.end()
    assert (unread["level"], unread["part"]) == ("error", "service.yaml")
    assert "problem_found" not in {each["event"] for each in hub.events}


def configured(folder: Folder, source: str) -> None:
    """Give the folder a source with these settings beside its path."""
    path = folder.root / "smihub.yaml"
    path.write_text(path.read_text().replace("- path: manifests", f"- path: manifests\n{source}"))


BAD = "apiVersion: access.smi-spec.io/v1alpha3\nkind: TrafficTarget\nspec: [\n"


@pytest.mark.thorough
@pytest.mark.parametrize(
    "setting",
    [
        '  exclude: ["drafts/"]',
        '  exclude: ["drafts/**"]',
        "  exclude: [bad.yaml]",
        '  include: ["*.yaml", "!drafts/**"]',
        '  include: ["/*.yaml"]',
    ],
)
def test_what_a_source_excludes_or_does_not_include_is_not_read(folder: Folder, setting: str) -> None:
    """With patterns as in a .gitignore; a broken file there holds nothing up."""
    alone = folder.plan()["meshes"]
    write(folder, {"drafts/deep/bad.yaml": BAD})
    assert folder.run("check").exit_code == 1
    configured(folder, setting)
    assert folder.run("check").exit_code == 0
    assert folder.plan()["meshes"] == alone


@pytest.mark.thorough
def test_an_ignore_file_in_the_source_leaves_files_out(folder: Folder) -> None:
    """Comments, folders and exceptions, as git reads them; what it lets in is read."""
    write(folder, {"drafts/bad.yaml": BAD, "old/bad.yaml": BAD, "old/good.yaml": target("good", matches="orders")})
    folder.write(".smihubignore", "# not yet\ndrafts/\nold/*\n!old/good.yaml\n")
    assert problems(folder) == []
    assert any("/orders" in line for line in folder.plan()["meshes"][0]["newlyAllowed"])


@pytest.mark.parametrize("content", [b"a.yaml\n!\n", b"\xff\n"])
def test_an_ignore_file_that_cannot_be_read_leaves_nothing_in(folder: Folder, content: bytes) -> None:
    """What it leaves out is not known, so nothing of the source is used."""
    folder.write(".smihubignore", content)
    result = folder.run("plan")
    assert result.exit_code == 1
    assert ".smihubignore" in result.stderr


def test_a_pattern_that_is_none_is_told(folder: Folder) -> None:
    """With the source and the pattern."""
    configured(folder, '  exclude: ["a", "!"]')
    result = folder.run("check")
    assert result.exit_code == 1
    assert 'source "manifests": exclude: line 2 "!" is not a valid pattern' in result.stderr


SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: eu}\nspec: {selector: {app: eu}, ports: [{port: 80}]}\n"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("overlay", "told"),
    [
        ("resources: [../base]\nnamespace: prod\n", 1),
        ("resources: [../base]\nnamespace: default\n", 0),
        ("resources: [../base/all.yaml]\nnamePrefix: eu-\n", 1),
        ("bases: [../base]\nnameSuffix: -eu\n", 1),
        ("resources: [../middle]\nnamespace: prod\n", 1),
        ("resources: [../base]\n", 0),
        ("resources: [../other]\nnamespace: prod\n", 0),
        ("resources: [../base]\npatches: [{path: p.yaml}]\n", 1),
        ("resources: [../base]\npatches: [{path: p.yaml, target: {kind: Ingress}}]\n", 0),
        ('resources: [../base]\npatches: [{patch: "{kind: Ingress, metadata: {name: x}}"}]\n', 0),
        ('resources: [../base]\npatches: [{patch: "{kind: Service, metadata: {name: eu}}"}]\n', 1),
        ("resources: [../base]\npatchesStrategicMerge: [p.yaml]\n", 1),
        ("resources: [../base]\nimages: [{name: x, newTag: v2}]\n", 0),
    ],
)
@pytest.mark.parametrize("name", ["kustomization.yaml", "kustomization.yml", "Kustomization"])
def test_a_kustomization_above_what_is_read_raw_is_told(folder: Folder, overlay: str, told: int, name: str) -> None:
    """One that changes what it builds on: its namespace, names, or by patches. On VMs that is a warning."""
    middle = "kind: Kustomization\nresources: [../base/all.yaml]\n"
    write(folder, {f"prod/{name}": overlay, "base/all.yaml": SERVICE, "middle/kustomization.yaml": middle})
    assert problems(folder) == [("warning", "source.kustomization")] * told
    assert folder.plan()["meshes"][0]["refused"] == []


DEPLOYMENT = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: api}}
spec:
  selector: {{matchLabels: {{app: api}}}}
  template:
    metadata: {{labels: {{app: api, {SERVICE_ACCOUNT_LABEL}: api}}}}
    spec: {{serviceAccountName: api, containers: [{{name: c, image: x}}]}}
---
"""
GRANT = target("api").replace(", namespace: shop", "")
ROUTES = """\
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: routes}
spec: {matches: [{name: books, methods: [GET]}]}
"""


def test_a_mesh_that_selects_pods_refuses_what_a_kustomization_moves_elsewhere(tmp_path: Path) -> None:
    """The Pods that run have another namespace than the policies, so they would stay open; the rest goes on."""
    folder = Folder(tmp_path)
    folder.config(
        "domain: {trustDomain: cluster.local}\nsources: [{path: manifests}]\n"
        "meshes: [{name: istio, adapter: istio, sink: {kind: directory, path: out}}]\n"
    )
    write(folder, {"base/all.yaml": DEPLOYMENT + GRANT + ROUTES})
    assert folder.plan()["meshes"][0]["refused"] == []
    write(folder, {"prod/kustomization.yaml": "resources: [../base]\nnamespace: prod\n"})
    [refusal] = folder.plan()["meshes"][0]["refused"]
    assert (refusal["code"], refusal["unit"]) == ("source.kustomization", "access/default/api")
    assert "kubectl kustomize manifests/prod" in refusal["remedy"]
    assert folder.run("plan").exit_code == 3


@pytest.mark.thorough
@pytest.mark.parametrize(
    "arguments",
    [("check",), ("plan",), ("render", "vms"), ("explain", "--from", "shop/web", "--to", "shop/api:80")],
)
def test_what_another_command_writes_is_read_from_standard_input(folder: Folder, arguments: tuple[str, ...]) -> None:
    """In place of the sources that smihub.yaml names; a second reading of it is that of the same bytes."""
    written = "---\n".join(path.read_text() for path in sorted(folder.manifests.glob("*.yaml")))
    named = folder.run(*arguments)
    for path in folder.manifests.glob("*.yaml"):
        path.unlink()
    piped = folder.run(*arguments, "--source", "-", text=written)
    assert named.exit_code in {0, 2}
    assert (piped.exit_code, piped.stdout.splitlines()[:1]) == (named.exit_code, named.stdout.splitlines()[:1])


@pytest.mark.parametrize("text", ["", "# nothing\n", "a: [\n"])
def test_standard_input_without_an_object_is_an_error(folder: Folder, text: str) -> None:
    """An empty pipe, as of a command before it that failed, never means that there is nothing."""
    result = folder.run("check", "--source", "-", text=text)
    assert result.exit_code == 1
    assert "standard input" in result.stderr


def test_a_saved_plan_is_of_the_configured_sources(folder: Folder) -> None:
    """What `apply` could not read again is not saved."""
    result = folder.run("plan", "--source", "manifests", "--save", "review.plan")
    assert result.exit_code == 1
    assert "--save" in result.stderr


def test_a_patch_beside_what_it_patches_is_told_as_one(folder: Folder) -> None:
    """A second object of that name, not alike: the remedy names kustomize."""
    folder.write(
        "patch.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: api, namespace: shop}\nspec: {ports: []}\n"
    )
    found = json.loads(folder.run("check", "-o", "json").stdout)["problems"]
    assert any("a kustomize patch" in each["remedy"] for each in found if each["code"] == "object.unequal")


@pytest.mark.parametrize("verb", [("check",), ("explain", "--to", "shop/api:80"), ("test", "x.yaml"), ("matrix",)])
def test_an_empty_source_is_not_this_folder(folder: Folder, verb: tuple[str, ...]) -> None:
    """A variable that is not set would otherwise give another answer than that of the sources."""
    result = folder.run(*verb, "--source", "")
    assert result.exit_code
    assert "name a folder or a file" in result.stderr
