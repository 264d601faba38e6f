"""`smihub apply`: it asks, it writes what was shown or nothing, and its exit code never hides a failure."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest

from tests.servers.folder import CONFIG, Folder, target
from tests.servers.schemas import check_strictly
from tests.servers.terminal import converse

PROMPT = "Apply this plan? [y/N]: "
TWO_MESHES = CONFIG + "- {name: others, adapter: vm}\n"


def revisions(folder: Folder) -> dict[str, int]:
    """The number of the last revision of each mesh."""
    path = folder.root / ".smihub" / "hub.sqlite"
    if not path.exists():
        return {}
    with sqlite3.connect(path) as db:
        found = dict(db.execute("SELECT name, revision FROM meshes").fetchall())
    db.close()
    return found


def test_apply_when_nobody_can_be_asked_writes_nothing(folder: Folder) -> None:
    """Without a terminal --yes is needed, and the error says so."""
    result = folder.run("apply")
    assert result.exit_code == 1
    assert "rerun with --yes" in result.stderr
    assert revisions(folder) == {"vms": 0}


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("typed", "code", "revision"), [(b"y\n", 0, 1), (b"n\n", 1, 0), (b"\n", 1, 0), (b"\x04", 1, 0)]
)
def test_apply_on_a_terminal_asks_and_obeys(folder: Folder, typed: bytes, code: int, revision: int) -> None:
    """Only a yes writes; no, a bare return, the end of input and Ctrl-C do not, and that is an exit code of 1."""
    ended, screen = converse(folder.command("apply"), folder.root, PROMPT, lambda: typed)
    assert (ended, revisions(folder)) == (code, {"vms": revision})
    assert ("nothing was written" in screen) == (revision == 0)
    assert "Traceback" not in screen


@pytest.mark.thorough
def test_apply_on_a_terminal_with_nothing_to_do_does_not_ask(folder: Folder) -> None:
    """An empty plan needs no word."""
    folder.run("apply", "--yes")
    ended, screen = converse(folder.command("apply"), folder.root, PROMPT, lambda: b"n\n")
    assert ended == 0
    assert PROMPT not in screen


@pytest.mark.thorough
def test_apply_on_a_narrow_terminal_shows_whole_names(folder: Folder) -> None:
    """Lines are wrapped between words, so that names can be copied from the screen."""
    _, screen = converse(folder.command("apply"), folder.root, PROMPT, lambda: b"n\n", columns=40)
    assert "TrafficTarget/shop/api-from-web," in screen
    assert "HTTPRouteGroup/shop/routes," in screen
    assert "because\r\n        TrafficTarget/shop/api-from-web" in re.sub(r"\x1b\[[0-9]*m", "", screen)


def test_apply_when_a_plan_is_refused_writes_nothing(folder: Folder) -> None:
    """A guard that nobody accepted is exit code 3, and no revision."""
    folder.run("apply", "--yes")
    folder.config(CONFIG + STRICT)
    folder.remove("access.yaml")
    result = folder.run("apply", "--yes")
    assert (result.exit_code, revisions(folder)) == (3, {"vms": 1})
    assert "nothing was written" in result.stderr


@pytest.mark.thorough
def test_apply_with_a_loss_that_nobody_accepted_writes_the_rest(folder: Folder) -> None:
    """The unit gains nothing until then, and the exit code is 3; once accepted, it does."""
    folder.write("udp.yaml", UDP)
    result = folder.run("apply", "--yes")
    assert (result.exit_code, revisions(folder)) == (3, {"vms": 1})
    again = folder.run("apply", "--yes")
    assert (again.exit_code, revisions(folder)) == (3, {"vms": 1})
    assert "nothing was written" in again.stderr
    assert folder.run("apply", "--yes", "--accept", "proto.udp-not-captured").exit_code == 0
    assert revisions(folder) == {"vms": 2}


@pytest.mark.thorough
def test_apply_when_somebody_was_faster_in_one_mesh_writes_the_other_and_ends_with_1(folder: Folder) -> None:
    """Two meshes are written apart; the stale one is named, and its plan is not written."""
    folder.config(TWO_MESHES)
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web", matches="orders"))

    def overtake() -> bytes:
        (folder.root / "one.yaml").write_text(CONFIG)
        assert folder.process("apply", "--yes", "-c", "one.yaml").returncode == 0
        return b"y\n"

    ended, screen = converse(folder.command("apply"), folder.root, PROMPT, overtake)
    assert ended == 1
    assert 'mesh vms: mesh "vms" changed while this plan was made' in screen
    assert "mesh others: applied" in screen
    assert revisions(folder) == {"vms": 2, "others": 2}


RENDERED = CONFIG + "- {name: istio, adapter: istio, governed: targets, sink: {kind: directory, path: rendered}}\n"


def test_mesh_that_cannot_be_read_holds_up_no_other(folder: Folder) -> None:
    """It is named, everywhere; a revocation in the other mesh is planned and written, and the exit code is 1."""
    folder.config(RENDERED)
    assert folder.run("apply", "--yes").exit_code == 0
    memory = folder.root / "rendered" / ".smihub.json"
    memory.write_text("{")
    folder.remove("access.yaml")
    planned = folder.run("plan")
    assert (planned.exit_code, planned.stderr.count("error: mesh istio: ")) == (1, 1)
    assert "newly denied (1)" in planned.stdout
    saved = folder.run("plan", "--save", str(folder.root / "review.plan"))
    assert saved.stderr.splitlines()[-1] == "error: mesh istio could not be planned, so nothing was saved"
    result = folder.run("apply", "--yes", "-o", "json")
    assert result.exit_code == 1
    check_strictly("plan.json", json.loads(result.stdout))
    applied = {each["mesh"]: each["result"] for each in json.loads(result.stdout)["applied"]}
    assert (applied, revisions(folder)) == ({"istio": "failed", "vms": "written"}, {"vms": 2})
    status = folder.run("status", "--mesh", "istio").stdout
    assert "failed since" in status
    assert ".smihub.json" in status


@pytest.mark.thorough
def test_apply_when_the_state_is_locked_ends_with_1(folder: Folder) -> None:
    """A state file that another writer holds is one line, not a trace."""
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    blocker = sqlite3.connect(folder.root / ".smihub" / "hub.sqlite", isolation_level=None)

    def lock() -> bytes:
        blocker.execute("BEGIN IMMEDIATE")
        return b"y\n"

    ended, screen = converse(folder.command("apply"), folder.root, PROMPT, lock)
    blocker.close()
    assert ended == 1
    assert "locked" in screen
    assert "Traceback" not in screen
    assert revisions(folder) == {"vms": 1}


@pytest.mark.thorough
@pytest.mark.parametrize("damage", ["open", "garbage", "folder", "newer"])
def test_apply_when_the_state_file_is_unusable_says_what_to_do(folder: Folder, damage: str) -> None:
    """A state file that others can read, that is none, or of a newer smihub, is an error of one line."""
    folder.run("apply", "--yes")
    path = folder.root / ".smihub" / "hub.sqlite"
    _damage(path, damage)
    result = folder.run("apply", "--yes")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "hub.sqlite" in result.stderr


def _damage(path: Path, how: str) -> None:
    if how == "open":
        path.chmod(0o644)
    elif how == "newer":
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    else:
        for each in path.parent.glob("hub.sqlite*"):
            each.unlink()
        path.mkdir() if how == "folder" else path.write_bytes(b"no database at all, but long enough" * 100)
        path.chmod(0o600)


def test_apply_keeps_private_state_to_its_user_and_out_of_git(folder: Folder) -> None:
    """The state folder holds the authority's key."""
    folder.run("apply", "--yes")
    state = folder.root / ".smihub"
    assert oct(state.stat().st_mode & 0o777) == "0o700"
    assert oct((state / "hub.sqlite").stat().st_mode & 0o777) == "0o600"
    assert (state / ".gitignore").read_text() == "*\n"


def test_apply_when_a_file_is_unread_writes_the_rest_and_ends_with_1(folder: Folder) -> None:
    """What can be decided is written; the exit code says that it was not all."""
    folder.write("broken.yaml", "kind: Pod\na: [")
    result = folder.run("apply", "--yes")
    assert (result.exit_code, revisions(folder)) == (1, {"vms": 1})


STRICT = "guards: {blastRadiusPercent: 0, minUnits: 1}\n"
UDP = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: UDPRoute
metadata: {name: dns, namespace: shop}
spec: {matches: {ports: [53]}}
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: by-udp, namespace: shop}
spec:
  destination: {kind: ServiceAccount, name: api, namespace: shop}
  rules: [{kind: UDPRoute, name: dns}]
  sources: [{kind: ServiceAccount, name: web, namespace: shop}]
"""


# --------------------------------------------------------------------------- -o json, -q


@pytest.mark.thorough
def test_apply_as_data_prints_the_plan_and_what_became_of_it(folder: Folder) -> None:
    """One document, and nothing else on either stream."""
    folder.config(CONFIG + f'owner: "{"1" * 32}"\n')
    result = folder.run("apply", "--yes", "-o", "json")
    found = json.loads(result.stdout)
    check_strictly("plan.json", found)
    assert (result.exit_code, result.stderr) == (0, "")
    assert found["applied"] == [{"mesh": "vms", "result": "written", "message": "", "units": []}]
    assert found["meshes"][0]["newlyAllowed"] == ["shop/web -> shop/api:* GET /books"]
    again = json.loads(folder.run("apply", "--yes", "-o", "json").stdout)
    assert [each["result"] for each in again["applied"]] == ["unchanged"]


@pytest.mark.thorough
def test_apply_as_data_tells_what_was_refused(folder: Folder) -> None:
    """The mesh, and why; the code is 3."""
    folder.run("apply", "--yes")
    folder.config(CONFIG + STRICT)
    folder.remove("access.yaml")
    result = folder.run("apply", "--yes", "-o", "json")
    found = json.loads(result.stdout)
    check_strictly("plan.json", found)
    assert (result.exit_code, found["applied"][0]["result"]) == (3, "refused")
    assert "lose access" in found["applied"][0]["message"]


@pytest.mark.thorough
def test_apply_as_data_tells_what_could_not_be_written(folder: Folder) -> None:
    """The mesh that failed beside the one that was written; the error is on stderr too."""
    folder.config(TWO_MESHES)
    folder.run("plan")
    with sqlite3.connect(folder.root / ".smihub" / "hub.sqlite") as db:
        db.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON objects WHEN NEW.mesh = 'others' BEGIN SELECT RAISE(FAIL, 'disk'); END"
        )
    db.close()
    result = folder.run("apply", "--yes", "-o", "json")
    found = json.loads(result.stdout)
    check_strictly("plan.json", found)
    assert result.exit_code == 1
    assert {each["mesh"]: each["result"] for each in found["applied"]} == {"vms": "written", "others": "failed"}
    assert "mesh others:" in result.stderr


def test_apply_quietly_says_nothing_but_what_is_wrong(folder: Folder) -> None:
    """Nothing where all is well; what is refused, on stderr."""
    result = folder.run("apply", "--yes", "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    folder.write("udp.yaml", UDP)
    result = folder.run("apply", "--yes", "--quiet")
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr.startswith("refused manifests/udp.yaml:")


@pytest.mark.parametrize("options", [("-q",), ("-o", "json")])
def test_apply_without_showing_the_plan_wants_yes(folder: Folder, options: tuple[str, ...]) -> None:
    """Nobody can agree to what he does not see."""
    result = folder.run("apply", *options)
    assert (result.exit_code, revisions(folder)) == (1, {})
    assert "require --yes" in result.stderr
