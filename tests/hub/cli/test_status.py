"""`smihub status`: everything that is not as it should be, in every mesh, with file and line; and `smihub history`."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.hub.cli.test_apply import PROMPT
from tests.hub.cli.test_run import running, until_ready
from tests.servers.folder import CONFIG, Folder, target
from tests.servers.processes import LIMIT_S, within
from tests.servers.terminal import converse

ISTIO = """\
domain: {trustDomain: cluster.local}
sources: [{path: manifests}]
meshes:
- {name: istio, adapter: istio, governed: targets, sink: {kind: directory, path: rendered}}
"""
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"
NO_HUB = "no hub is running here; this is the result of the last run or apply"
GUARDED = CONFIG + "guards: {blastRadiusPercent: 0, minUnits: 1}\n"


def lines(folder: Folder, *options: str) -> list[str]:
    """What is shown, without the times."""
    text = folder.run("status", *options).stdout
    *found, last = re.sub(rf"since {TIME} \(\d+ \w+\)", "since TIME", text).splitlines()
    assert last == NO_HUB
    return found


def data(folder: Folder, *options: str) -> dict[str, Any]:
    """The only mesh as data."""
    found = json.loads(folder.run("status", "-o", "json", *options).stdout)
    assert found["schema"] == 2
    (mesh,) = found["meshes"]
    assert isinstance(mesh, dict)
    return mesh


def test_status_when_nothing_was_applied_says_so_and_makes_nothing(folder: Folder) -> None:
    """No unit is known, so none is bad."""
    result = folder.run("status")
    assert (result.exit_code, result.stdout) == (
        0,
        f"mesh vms: no apply is recorded in this state folder; smihub plan shows what it would write\n{NO_HUB}\n",
    )
    assert not (folder.root / ".smihub").exists()


def test_status_when_no_envoy_ever_connected_says_so_and_ends_with_1(folder: Folder) -> None:
    """An applied Workload without an Envoy is not protected as planned; that is no success."""
    folder.run("apply", "--yes")
    assert folder.run("status").exit_code == 1
    assert lines(folder) == [
        "mesh vms: 2 identities governed, 3 of 3 units applied; 0 of 2 workloads have accepted everything",
        "  shop/api-1  not connected",
        "              no valid token; run smihub bootstrap shop/api-1",
        "  shop/web-1  not connected",
        "              no valid token; run smihub bootstrap shop/web-1",
    ]


def test_status_as_data_has_every_unit_and_workload(folder: Folder) -> None:
    """With conditions, times, and the objects behind each, by file and line."""
    folder.run("apply", "--yes")
    mesh = data(folder)
    assert {name: (row["programmed"], row["unit"]) for name, row in mesh["workloads"].items()} == {
        "shop/api-1": (False, "access/shop/api"),
        "shop/web-1": (False, "access/shop/web"),
    }
    units = {each["unit"]: each for each in mesh["units"]}
    assert set(units) == {"access/shop/api", "access/shop/web", "route/shop/api"}
    api = units["access/shop/api"]
    assert list(api["conditions"]) == ["Accepted", "ResolvedRefs", "Lowered", "Applied", "Programmed", "Drifted"]
    assert api["conditions"]["Programmed"]["status"] == "False"
    assert api["bad"] == ["Programmed"]
    assert re.fullmatch(TIME, api["conditions"]["Applied"]["since"])
    place = {"source": "manifests", "file": "access.yaml", "line": 1}
    assert {"object": "TrafficTarget/shop/api-from-web", **place} in api["objects"]


def test_status_as_yaml_is_the_same(folder: Folder) -> None:
    """Both are one document."""
    folder.run("apply", "--yes")
    assert yaml.load(folder.run("status", "-o", "yaml").stdout, yaml.CSafeLoader)["meshes"] == [data(folder)]


def test_status_of_a_folder_mesh_is_good_where_everything_is_written(folder: Folder) -> None:
    """A mesh without data planes of ours has a status too; who applies the folder knows the rest."""
    folder.config(ISTIO)
    folder.run("apply", "--yes")
    result = folder.run("status")
    assert result.exit_code == 0
    assert lines(folder) == ["mesh istio: 1 identity governed, 2 of 2 units applied"]


def test_status_names_what_a_guard_refuses_and_since_when(folder: Folder) -> None:
    """The mesh says why, once; each unit which file asks for it, and that a revocation is waiting."""
    folder.config(GUARDED)
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web", source="friend"))
    assert folder.run("apply", "--yes").exit_code == 3
    assert folder.run("status").exit_code == 1
    refused, *rest = lines(folder)[1:5]
    assert refused.startswith("  refused since TIME: 1 of 2 governed identities lose access in one apply")
    assert rest == [
        "  access/shop/api",
        "    refused (Applied) since TIME",
        "    a revocation is waiting since TIME",
    ]
    assert "    manifests/access.yaml:1 TrafficTarget/shop/api-from-web" in lines(folder)
    assert data(folder)["summary"]["losing"] == 1


def test_status_names_a_missing_reference_with_its_object(folder: Folder) -> None:
    """It is applied, and yet not what somebody asked for."""
    folder.config(ISTIO)
    folder.write("more.yaml", "# one\n# two\n", target("more").replace("name: routes", "name: nothing"))
    folder.run("apply", "--yes")
    result = folder.run("status")
    assert result.exit_code == 1
    assert "missing (ResolvedRefs)" in result.stdout
    assert "TrafficTarget/shop/more" in result.stdout


@pytest.mark.thorough
def test_status_of_what_fails_in_a_running_hub(folder: Folder) -> None:
    """The running hub keeps the record; a folder that cannot be written is named with the reason."""
    folder.config(ISTIO)
    with running(folder) as hub:
        hub.until("plan_applied")
        (folder.root / "rendered" / "Kustomization").write_text("")
        folder.write("access.yaml", target("api-from-web", matches="orders"))
        hub.until("apply_failed")
        hub.end()
    result = folder.run("status")
    assert result.exit_code == 1
    assert "failed since" in result.stdout
    assert "kustomize accepts only one of them" in result.stdout


@pytest.mark.thorough
def test_status_says_whether_a_hub_runs_and_is_ready(folder: Folder) -> None:
    """A record that nobody writes any more must not look like a mesh where all is well."""
    folder.config(ISTIO)
    folder.run("apply", "--yes")
    elsewhere = folder.manifests.rename(folder.root / "elsewhere")
    with running(folder) as hub:
        hub.until("source_unread")
        assert folder.run("status").stdout.splitlines()[-1] == (
            "the hub is not ready: waiting for source manifests, mesh istio"
        )
        elsewhere.rename(folder.manifests)
        until_ready(folder)
        found = json.loads(folder.run("status", "-o", "json").stdout)
        assert found["hub"] == {"running": True, "ready": True}
        assert len(folder.run("status").stdout.splitlines()) == 1
        hub.end()
    assert json.loads(folder.run("status", "-o", "json").stdout)["hub"] == {"running": False, "ready": False}


def test_status_of_one_mesh(folder: Folder) -> None:
    """By name; one that is not there is named with those that are."""
    folder.config(CONFIG + "- {name: others, adapter: vm}\n")
    folder.run("apply", "--yes")
    assert len(json.loads(folder.run("status", "-o", "json").stdout)["meshes"]) == 2
    assert data(folder, "--mesh", "others")["mesh"] == "others"
    assert "use one of vms, others" in folder.run("status", "--mesh", "nobody").stderr


def test_status_with_a_damaged_record_is_one_line(folder: Folder) -> None:
    """And says what to do."""
    folder.run("apply", "--yes")
    (folder.root / ".smihub" / "record.sqlite").write_bytes(b"nonsense" * 100)
    for verb in ("status", "history"):
        result = folder.run(verb)
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
        assert "move it away" in result.stderr


# --------------------------------------------------------------------------- watching


@pytest.fixture
def applied(folder: Folder) -> Folder:
    """A folder mesh with everything written."""
    folder.config(ISTIO)
    folder.run("apply", "--yes")
    return folder


@pytest.mark.thorough
def test_watch_on_a_terminal_draws_again_and_ends_with_ctrl_c(applied: Folder) -> None:
    """What changed is shown below a cleared screen; no trace at the end."""
    changed = False

    def change() -> bytes:
        nonlocal changed
        changed = True
        applied.write("more.yaml", target("more").replace("name: routes", "name: nothing"))
        applied.run("apply", "--yes")
        return b""

    command = ["timeout", "--foreground", "--signal=INT", "6", *applied.command("status", "--watch")]
    code, screen = converse(command, applied.root, "2 of 2 units applied", change)
    assert changed
    assert screen.count("\x1b[2J") >= 2
    assert "missing" in screen.rpartition("\x1b[2J")[2]
    assert "Traceback" not in screen
    assert code in {124, 130}


@pytest.mark.thorough
def test_watch_on_a_terminal_ends_with_ctrl_c_as_it_is_typed(applied: Folder) -> None:
    """130, as of any command that Ctrl-C ends."""
    code, screen = converse(applied.command("status", "--watch"), applied.root, "2 of 2 units applied", lambda: b"\x03")
    assert code == 130
    assert "Traceback" not in screen


@pytest.mark.thorough
@pytest.mark.parametrize("output", ["text", "json", "yaml"])
def test_watch_elsewhere_appends_what_is_new(applied: Folder, output: str) -> None:
    """Lines once each, data as one document for each change; nothing moves the cursor."""
    child = subprocess.Popen(
        applied.command("status", "--watch", "-o", output), cwd=applied.root, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout
        seen = reading(child.stdout)
        with within(LIMIT_S, "what is new", child):
            first = next(seen)
            applied.write("more.yaml", target("more").replace("name: routes", "name: nothing"))
            applied.run("apply", "--yes")
            rest = next(line for line in seen if "missing" in line)
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 130
    finally:
        child.kill()
        child.communicate()
    assert first != rest
    assert "\x1b" not in first + rest
    if output == "json":
        assert [len(json.loads(each)["meshes"]) for each in (first, rest)] == [1, 1]


def reading(stream: Any) -> Iterator[str]:
    """Lines as they come."""
    yield from stream


# --------------------------------------------------------------------------- history


def test_history_shows_who_applied_what_newest_last(folder: Folder) -> None:
    """A table on paper, data for machines; nothing is said before the first apply but that."""
    empty = folder.run("history")
    assert (empty.exit_code, empty.stdout) == (0, "")
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    folder.run("apply", "--yes")
    head, first, second = folder.run("history").stdout.splitlines()
    assert head.split() == ["TIME", "WHO", "BY", "ACTION", "MESH", "PLAN", "OBJECTS", "ACCESS", "RESULT"]
    assert re.match(rf"{TIME}  \S+@\S+ +apply +apply +vms +[0-9a-f]{{12}} ", first)
    assert second.split()[-3:] == ["+1", "-1", "written"]
    found = json.loads(folder.run("history", "-o", "json", "--limit", "1").stdout)
    assert found["schema"] == 2
    (entry,) = found["entries"]
    assert (entry["action"], entry["counts"]["lost"], entry["result"]) == ("apply", 1, "written")
    unknown = folder.run("history", "--mesh", "other")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert unknown.stderr == 'error: unknown mesh "other"; expected one of vms\n'
    folder.config(CONFIG.replace("name: vms", "name: others"))
    assert len(folder.run("history", "--mesh", "vms").stdout.splitlines()) == 3, (
        "a mesh that was removed has its history"
    )


@pytest.mark.thorough
def test_history_of_a_write_that_failed(folder: Folder) -> None:
    """It is no less a part of what happened; status names it until it is written."""
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web", matches="orders"))

    def overtake() -> bytes:
        assert folder.process("apply", "--yes").returncode == 0
        return b"y\n"

    assert converse(folder.command("apply"), folder.root, PROMPT, overtake)[0] == 1
    *_, applied, failed = json.loads(folder.run("history", "-o", "json").stdout)["entries"]
    assert (applied["result"], applied["plan"]) == ("written", failed["plan"])
    assert failed["result"].startswith('stale: mesh "vms" changed')
    assert "stale (Applied)" in folder.run("status").stdout
