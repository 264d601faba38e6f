"""`smihub apply FILE`: exactly what was reviewed, in every mesh, or nothing."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from hub.plan.saved import decode, encode
from tests.hub.cli.test_apply import PROMPT, TWO_MESHES, revisions
from tests.servers.folder import CONFIG, ROUTES, WORKLOADS, Folder, target, workload
from tests.servers.saved import save, saved
from tests.servers.terminal import converse

pytestmark = pytest.mark.thorough

POD = """\
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: shop, labels: {{app: api}}}}
spec:
  serviceAccountName: api
  containers: [{{name: app, ports: [{{containerPort: 8080}}]}}]
status: {{podIP: {address}}}
"""


def refused(folder: Folder, *options: str) -> str:
    """Apply review.plan, which must be refused in one line with nothing written; gives the line."""
    before = revisions(folder)
    result = folder.run("apply", "review.plan", "--yes", *options)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (3, "", 1)
    assert result.stderr.startswith("refused: ")
    assert result.stderr.endswith("nothing was written\n")
    assert revisions(folder) == before
    return result.stderr


def standing(folder: Folder) -> dict[str, str]:
    """The digest of every object that stands in mesh vms."""
    with sqlite3.connect(folder.root / ".smihub" / "hub.sqlite") as db:
        rows = db.execute("SELECT ref, body FROM objects WHERE died IS NULL AND mesh = 'vms'").fetchall()
    db.close()
    return {ref: hashlib.sha256(body).hexdigest() for ref, body in rows}


def test_apply_file_writes_exactly_what_was_saved(folder: Folder) -> None:
    """Every object of the plan stands there with its bytes, and planning again finds nothing to do."""
    folder.run("apply", "--yes")
    expected = standing(folder)
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    folder.write("more.yaml", workload("late", 1))
    save(folder)
    for change in saved(folder).meshes[0].plan.changes:
        ref = json.dumps(
            {name: getattr(change.ref, name) for name in change.ref.__struct_fields__}, separators=(",", ":")
        )
        assert change.after is not None
        expected[ref] = hashlib.sha256(change.after.body).hexdigest()
    result = folder.run("apply", "review.plan", "--yes")
    assert (result.exit_code, revisions(folder)) == (0, {"vms": 2})
    assert "+ shop/web -> shop/api:* POST /orders" in result.stdout
    assert "this plan was saved at" in result.stderr
    assert standing(folder) == expected
    assert folder.run("plan").stdout == "mesh vms\n  no changes\n"


def test_apply_file_gives_the_state_that_apply_gives(folder: Folder, tmp_path_factory: pytest.TempPathFactory) -> None:
    """The same revision, token and all, as without the detour by a file."""
    other = Folder(tmp_path_factory.mktemp("other"))
    other.config()
    for path in folder.manifests.iterdir():
        other.write(path.name, path.read_bytes())
    save(folder)
    folder.run("apply", "review.plan", "--yes")
    other.run("apply", "--yes")
    assert _tables(folder) == _tables(other)


def _tables(folder: Folder) -> list[list[Any]]:
    with sqlite3.connect(folder.root / ".smihub" / "hub.sqlite") as db:
        found = [sorted(db.execute(f"SELECT * FROM {each}")) for each in ("meshes", "objects", "memory")]
    db.close()
    found[1] = [row[:-1] for row in found[1]]  # marks are drawn at random
    return found


def test_apply_file_twice_is_refused_the_second_time(folder: Folder) -> None:
    """The mesh's token moved, by the plan itself."""
    save(folder)
    assert folder.run("apply", "review.plan", "--yes").exit_code == 0
    assert 'mesh "vms" has changed since this plan was saved: ' in refused(folder)


def test_apply_file_when_nothing_is_to_do_ends_with_0(folder: Folder) -> None:
    """An empty plan is applied any number of times, without a question."""
    folder.run("apply", "--yes")
    assert save(folder).exit_code == 0
    for _ in range(2):
        assert folder.run("apply", "review.plan").exit_code == 0
    assert revisions(folder) == {"vms": 1}


def test_apply_file_when_somebody_applied_in_between_is_refused(folder: Folder) -> None:
    """Also when what they wrote is taken back, so that the mesh looks the same."""
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    save(folder)
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web"))
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    assert 'mesh "vms" has changed' in refused(folder)


@pytest.mark.parametrize("what", ["target", "route", "new", "gone", "void rule", "service", "renamed", "broken"])
def test_apply_file_when_governing_inputs_moved_is_refused(folder: Folder, what: str) -> None:
    """Any object that a unit was made from, a new one, one less, a file elsewhere, a file that cannot be read."""
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    save(folder)
    if what == "target":
        folder.write("access.yaml", target("api-from-web", matches="books"))
    elif what == "route":
        folder.write("routes.yaml", ROUTES.replace("/orders", "/.*"))
    elif what == "new":
        folder.write("more.yaml", target("another", matches="books"))
    elif what == "gone":
        folder.remove("access.yaml")
    elif what == "void rule":
        text = target("api-from-web", matches="orders")
        folder.write("access.yaml", text.replace("rules: [", "rules: [{kind: TCPRoute, name: nowhere}, "))
    elif what == "service":
        folder.write("workloads.yaml", WORKLOADS.replace("{name: http, port: 80,", "{name: http, port: 81,"))
    elif what == "renamed":
        (folder.manifests / "access.yaml").rename(folder.manifests / "elsewhere.yaml")
    else:
        folder.write("broken.yaml", "kind: Pod\na: [")
    assert "the sources have changed" in refused(folder)


@pytest.mark.parametrize("what", ["comments", "pods", "address", "foreign", "file order"])
def test_apply_file_when_nothing_that_governs_moved_is_applied(folder: Folder, what: str) -> None:
    """Comments, Pods that come and go, addresses behind a fixed socket and foreign kinds are no policy."""
    bound = WORKLOADS.replace("addresses: [10.0.0.2]", "addresses: [10.0.0.2]\n  bind: 10.0.0.2")
    folder.write("workloads.yaml", bound)
    folder.write("pods.yaml", POD.format(name="api-a", address="10.2.0.1"))
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    save(folder)
    if what == "comments":
        folder.write("access.yaml", "# a remark\n\n" + target("api-from-web", matches="orders"))
    elif what == "pods":
        folder.write(
            "pods.yaml", POD.format(name="api-b", address="10.2.0.2"), POD.format(name="api-c", address="10.2.0.3")
        )
    elif what == "address":
        folder.write("workloads.yaml", bound.replace("addresses: [10.0.0.2]", "addresses: [10.0.0.7, 10.0.0.8]"))
    elif what == "foreign":
        folder.write(
            "access.yaml",
            target("api-from-web", matches="orders"),
            "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n",
        )
    else:
        folder.write("workloads.yaml", *reversed(bound.split("---\n")))
    result = folder.run("apply", "review.plan", "--yes")
    assert (result.exit_code, revisions(folder)) == (0, {"vms": 2})


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (CONFIG.replace("cluster.local", "other.local"), "domain.trustDomain"),
        (CONFIG.replace("trustDomain: cluster.local", "trustDomain: cluster.local, name: eu"), "domain.name"),
        (CONFIG + "reading: {pathRegex: prefix}\n", "reading"),
        (CONFIG.replace("name: vms", "name: vms2"), "meshes vms instead of vms2"),
        (TWO_MESHES, "meshes vms instead of others, vms"),
        (CONFIG.replace("adapter: vm}", "adapter: vm, sink: {address: 'unix:/x/y.sock'}}"), "settings of mesh vms"),
    ],
)
def test_apply_file_when_the_configuration_differs_is_refused(folder: Folder, config: str, said: str) -> None:
    """The line names what differs; no state is made for it."""
    save(folder)
    folder.config(config)
    before = revisions(folder)
    assert f"another configuration ({said})" in refused(folder)
    assert revisions(folder) == before


def test_apply_file_when_altered_is_refused_before_anything_is_read(folder: Folder) -> None:
    """A changed byte, another schema, another smihub, another file: each is named, and no configuration is needed."""
    save(folder)
    file = folder.root / "review.plan"
    raw = file.read_bytes()
    found = decode(raw)
    (folder.root / "smihub.yaml").rename(folder.root / "away.yaml")
    for spoilt, said in (
        (raw.replace(b'"wave":5', b'"wave":1', 1), "was modified after it was saved"),
        (raw[:-2], "was modified after it was saved"),
        (raw.replace(b'"schema":3', b'"schema":1', 1), "has schema 1, this smihub reads 3"),
        (b"{}", "is not a saved plan"),
        (b"", "is not a saved plan"),
    ):
        file.write_bytes(spoilt)
        assert said in refused(folder)
    (folder.root / "away.yaml").rename(folder.root / "smihub.yaml")
    file.write_bytes(encode(replace(found, setup=replace(found.setup, smihub="0.0.9"))))
    assert "saved by smihub 0.0.9, this is smihub 0.1.0" in refused(folder)


@pytest.mark.parametrize("how", ["body", "dropped", "memory", "lines"])
def test_apply_file_when_forged_with_a_right_digest_is_refused(folder: Folder, how: str) -> None:
    """Nobody gets in what the sources do not ask for by writing a plan of their own."""
    save(folder)
    found = saved(folder)
    mesh = found.meshes[0]
    plan = mesh.plan
    change = next(each for each in plan.changes if each.ref.kind == "RouteConfiguration")
    assert change.after is not None
    wider = replace(change, after=replace(change.after, body=change.after.body.replace(b"/books", b"/.{4}"[:6])))
    forged = {
        "body": replace(plan, changes=tuple(wider if each is change else each for each in plan.changes)),
        "dropped": replace(plan, changes=plan.changes[1:]),
        "memory": replace(plan, memory={}),
        "lines": replace(plan, gained=()),
    }[how]
    assert forged != plan
    (folder.root / "review.plan").write_bytes(encode(replace(found, meshes=(replace(mesh, plan=forged),))))
    assert "planning now gives a different result" in refused(folder)


def test_apply_file_when_missing_or_no_file_ends_with_1(folder: Folder) -> None:
    """A misspelt name is wrong usage."""
    for name in ("nothing.plan", "manifests", "/dev/zero"):
        result = folder.run("apply", name, "--yes")
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
        assert name in result.stderr


@pytest.mark.thorough
@pytest.mark.parametrize(("typed", "code", "revision"), [(b"y\n", 0, 1), (b"n\n", 1, 0)])
def test_apply_file_on_a_terminal_asks_and_obeys(folder: Folder, typed: bytes, code: int, revision: int) -> None:
    """It shows the plan and asks, as apply does."""
    save(folder)
    ended, screen = converse(folder.command("apply", "review.plan"), folder.root, PROMPT, lambda: typed)
    assert (ended, revisions(folder)) == (code, {"vms": revision})
    assert "+ shop/web -> shop/api:* GET /books" in screen


def test_apply_file_when_nobody_can_be_asked_writes_nothing(folder: Folder) -> None:
    """Without a terminal --yes is needed."""
    save(folder)
    result = folder.run("apply", "review.plan")
    assert (result.exit_code, revisions(folder)) == (1, {"vms": 0})
    assert "--yes" in result.stderr


@pytest.mark.thorough
@pytest.mark.parametrize("what", ["mesh", "sources"])
def test_apply_file_when_something_moves_while_it_asks_is_refused(folder: Folder, what: str) -> None:
    """All preconditions are looked at again after the answer: neither mesh is written."""
    folder.config(TWO_MESHES)
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    save(folder)
    (folder.root / "one.yaml").write_text(CONFIG.replace("vms", "others"))

    def overtake() -> bytes:
        if what == "mesh":
            assert folder.process("apply", "--yes", "-c", "one.yaml").returncode == 0
        else:
            folder.write("access.yaml", target("api-from-web"))
        return b"y\n"

    ended, screen = converse(folder.command("apply", "review.plan"), folder.root, PROMPT, overtake)
    assert ended == 3
    assert "refused" in screen
    assert revisions(folder) == {"vms": 1, "others": 2 if what == "mesh" else 1}


# --------------------------------------------------------------------------- two meshes


def test_apply_file_writes_two_meshes(folder: Folder) -> None:
    """One file has the plans of all."""
    folder.config(TWO_MESHES)
    save(folder)
    result = folder.run("apply", "review.plan", "--yes")
    assert (result.exit_code, revisions(folder)) == (0, {"vms": 1, "others": 1})


def test_apply_file_when_the_second_mesh_moved_writes_neither(folder: Folder) -> None:
    """Preconditions of all come before the first write."""
    folder.config(TWO_MESHES)
    save(folder)
    (folder.root / "one.yaml").write_text(CONFIG.replace("vms", "others"))
    folder.run("apply", "--yes", "-c", "one.yaml")
    assert 'mesh "others" has changed' in refused(folder)
    assert revisions(folder) == {"vms": 0, "others": 1}


def test_apply_file_when_one_mesh_cannot_be_written_ends_with_1(folder: Folder) -> None:
    """A partial failure is never 0: the failed mesh is named, and the plan cannot be applied again."""
    folder.config(TWO_MESHES)
    save(folder)
    with sqlite3.connect(folder.root / ".smihub" / "hub.sqlite") as db:
        db.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON objects WHEN NEW.mesh = 'others' BEGIN SELECT RAISE(FAIL, 'disk'); END"
        )
    db.close()
    result = folder.run("apply", "review.plan", "--yes")
    assert (result.exit_code, revisions(folder)) == (1, {"vms": 1, "others": 0})
    assert "mesh others:" in result.stderr
    assert 'mesh "vms" has changed' in refused(folder)


def test_saved_plan_of_a_folder_applies_in_a_copy_of_it(folder: Folder, tmp_path: Path) -> None:
    """A pipeline may plan in one checkout and apply in another: no absolute path is presumed."""
    save(folder)
    (tmp_path / "copy").mkdir()
    other = Folder(tmp_path / "copy")
    other.config()
    for path in folder.manifests.iterdir():
        other.write(path.name, path.read_bytes())
    (other.root / "review.plan").write_bytes((folder.root / "review.plan").read_bytes())
    assert other.run("apply", "review.plan", "--yes").exit_code == 0
    assert revisions(other) == {"vms": 1}
