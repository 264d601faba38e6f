"""The numbers of README's first table are true."""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import partial
from pathlib import Path

import pytest
import yaml

from adapters.consul.plugin import SPEC as CONSUL
from hub.model import Answer, Request
from hub.testing.documents import Scope, SinklessMesh, explainer_of
from hub.testing.kit import Case, load_cases, wrong_mesh_answers
from hub.testing.search import Explain
from tests.e2e import test_consul_obeys as consul
from tests.e2e import test_istio_obeys as istio
from tests.e2e import test_random_worlds as vm
from tests.servers.folder import Folder, target

ROOT = Path(__file__).parents[2]
PATTERNS = ROOT / "bench" / "patterns.txt"
ROW = re.compile(r"^\| (.+) \|$", re.MULTILINE)
MESHES = """\
domain: {trustDomain: cluster.local}
sources: [{path: manifests}]
meshes:
- {name: vm, adapter: vm, governed: all}
- {name: istio, adapter: istio, governed: all, sink: {path: rendered}}
- {name: filters, adapter: istio, governed: all, config: {patterns: envoyfilter}, sink: {path: rendered-by-filters}}
- {name: linkerd, adapter: linkerd, governed: all, sink: {path: rendered-too}}
"""


def row(title: str) -> list[str]:
    """The numbers of each mesh, in the row that begins so."""
    lines: list[str] = ROW.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    (line,) = (line for line in lines if line.startswith(title))
    return line.split(" | ")


def numbers(cell: str) -> list[int]:
    """Every number of a cell; thousands are set apart by a blank at which lines do not break."""
    return [
        int(found.replace("\N{NO-BREAK SPACE}", "")) for found in re.findall(r"\d+(?:\N{NO-BREAK SPACE}\d{3})*", cell)
    ]


@pytest.fixture
def patterns(tmp_path: Path) -> Folder:
    """A folder that grants each of the typical patterns, to an account of its own."""
    folder = Folder(tmp_path)
    folder.config(MESHES)
    lines = PATTERNS.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(line for line in lines if line and not line.startswith("#")):
        header = line.removeprefix("header: ")
        match = {"pathRegex": line} if header == line else {"headers": {"x-tier": header}}
        group = {
            "apiVersion": "specs.smi-spec.io/v1alpha4",
            "kind": "HTTPRouteGroup",
            "metadata": {"name": "routes", "namespace": f"n{number}"},
            "spec": {"matches": [{"name": "books", **match}]},
        }
        grant = target("t").replace("namespace: shop", f"namespace: n{number}")
        folder.write(f"{number}.yaml", yaml.safe_dump(group), grant)
    return folder


@pytest.mark.thorough
def test_every_mesh_has_every_case() -> None:
    """Each runs against all (tests/hub/test_cases.py); of Consul the cell counts those without a Loss."""
    title, *cells, of_consul = row("conformance cases")
    assert [numbers(title), *map(numbers, cells)] == [[len(load_cases())]] * 4
    assert numbers(of_consul) == [sum(map(_holds_on_consul, load_cases()))]


def _holds_on_consul(case: Case) -> bool:
    """Whether every request of a case is answered there as SMI says."""
    mesh = SinklessMesh("consul", CONSUL)
    for stage in case.stages:
        explain = explainer_of(stage.documents, (mesh,), Scope(reading=case.reading)).explain
        if wrong_mesh_answers(stage, partial(_mesh_answer, explain), partial(_smi_answer, explain)):
            return False
    return True


def _mesh_answer(explain: Explain, request: Request) -> Answer:
    return explain(request)[1]["consul"]


def _smi_answer(explain: Explain, request: Request) -> Answer:
    return explain(request)[0]


def test_so_many_requests_are_made() -> None:
    """At least: the tests themselves fail below, or make exactly so many."""
    _, *cells = row("random requests")
    assert [numbers(cell) for cell in cells[:2]] == [[2000, vm.MANY], [len(istio.SEEDS) * istio.CALLS]]
    assert numbers(cells[-1]) == [sum(map(len, consul.SEEDS.values())) * consul.CALLS]


@pytest.mark.thorough
def test_so_many_patterns_are_written_exactly(patterns: Folder) -> None:
    """A Loss of access leaves an account without its grant; a narrowed path is the other kind."""
    title, *cells = row("of 283")
    said = json.loads(patterns.run("render", "-o", "json").stdout)["meshes"]
    lossy = {mesh["mesh"]: [loss["code"] for loss in mesh["losses"]] for mesh in said}
    total = len(list(patterns.manifests.iterdir()))
    assert {mesh["mesh"]: len({each["unit"] for each in mesh["losses"]}) for mesh in said} == {
        name: len(codes) for name, codes in lossy.items()
    }, "one Loss for each pattern"
    istio_exact = [total - len(lossy["istio"]), Counter(lossy["istio"])["istio.path-narrowed"]]
    istio_exact.append(total - len(lossy["filters"]))
    assert numbers(title) == [total]
    exact = [[total - len(lossy["vm"])], istio_exact, [total - len(lossy["linkerd"])]]
    assert [numbers(cell) for cell in cells[:-1]] == exact
