"""The example adapter of Gateway API (GAMMA), as a stranger would write it: installed beside smihub, judged by the kit, at work."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from random import SystemRandom

import pytest
import yaml

from tests.docs.page_blocks import block, prints
from tests.house.packages import copied, installed
from tests.servers.folder import ROUTES, Folder, target

pytestmark = pytest.mark.thorough
ROOT = Path(__file__).parents[2]
GAMMA = ROOT / "examples" / "adapters" / "gamma"
CONFIG = """\
domain: {trustDomain: cluster.local}
sources: [{path: manifests}]
meshes: [{name: mesh, adapter: gamma, governed: routes, sink: {kind: directory, path: rendered}}]
"""
SHOP = """\
apiVersion: v1
kind: Service
metadata: {name: api, namespace: shop}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: api-v2, namespace: shop}
spec: {selector: {app: api-v2}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api-1, namespace: shop, labels: {app: api}}
spec: {serviceAccountName: api, containers: [{name: a, ports: [{containerPort: 8080}]}]}
---
apiVersion: split.smi-spec.io/v1alpha4
kind: TrafficSplit
metadata: {name: canary, namespace: shop}
spec: {service: api, backends: [{service: api, weight: 90}, {service: api-v2, weight: 10}]}
---
"""
FILE = "shop_HTTPRoute.gateway.networking.k8s.io_smihub-api-80.yaml"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, away from this repository, so that nothing is found by chance."""
    return copied(GAMMA, tmp_path_factory.mktemp("gamma"))


@pytest.fixture(scope="module")
def site(package: Path) -> Path:
    """A folder into which pip has installed it."""
    return installed(package)


@pytest.fixture
def environment(site: Path) -> dict[str, str]:
    """The environment of a process that has it installed, and no options of ours."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith("PYTEST_")}
    return kept | {"PYTHONPATH": str(site)}


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A shop with a TrafficSplit and a TrafficTarget."""
    monkeypatch.setenv("PYTHONPATH", str(site))
    folder = Folder(tmp_path)
    folder.config(CONFIG)
    folder.write("shop.yaml", SHOP)
    folder.write("access.yaml", ROUTES, target("api-from-web"))
    return folder


def test_it_imports_hub_api_alone() -> None:
    """Of the hub; its tests take the kit too."""
    nodes = [node for file in GAMMA.glob("smihub_gamma/*.py") for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    found = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    found |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    assert {name for name in found if name and name.split(".")[0] in {"hub", "adapters", "tests"}} == {"hub.api"}


def test_its_reading_shares_no_code_with_its_translation() -> None:
    """What evaluate rests on imports nothing that translate rests on."""
    imported = {
        file.stem: set(_own_imports(file.read_text("utf-8"))) for file in sorted(GAMMA.glob("smihub_gamma/*.py"))
    }

    def rests_on(module: str) -> set[str]:
        return {module}.union(*(rests_on(each) for each in imported[module]))

    assert rests_on("evaluate") & rests_on("translate") == set()


def _own_imports(text: str) -> list[str]:
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    whole = [alias.name for node in nodes if node.module == "smihub_gamma" for alias in node.names]
    modules = [node.module or "" for node in nodes]
    return whole + [name.partition(".")[2] for name in modules if name.startswith("smihub_gamma.")]


def test_it_passes_strict_type_checks(package: Path, tmp_path: Path) -> None:
    """Its tests too, with its own settings."""
    mypy = [sys.executable, "-m", "mypy", f"--cache-dir={tmp_path}"]
    done = subprocess.run(mypy, cwd=package, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("Success: no issues found"), done.stdout


def test_its_own_suite_is_green_and_gives_a_certificate(package: Path, environment: dict[str, str]) -> None:
    """In its own folder, with the kit of the installed smihub."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    certificate = json.loads((package / "build/conformance/gamma.json").read_bytes())
    assert (certificate["passed"], certificate["version"], certificate["governs"]) == (True, "0.1.0", ["routes"])
    assert (certificate["worlds"], certificate["proof"], certificate["schema"]) == (2000, "model only", True)
    shown = block("docs/adapters.md", "gamma 0.1.0 passes").text
    assert prints(shown, (package / "build/conformance/gamma.txt").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_it_passes_on_a_hundred_thousand_pairs(package: Path, environment: dict[str, str]) -> None:
    """Of a world and a request, with a new seed each time."""
    seed = str(SystemRandom().randrange(2**48))
    sizes = ("--smihub-worlds", "2500", "--smihub-seed", seed)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", *sizes]
    done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (seed, done.stdout[-3000:])


def test_a_plan_says_that_nothing_of_a_target_is_enforced(folder: Folder) -> None:
    """The split is written; the TrafficTarget is in the plan with the reason, and refuses nothing."""
    planned = folder.process("plan")
    assert planned.returncode == 2, planned.stderr
    assert "traffic split shop/api:80: 100 % api -> 90 % api, 10 % api-v2" in planned.stdout
    assert "Gateway API has no authorization between workloads (GEP-1294, Non-Goals)" in planned.stdout
    assert "a request to shop/api is let in from every caller" in planned.stdout
    assert "newly governed" not in planned.stdout
    assert folder.process("apply", "--yes").returncode == 0
    route = yaml.load((folder.root / "rendered" / "objects" / FILE).read_text(), yaml.CSafeLoader)
    weights = {one["name"]: one["weight"] for one in route["spec"]["rules"][0]["backendRefs"]}
    assert weights == {"api": 9, "api-v2": 1}
    assert folder.process("plan").returncode == 0


def test_explain_says_that_it_governs_nobody(folder: Folder) -> None:
    """SMI denies, the mesh does not: that is said, with the shares."""
    told = folder.process("explain", "-o", "json", "--from", "shop/stranger", "--to", "shop/api:80")
    answer = json.loads(told.stdout)
    assert answer["smi"]["verdict"] == "deny"
    assert (answer["meshes"]["mesh"]["verdict"], answer["meshes"]["mesh"]["route"]) == ("ungoverned", "split")


def test_it_can_govern_nothing_but_routes(folder: Folder) -> None:
    """Whoever asks it for more is told."""
    folder.config(CONFIG.replace("governed: routes", "governed: all"))
    assert '"gamma" does not support this mode; use governed: routes' in folder.process("plan").stderr
    assert "governed: routes" in folder.process("adapters", "show", "gamma").stdout
