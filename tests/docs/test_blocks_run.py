"""Blocks of README.md, cli.md, gitops.md, install.md, istio.md, linkerd.md and vm.md do what their pages say, mostly on the example of deploy/."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
import yaml

from hub.config.file import load_configs
from hub.expect.read import read
from hub.meshes import meshes_of
from hub.model import Document
from hub.plugins import installed_plugins
from hub.smi import decode
from tests.docs.page_blocks import ROOT, block, blocks_of, commands, prints
from tests.servers.folder import CONFIG, Folder, shop

EXAMPLE = ROOT / "deploy" / "examples"
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
OURS = {
    "domain": {"trustDomain": "cluster.local"},
    "sources": [{"path": "."}],
    "meshes": [{"name": "istio", "adapter": "istio", "sink": {"path": "rendered"}}],
}
WHO = """\
apiVersion: v1
kind: Service
metadata: {name: who, namespace: w}
spec: {selector: {app: who}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {name: who-1, namespace: w, labels: {app: who}}
spec: {serviceAccount: who, addresses: [10.0.0.1], ports: [{port: 8080}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: any, namespace: w}
spec: {matches: [{name: all, methods: ["*"]}]}
---
apiVersion: access.smi-spec.io/v1alpha2
kind: TrafficTarget
metadata: {name: t, namespace: w}
spec:
  destination: {kind: ServiceAccount, name: who, namespace: w, port: 80}
  rules: [{kind: HTTPRouteGroup, name: any, matches: [all]}]
  sources: [{kind: ServiceAccount, name: who-client, namespace: w}]
"""


@pytest.fixture(name="bookshop")
def make_bookshop(tmp_path: Path) -> Folder:
    """The example with one mesh for VMs, and its expectations beside it."""
    folder = Folder(tmp_path)
    folder.config(f"{CONFIG}owner: {'0' * 32}\n")
    copytree(EXAMPLE / "bookshop", folder.manifests, dirs_exist_ok=True)
    (tmp_path / "bookshop.test.yaml").write_bytes((EXAMPLE / "bookshop.test.yaml").read_bytes())
    return folder


def differing(folder: Folder, text: str) -> list[str]:
    """Run the commands of a block; those that print something else than the page says, with what they print."""
    return [
        f"{command}\n{output}"
        for command, written in commands(text)
        if not prints(written, output := folder.run(*shlex.split(command, comments=True)[1:]).output)
    ]


# --------------------------------------------------------------------------- README.md


@pytest.mark.thorough
def test_readme_in_your_own_folder(bookshop: Folder) -> None:
    """Every verb, in this order, ends as a first user expects; `apply` has nobody to ask here, and `run` is ended."""
    (bookshop.root / "smihub.yaml").unlink()
    (bookshop.root / "bookshop.test.yaml").rename(bookshop.root / "shop.test.yaml")
    setup, *lines = (command for command, _ in commands(block("README.md", "$ make setup").text))
    assert setup.startswith("make setup")
    codes = {"plan": 2, "status": 1, "doctor": None}  # no Envoy has connected; what a machine lacks differs
    for line in lines:
        verb, *options = shlex.split(line, comments=True)[1:]
        if verb == "run":
            assert running(bookshop)
            continue
        result = bookshop.run(verb, *options, *(["--yes"] if verb == "apply" else []))
        assert codes.get(verb, 0) in {result.exit_code, None}, f"{line}\n{result.output}"


def running(folder: Folder, *command: str) -> str:
    """What a command prints while `smihub run` serves the folder; without one, whether it starts."""
    log = folder.root / "run.log"
    with log.open("wb") as file, subprocess.Popen(folder.command("run"), cwd=folder.root, stderr=file) as hub:
        try:
            for _ in range(200):
                time.sleep(0.1)
                if b"hub_started" in log.read_bytes() and (folder.root / ".smihub-sockets" / "hub.http.sock").exists():
                    done = subprocess.run(
                        command or ["echo", "up"], cwd=folder.root, capture_output=True, text=True, check=True
                    )
                    return done.stdout
        finally:
            hub.terminate()
    raise AssertionError(log.read_text())


# --------------------------------------------------------------------------- cli.md


@pytest.mark.thorough
def test_a_running_hub_answers(bookshop: Folder) -> None:
    """cli.md: /readyz through its Unix socket."""
    ((command, written),) = commands(block("docs/cli.md", "$ curl").text)
    ready = f"until {command} | grep -x {written.strip()}; do sleep 0.1; done"
    assert running(bookshop, "timeout", "20", "bash", "-c", ready) == written


@pytest.mark.thorough
def test_a_saved_plan(bookshop: Folder) -> None:
    """cli.md: saved, then applied as it is."""
    saving, applying = commands(block("docs/cli.md", "$ smihub plan --save").text)
    result = bookshop.run(*shlex.split(saving[0])[1:])
    assert prints(saving[1], result.output), result.output
    assert bookshop.run(*shlex.split(applying[0])[1:]).exit_code == 0


def test_explain(tmp_path: Path) -> None:
    """cli.md: a path in another form, where SMI and the mesh differ."""
    folder = shop(tmp_path)
    folder.write("routes.yaml", (folder.manifests / "routes.yaml").read_text().replace("/books", "/v1/books.*"))
    assert differing(folder, block("docs/cli.md", "$ smihub explain --from shop/web").text) == []


@pytest.mark.thorough
def test_a_matrix(bookshop: Folder) -> None:
    """cli.md: the example's, with the mesh for VMs."""
    assert differing(bookshop, block("docs/cli.md", "$ smihub matrix").text) == []


def test_explain_a_near_miss(tmp_path: Path) -> None:
    """cli.md: the port of the Service instead of the workload's."""
    folder = Folder(tmp_path)
    folder.config()
    folder.write("who.yaml", WHO)
    assert differing(folder, block("docs/cli.md", "$ smihub explain --from w/who").text) == []


def test_explain_an_access_log(bookshop: Folder) -> None:
    """cli.md, with lines of a log as vm.md shows one."""
    shown = json.loads(block("docs/vm.md", '{"caller"').text)
    line = {**shown, "method": "PUT", "time": "2026-07-01T11:00:00.000Z"}
    (bookshop.root / "denials.jsonl").write_text(f"{json.dumps(line)}\n" * 12)
    bookshop.config(CONFIG.replace("cluster.local", "td"))
    text = block("docs/cli.md", "$ smihub explain --access-log").text
    assert differing(bookshop, text.replace("/etc/envoy/api-1/", "")) == []


def test_expectations(bookshop: Folder) -> None:
    """cli.md: the file is one of expectations; in the example they are met, where the mesh on Istio is left out."""
    text = block("docs/cli.md", "apiVersion: smihub.io/v1alpha1").text
    path = bookshop.root / "page.test.yaml"
    path.write_text(text)
    assert len(read(str(path))) == 3
    path.write_text(re.sub(r"(?m)^  meshes: .*\n", "", text))
    result = bookshop.run("test", "page.test.yaml")
    assert result.exit_code == 0, result.output


def test_a_failed_expectation(bookshop: Folder) -> None:
    """cli.md: the example, with one expectation that is not met."""
    path = bookshop.root / "bookshop.test.yaml"
    tests: dict[str, Any] = yaml.load(path.read_text(), yaml.CSafeLoader)
    assert tests["tests"][2]["expect"] == "deny"
    head, name, rest = path.read_text().partition("- name: the partner does no more\n")
    path.write_text(head + name + rest.replace("expect: deny", "expect: allow", 1))
    assert differing(bookshop, block("docs/cli.md", "$ smihub test").text) == []


def test_a_request_of_a_batch(bookshop: Folder) -> None:
    """cli.md: the request, and of its answer what the page shows."""
    asked, shown = (each.text for each in blocks_of(ROOT / "docs" / "cli.md") if each.kind == "json")
    answer = json.loads(bookshop.run("explain", "--batch", "-", "--source", "manifests", text=asked).stdout)
    wanted = json.loads(shown)
    for mesh, found in wanted.pop("meshes").items():
        assert found.items() <= answer["meshes"][mesh].items()
    assert {**answer, "meshes": None} == {**wanted, "meshes": None}


# --------------------------------------------------------------------------- what is pasted into files

SETTINGS = [
    *(("docs/cli.md", begins) for begins in ("sources:", "domains:", "accept:", "http:")),
    *(
        ("docs/gitops.md", "meshes:"),
        ("docs/istio.md", "meshes:"),
        ("docs/linkerd.md", "meshes:"),
        ("docs/consul.md", "meshes:"),
    ),
    ("docs/vm.md", "meshes:"),
]


@pytest.mark.parametrize(("page", "begins"), SETTINGS)
def test_settings_are_read(tmp_path: Path, page: str, begins: str) -> None:
    """Each block of smihub.yaml in cli.md, gitops.md, istio.md, linkerd.md and vm.md, with what it leaves out."""
    found = [each for each in blocks_of(ROOT / page) if each.kind == "yaml" and each.first.startswith(begins)]
    assert found
    for each in found:
        given = yaml.load(each.text, yaml.CSafeLoader)
        left_out = {} if "domains" in given else OURS
        (tmp_path / "smihub.yaml").write_text(yaml.safe_dump(left_out | given))
        configs = load_configs(tmp_path / "smihub.yaml")
        assert configs
        for config in configs:
            meshes_of(config, installed_plugins())


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("page", "begins"), [("docs/cli.md", "- run: smihub check"), ("docs/gitops.md", "- run: smihub plan")]
)
def test_steps_of_a_pipeline(bookshop: Folder, page: str, begins: str) -> None:
    """The first step of the pipelines in cli.md and gitops.md, as the shell of a runner runs it; the others send what it wrote away."""
    step, upload = yaml.load(block(page, begins).text, yaml.CSafeLoader)
    written = re.search(r"> (\S+)", step["run"])
    assert written is not None
    subprocess.run(["bash", "-e", "-c", step["run"]], cwd=bookshop.root, env={**os.environ, "PATH": PATH}, check=True)
    assert (bookshop.root / written[1]).stat().st_size > 100
    assert written[1] in str(upload)


def test_a_workload() -> None:
    """vm.md: a Workload with every field, in which nothing is wrong."""
    decoded = decode(Document(yaml.load(block("docs/vm.md", "apiVersion: smihub.io").text, yaml.CSafeLoader)))
    assert decoded.object is not None
    assert decoded.problems == ()


def test_versions_without_hashes(tmp_path: Path) -> None:
    """install.md: what pip is given has every version of constraints.txt and nothing else."""
    (tmp_path / "constraints.txt").write_bytes((ROOT / "constraints.txt").read_bytes())
    command, _ = next(commands(block("docs/install.md", "$ sed").text))
    subprocess.run(["bash", "-e", "-c", command], cwd=tmp_path, check=True)
    pinned = re.findall(r"(?m)^([A-Za-z0-9._-]+==[^ \\]+)", (ROOT / "constraints.txt").read_text())
    assert len(pinned) > 30
    assert [line.strip() for line in (tmp_path / "versions.txt").read_text().splitlines()] == pinned
