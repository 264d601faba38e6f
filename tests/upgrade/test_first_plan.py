"""The first plans after an upgrade from f44faaa: what they tell, and that they only narrow while something cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import pytest
from yaml import safe_dump, safe_load, safe_load_all

from tests.servers.folder import Folder
from tests.servers.older import install

Kind = Literal["vm", "istio"]


class Older(Folder):
    """An installation of an older hub, and the command run on it."""

    def __init__(self, base: Path, kind: Kind) -> None:
        install(base, kind)
        self.root = base
        self.manifests = base / "folder"


@pytest.fixture(name="older", params=["vm", "istio"])
def make_older(tmp_path: Path, request: pytest.FixtureRequest) -> Older:
    """What the hub of f44faaa applied, untouched."""
    return Older(tmp_path, request.param)


def plan_of(older: Older) -> dict[str, Any]:
    """The plan of the only mesh, as data."""
    found: dict[str, Any] = json.loads(older.run("plan", "-o", "json").stdout)["meshes"][0]
    return found


def meaning(plan: dict[str, Any]) -> tuple[Any, ...]:
    """What a plan says about access and about what it cannot do."""
    keys = ("newlyAllowed", "newlyDenied", "newlyGoverned", "rerouted", "refused", "frozen", "held")
    return tuple(plan[key] for key in keys)


@pytest.mark.thorough
def test_the_first_plan_changes_no_access_and_the_second_nothing(older: Older) -> None:
    """No gain, no loss, nothing refused, once it is said what header values are; then everything is remembered as values."""
    _declare_text(older)
    first = plan_of(older)
    assert meaning(first) == ([], [], [], [], [], [], [])
    assert older.run("apply", "--yes").exit_code in {
        0,
        1,
    }  # 1: upstreams of that time have no socket, which is an error today
    second = plan_of(older)
    assert (meaning(second), second["changes"]) == (([], [], [], [], [], [], []), [])


@pytest.mark.thorough
def test_the_first_plan_asks_what_header_values_are(tmp_path: Path) -> None:
    """The one narrowing that an upgrade of Istio may refuse a plan for: beginnings of values also match what is no text."""
    older = Older(tmp_path, "istio")
    *rest, refused, frozen, held = meaning(plan_of(older))
    assert {each["code"] for each in refused} == {"istio.header-not-text"}
    assert (rest, held) == ([[], [], [], []], [])
    assert set(frozen) == {each["unit"] for each in refused}


def _declare_text(older: Older) -> None:
    """Declare that header values are text, where a mesh asks for that."""
    path = older.root / "smihub.yaml"
    config = safe_load(path.read_text())
    for mesh in config["meshes"]:
        if mesh["adapter"] == "istio":
            mesh["config"] = {**mesh.get("config", {}), "headerValues": "text"}
    path.write_text(safe_dump(config))


@pytest.mark.thorough
def test_beside_a_file_that_cannot_be_read_the_first_plan_adds_nothing(older: Older) -> None:
    """What was remembered as lines proves nothing about a gain: such units stay as they stand."""
    _declare_text(older)
    text = (older.manifests / "access.yaml").read_text()
    (older.manifests / "evil.yaml").write_text(_evil(text))
    (older.manifests / "broken.yaml").write_text("kind: Pod\na: [\n")
    result = older.run("apply", "--yes")
    assert result.exit_code == 1
    assert "evil" not in "".join(plan_of(older)["newlyAllowed"])
    (older.manifests / "broken.yaml").unlink()
    after = plan_of(older)
    assert any("evil" in line for line in after["newlyAllowed"])


def _evil(text: str) -> str:
    """A TrafficTarget of the installation, once more, for somebody else."""
    found = next(each for each in safe_load_all(text) if each and each.get("kind") == "TrafficTarget")
    found["metadata"]["name"] = "evil"
    sources = found.get("sources") or found["spec"]["sources"]
    sources[:] = [{"kind": "ServiceAccount", "name": "evil", "namespace": found["metadata"]["namespace"]}]
    return str(safe_dump(found))
