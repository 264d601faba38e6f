"""The example of a sink and a source (docs/sinks.md), as somebody else would write them: installed beside smihub, tested, at work."""

from __future__ import annotations

import ast
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.page_blocks import block, commands
from tests.house.packages import copied, installed
from tests.hub.cli.test_run import running
from tests.servers.folder import ROUTES, Folder

pytestmark = pytest.mark.thorough
SHELF = Path(__file__).parents[2] / "examples" / "plugins" / "shelf"
DEPLOYMENTS = "---\n".join(
    f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: shop}}
spec:
  template:
    metadata: {{labels: {{smihub.io/sa: {name}}}}}
    spec: {{serviceAccountName: {name}, containers: [{{name: main, image: main, ports: [{{name: http, containerPort: 8080}}]}}]}}
"""
    for name in ("api", "db", "web")
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, away from this repository, so that nothing is found by chance."""
    return copied(SHELF, tmp_path_factory.mktemp("shelf"))


@pytest.fixture(scope="module")
def site(package: Path) -> Path:
    """A folder into which pip has installed it."""
    return installed(package)


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path, site: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """`web` may call `api` and `db`; the configuration is that of the page."""
    monkeypatch.setenv("PYTHONPATH", str(site))
    folder = Folder(tmp_path)
    folder.config(block("docs/sinks.md", "domain:").text)
    folder.write("base.yaml", ROUTES, DEPLOYMENTS)
    grant(folder, "api", "db")
    return folder


def grant(folder: Folder, *receivers: str, then: str = "") -> None:
    """`web` may call these, and no others; `then` is one more line."""
    lines = [json.dumps(_target(name)) for name in receivers]
    fresh = folder.root / "targets.new"
    fresh.write_text("\n".join([*lines, then]).strip() + "\n", encoding="utf-8")
    fresh.replace(folder.root / "targets.jsonl")  # a hub that looks in between must not find an empty file


def _target(receiver: str) -> dict[str, object]:
    return {
        "apiVersion": "access.smi-spec.io/v1alpha3",
        "kind": "TrafficTarget",
        "metadata": {"name": receiver, "namespace": "shop"},
        "spec": {
            "destination": _account(receiver),
            "rules": [{"kind": "HTTPRouteGroup", "name": "routes", "matches": ["books"]}],
            "sources": [_account("web")],
        },
    }


def _account(name: str) -> dict[str, str]:
    return {"kind": "ServiceAccount", "name": name, "namespace": "shop"}


def open_on(folder: Folder) -> set[str]:
    """Whom `web` may call by what stands on the shelf."""
    with sqlite3.connect(folder.root / "shelf.db") as shelf:
        rows = shelf.execute("SELECT unit, body FROM objects").fetchall()
    return {json.loads(unit)["name"] for unit, body in rows if b"sa/web" in body}


def foreign(folder: Folder) -> list[tuple[object, ...]]:
    """The rows of others."""
    with sqlite3.connect(folder.root / "shelf.db") as shelf:
        return shelf.execute("SELECT ref, body, token FROM objects WHERE unit = '' ORDER BY ref").fetchall()


def test_it_imports_hub_api_alone() -> None:
    """Of the hub; nothing else is promised to stay."""
    nodes = [node for file in SHELF.glob("smihub_shelf/*.py") for node in ast.walk(ast.parse(file.read_text("utf-8")))]
    found = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name for name in found if name and name.split(".")[0] in {"hub", "adapters", "tests"}} == {"hub.api"}


def test_it_passes_strict_type_checks(package: Path, site: Path, tmp_path: Path) -> None:
    """With its own settings; so the contracts are as typed as the page says."""
    mypy = [sys.executable, "-m", "mypy", f"--cache-dir={tmp_path}", "smihub_shelf"]
    done = subprocess.run(mypy, cwd=package, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("Success: no issues found"), done.stdout


def test_it_passes_the_sink_suite(package: Path, site: Path) -> None:
    """In its own folder, with the suite of the installed smihub."""
    kept = {key: text for key, text in os.environ.items() if not key.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly"]
    environment = kept | {"PYTHONPATH": str(site)}
    done = subprocess.run(command, cwd=package, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_page_shows_the_test_of_the_example() -> None:
    """Word for word."""
    assert block("docs/sinks.md", "class TestShelf").text in (SHELF / "tests/test_sink.py").read_text(encoding="utf-8")


def test_a_sink_and_a_source_of_somebody_else_at_work(folder: Folder) -> None:
    """A line that is broken holds up no revocation, a row that somebody changed is left to them, and each is named."""
    check, apply, _ = commands(block("docs/sinks.md", "$ smihub check").text)
    for command, _ in (check, apply):
        assert folder.process(*command.split()[1:]).returncode == 0
    assert open_on(folder) == {"api", "db"}
    with running(folder) as hub:
        hub.until("hub_started")
        grant(folder, "api", then="{")
        assert hub.until("source_unread")["place"] == "lines/targets.jsonl:2"
        grant(folder, "api")
        hub.until("plan_applied")
        assert open_on(folder) == {"api"}
        (folder.root / "targets.jsonl").unlink()
        assert "cannot be read" in hub.until("source_unread")["reason"]
        assert hub.end()[0] == 0
    assert open_on(folder) == {"api"}
    grant(folder, "db")
    with sqlite3.connect(folder.root / "shelf.db") as shelf:
        shelf.execute("UPDATE objects SET unit = '' WHERE ref LIKE '%AuthorizationPolicy%'")
    before = foreign(folder)
    told = folder.process("plan")
    assert told.returncode == 3
    assert "guard.foreign-owner" in told.stdout
    assert folder.process("apply", "--yes").returncode == 3
    assert foreign(folder) == before != []
