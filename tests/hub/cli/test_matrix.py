"""`smihub matrix`: who may call whom, for people, for scripts and for a pull request."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hub.matrix.seeing import PODS
from tests.servers.folder import Folder

GRANT = """\
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: t, namespace: d}
spec:
  destination: {kind: ServiceAccount, name: api, namespace: d}
  sources: [{kind: ServiceAccount, name: web, namespace: d}]
  rules: [{kind: HTTPRouteGroup, name: r}]
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: r, namespace: d}
spec: {matches: [{name: m, methods: [GET], pathRegex: "/v[0-9]+/x", headers: {x-tier: "g|b`a"}}]}
"""


@pytest.fixture(name="source")
def a_folder(tmp_path: Path) -> Path:
    """A folder with one grant that Istio cannot say."""
    source = tmp_path / "smi"
    source.mkdir()
    (source / "all.yaml").write_text(PODS + GRANT, encoding="utf-8")
    return source


def test_the_grid_shows_who_may_call_whom(folder: Folder, source: Path) -> None:
    """A row for each caller, a column for each receiver; a star where a mesh says something else."""
    said = folder.run("matrix", "--source", str(source))
    assert said.exit_code == 0
    rows = {line.split()[0]: line.split()[1:] for line in said.stdout.splitlines() if line.startswith("d/")}
    assert rows == {"d/api": [".", ".", "."], "d/old": [".", ".", "."], "d/web": ["part*", ".", "."]}
    assert "[1] d/api" in said.stdout


@pytest.mark.thorough
def test_one_cell_says_which_requests(folder: Folder, source: Path) -> None:
    """Port by port, with an example of each class, and why a mesh refuses it."""
    said = folder.run("matrix", "--source", str(source), "--from", "d/web", "--to", "d/api").stdout
    assert "d/web -> d/api" in said
    assert "port 8080, http: SMI: part, istio: none" in said
    assert "GET /v0/x with " in said
    assert "istio: istio.path-not-expressible" in said


@pytest.mark.thorough
def test_data_has_an_example_that_explain_takes(folder: Folder, source: Path) -> None:
    """Each line of requests has one as `explain --batch` reads it, and that answers the same."""
    data = json.loads(folder.run("matrix", "--source", str(source), "-o", "json").stdout)
    assert data["schema"] == 2
    assert data["receivers"] == ["d/api", "d/old", "d/web"]
    (cell,) = data["cells"]
    assert (cell["from"], cell["to"], cell["smi"], cell["meshes"]["istio"]) == ("d/web", "d/api", "part", "none")
    asked = [each for port in cell["ports"] for each in port["requests"]]
    batch = source.parent / "batch.jsonl"
    batch.write_text("".join(json.dumps(each["example"]) + "\n" for each in asked), encoding="utf-8")
    answers = folder.run("explain", "--source", str(source), "--batch", str(batch)).stdout.splitlines()
    for each, answer in zip(asked, map(json.loads, answers), strict=True):
        assert answer["smi"]["verdict"] == each["smi"]
        assert {name: said["verdict"] for name, said in answer["meshes"].items()} == each["meshes"]
        assert (
            each.get("losses", {}).items() <= {name: said["losses"] for name, said in answer["meshes"].items()}.items()
        )


@pytest.mark.thorough
def test_markdown_has_a_table_in_which_nothing_breaks_out(folder: Folder, source: Path) -> None:
    """What users wrote stands in code spans, without the signs that end them."""
    said = folder.run("matrix", "--source", str(source), "-o", "markdown").stdout
    assert "| from / to | `d/api` | `d/old` | `d/web` |" in said
    assert "| `d/web` | `part*` | `.` | `.` |" in said
    rows = [line for line in said.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5, 7}
    assert "istio (istio.path-not-expressible)" in said


@pytest.mark.thorough
@pytest.mark.parametrize("option", ["--from", "--to"])
def test_a_name_that_nobody_has_is_refused(folder: Folder, source: Path, option: str) -> None:
    """With the option that is wrong."""
    said = folder.run("matrix", "--source", str(source), option, "d/nobody")
    assert said.exit_code == 1
    assert f'{option} "d/nobody"' in said.stderr


def test_a_folder_without_receivers_says_why_there_is_nothing(folder: Folder, tmp_path: Path) -> None:
    """Instead of an empty grid."""
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "routes.yaml").write_text(GRANT.partition("---\n")[2], encoding="utf-8")
    assert "nobody receives anything" in folder.run("matrix", "--source", str(tmp_path / "none")).stdout


def test_the_grid_of_a_configuration_has_its_meshes(folder: Folder) -> None:
    """And `--mesh` leaves the others out."""
    data = json.loads(folder.run("matrix", "-o", "json").stdout)
    assert data["meshes"]
    assert (
        json.loads(folder.run("matrix", "-o", "json", "--mesh", data["meshes"][0]).stdout)["meshes"]
        == data["meshes"][:1]
    )
