"""What a running hub logs of problems: each once, with file and line, and once when it is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from hub.model import ObjectRef, Origin, Problem, UnitKey
from hub.plan.conditions import Condition, MeshCondition
from hub.status.outcomes import Cause, Changed, MeshChange, Outcome, UnitChange
from hub.status.status_log import StatusLog
from tests.hub.cli.test_apply import UDP
from tests.hub.cli.test_run import Running, running
from tests.servers.folder import ROUTES, Folder, shop, target

TARGET = ObjectRef("access.smi-spec.io", "TrafficTarget", "shop", "t")


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """`web` may GET /books from `api`."""
    return shop(tmp_path)


def outcome(reason: str = "", message: str = "") -> Outcome:
    """A unit that is as it should be, or not applied for this reason."""
    applied = Condition("False", reason, message) if reason else Condition("True", "applied")
    return Outcome({"Applied": applied}, (Cause(TARGET, Origin("manifests", "a.yaml", 7)),))


def logged(*changes: UnitChange, meshes: tuple[MeshChange, ...] = ()) -> list[dict[str, Any]]:
    """The lines of these changes."""
    with capture_logs() as lines:
        StatusLog().outcomes_changed(Changed(changes, meshes))
    return [dict(line) for line in lines]


def key(number: int = 0) -> UnitKey:
    """A unit."""
    return UnitKey("access", "shop", f"u{number}")


def test_unit_that_fails_is_told_with_its_file_and_once_more_when_it_is_well() -> None:
    """By seriousness: what nobody but a person ends is an error."""
    (line,) = logged(UnitChange("vms", key(), outcome(), outcome("failed", "no room")))
    assert (line["event"], line["log_level"]) == ("unit_not_applied", "error")
    assert (line["units"], line["places"], line["reason"]) == (["access/shop/u0"], ["manifests/a.yaml:7"], "no room")
    (line,) = logged(UnitChange("vms", key(), outcome(), outcome("waiting", "can be read")))
    assert line["log_level"] == "warning"
    (line,) = logged(UnitChange("vms", key(), outcome("failed", "no room"), outcome()))
    assert (line["event"], line["log_level"], line["state"]) == ("unit_recovered", "info", "failed")
    (line,) = logged(UnitChange("vms", key(), outcome("failed", "no room"), None))
    assert line["event"] == "unit_recovered"


def test_what_stays_as_it_was_is_not_told_again() -> None:
    """Also where something else of the unit changed; another reason is."""
    moved = Outcome(outcome("failed", "no room").conditions, (), 3)
    assert logged(UnitChange("vms", key(), outcome("failed", "no room"), moved)) == []
    assert len(logged(UnitChange("vms", key(), moved, outcome("refused", "no room")))) == 1


def test_many_units_of_one_reason_are_one_line() -> None:
    """Nobody is served while a hundred thousand lines are written."""
    (line,) = logged(*(UnitChange("vms", key(n), None, outcome("failed", "no room")) for n in range(500)))
    assert (line["count"], len(line["units"])) == (500, 20)
    lines = logged(*(UnitChange("vms", key(n), None, outcome("failed", f"no {n}")) for n in range(500)))
    assert len(lines) == 101
    assert (lines[-1]["event"], lines[-1]["count"]) == ("log_lines_omitted", 400)


def test_mesh_is_told_with_its_remedy_and_when_it_is_well() -> None:
    """As a whole."""
    refused = MeshCondition("False", "refused", "too many", remedy="smihub approve abc")
    (line,) = logged(meshes=(MeshChange("vms", None, refused),))
    assert (line["event"], line["log_level"], line["remedy"]) == ("plan_refused", "error", "smihub approve abc")
    (line,) = logged(meshes=(MeshChange("vms", refused, MeshCondition("True", "planned")),))
    assert (line["event"], line["was"]) == ("mesh_recovered", "refused")


def test_problem_that_moves_to_another_line_is_not_told_again() -> None:
    """It is the same; one that is gone is told."""
    status_log = StatusLog()
    problem, moved = (Problem("a.b", TARGET, "spec", "no", "do", Origin("m", "f.yaml", line)) for line in (3, 9))
    with capture_logs() as lines:
        for fresh, gone in (([problem], []), ([moved], [problem]), ([], [moved])):
            status_log.problems(fresh, gone, list)
    assert [(line["event"], line["place"]) for line in lines] == [
        ("problem_found", "m/f.yaml:3"),
        ("problem_gone", "m/f.yaml:9"),
    ]


@pytest.mark.thorough
def test_running_hub_tells_each_problem_once(folder: Folder) -> None:
    """Of an object, of a file, and of a unit that the mesh cannot say; event, level and time come first in a line."""
    with running(folder) as hub:
        hub.until("plan_applied")
        folder.write("broken.yaml", target("broken") + "  colour: red\n")
        said = hub.until("problem_found")
        assert list(said)[:3] == ["event", "level", "timestamp"]
        assert said["place"].startswith("manifests/broken.yaml:8")
        folder.write("unread.yaml", "kind: Pod\na: [")
        assert hub.until("source_unread")["place"].startswith("manifests/unread.yaml:")
        folder.remove("unread.yaml")
        assert hub.until("source_read")["part"] == "unread.yaml"
        folder.write("broken.yaml", target("broken"))
        assert hub.until("problem_gone")["place"].startswith("manifests/broken.yaml:")
        folder.write("udp.yaml", UDP)
        lossy = hub.until("unit_not_lowered")
        assert (lossy["units"], "proto.udp-not-captured" in lossy["reason"]) == (["access/shop/api"], True)
        assert "manifests/udp.yaml:1" in lossy["places"]
        folder.write("routes.yaml", ROUTES + "# nothing\n")
        folder.remove("udp.yaml")
        hub.until("unit_recovered")
        assert times(hub) == {"problem_found": 1, "source_unread": 1, "unit_not_lowered": 1}
        hub.end()


def times(hub: Running) -> dict[str, int]:
    """How often each of these was told."""
    names = [each["event"] for each in hub.events]
    return {name: names.count(name) for name in ("problem_found", "source_unread", "unit_not_lowered")}


@pytest.mark.thorough
def test_hub_that_begins_tells_what_an_earlier_one_left(folder: Folder) -> None:
    """What did not change since is in the log of the new one too."""
    folder.write("udp.yaml", UDP)
    folder.run("apply", "--yes")
    with running(folder) as hub:
        assert hub.until("unit_not_lowered")["units"] == ["access/shop/api"]
        hub.end()
