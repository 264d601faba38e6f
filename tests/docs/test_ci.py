"""The pipelines of docs/ci.md: every command of smihub in them is run, in a repository like the one that they are for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.servers.folder import ROUTES, WORKLOADS, Folder, target

PAGE = Path(__file__).parents[2] / "docs" / "ci.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CONFIG = """\
domain: {trustDomain: cluster.local}
sources: [{path: manifests}]
meshes: [{name: istio, adapter: istio, sink: {path: rendered}}]
"""
EXPECTATIONS = """\
apiVersion: smihub.io/v1alpha1
kind: Test
tests: [{name: web reads, from: shop/web, to: 'shop/api:80', path: /books, expect: allow}]
"""
ELSEWHERE = ("gh ", "pip ", "git push", "curl ", "apt-get ", "exit $code")
"""What begins so needs a forge or the network, and is not run."""


def text() -> str:
    """The page."""
    return PAGE.read_text(encoding="utf-8")


def pipelines() -> tuple[dict[Any, Any], dict[Any, Any]]:
    """The one for GitHub and the one for GitLab."""
    github, gitlab = (yaml.load(body, yaml.CSafeLoader) for kind, body in BLOCK.findall(text()) if kind == "yaml")
    return github, gitlab


def scripts() -> Iterator[tuple[str, str]]:
    """Each job as one script, without what is not run; a step of GitHub has a shell of its own."""
    github, gitlab = pipelines()
    for name, job in github["jobs"].items():
        steps = [step["run"] for step in job["steps"] if "run" in step]
        yield f"github {name}", "\n".join(f"( {local(step)}\n)" for step in steps if local(step))
    for name in ("plan", "apply"):
        yield f"gitlab {name}", local("\n".join(gitlab[name]["script"]))


def local(script: str) -> str:
    """The lines that need nothing from elsewhere."""
    return "\n".join(line for line in script.splitlines() if not line.startswith(ELSEWHERE))


@pytest.fixture
def repository(tmp_path: Path) -> Folder:
    """A folder in Git, with SMI, expectations and an empty folder of rendered objects."""
    folder = Folder(tmp_path)
    folder.config(CONFIG)
    folder.write("workloads.yaml", WORKLOADS)
    folder.write("routes.yaml", ROUTES)
    folder.write("access.yaml", target("api-from-web"))
    (tmp_path / "shop.test.yaml").write_text(EXPECTATIONS, encoding="utf-8")
    assert run(folder, f"git init -q -b main && git add . && {COMMIT} && git branch origin/main") == 0
    return folder


COMMIT = "git -c user.name=a -c user.email=a@example.org commit -q -m all"


def run(folder: Folder, script: str) -> int:
    """The exit code of a script as a pipeline runs it: it ends with the first command that fails."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", script], cwd=folder.root, env={**os.environ, "PATH": path}, check=False
    ).returncode


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "script"), list(scripts()), ids=[name for name, _ in scripts()])
def test_every_job_does_its_work(repository: Folder, name: str, script: str) -> None:
    """The plan ends with 0 although there are changes, with its report and comment; apply leaves a commit."""
    assert "smihub" in script
    assert run(repository, script) == 0
    if "plan" in name:
        assert "shop/web" in (repository.root / "plan.md").read_text(encoding="utf-8")
        assert (repository.root / "report.xml").is_file()
    else:
        assert (
            run(repository, "git diff --exit-code HEAD -- rendered && git ls-files rendered | grep -q Authorization")
            == 0
        )


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "script"), list(scripts()), ids=[name for name, _ in scripts()])
def test_a_broken_object_fails_every_job(repository: Folder, name: str, script: str) -> None:
    """Also that of GitLab which commits first."""
    repository.write("access.yaml", target("api-from-web").replace("rules:", "rulez:"))
    assert run(repository, script + "\nexit ${code:-0}") != 0


@pytest.mark.thorough
def test_a_folder_that_is_not_up_to_date_is_seen(repository: Folder) -> None:
    """The block of the other way: 0 only if the folder was committed; then the comment compares with the target branch."""
    (block,) = (body for kind, body in BLOCK.findall(text()) if kind == "sh")
    assert run(repository, block) == 2
    assert (
        run(
            repository,
            f"mkdir -p rendered && touch rendered/.keep && git add -f rendered && {COMMIT} && git branch -f origin/main",
        )
        == 0
    )
    assert run(repository, f"smihub apply --yes -q && git add . && {COMMIT}") == 0
    assert run(repository, block) == 0
    assert "+ shop/web -> shop/api" in (repository.root / "plan.md").read_text(encoding="utf-8")
