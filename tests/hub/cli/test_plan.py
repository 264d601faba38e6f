"""`smihub plan`: exit codes, streams, schema, and that apply writes what it shows."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.servers.folder import CONFIG, ROUTES, Folder, target, workload

KEYS = {
    "mesh", "first", "changes", "losses", "recalled", "frozen", "notRevoked", "held", "edited", "paused", "pieces", "newlyGoverned", "newlyAllowed", "newlyDenied", "gains", "revokes", "rerouted", "refused", "summary",
}  # fmt: skip


def test_plan_when_nothing_stands_there_says_so_and_ends_with_2(folder: Folder) -> None:
    """A first plan is marked as one, and changes mean exit code 2."""
    result = folder.run("plan")
    assert result.exit_code == 2
    assert "first apply" in result.stdout
    assert result.stderr.startswith("note: this smihub.yaml has no owner")
    assert result.stderr.count("\n") == 1


def test_plan_when_all_is_applied_ends_with_0(folder: Folder) -> None:
    """After apply there is nothing to plan."""
    assert folder.run("apply", "--yes").exit_code == 0
    result = folder.run("plan")
    assert (result.exit_code, result.stdout) == (0, "mesh vms\n  no changes\n")


def test_plan_when_the_source_is_missing_ends_with_1_and_one_line(folder: Folder) -> None:
    """A missing source is an error on stderr, never an empty one."""
    folder.manifests.rename(folder.root / "elsewhere")
    result = folder.run("plan")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert 'check "path"' in result.stderr


def test_plan_begins_with_what_it_means_and_why(folder: Folder) -> None:
    """Allowed, denied, each with its cause, and open connections stand first; then the units, then the summary."""
    folder.run("apply", "--yes")
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    lines = folder.run("plan").stdout.splitlines()
    assert lines[1:7] == [
        "  newly allowed (1)",
        "    because TrafficTarget/shop/api-from-web was changed (manifests/access.yaml:1)",
        "      + shop/web -> shop/api:* POST /orders",
        "  newly denied (1)",
        "    because TrafficTarget/shop/api-from-web was changed (manifests/access.yaml:1)",
        "      - shop/web -> shop/api:* GET /books",
    ]
    assert lines[7].startswith("  open connections until the next request")
    assert lines[8].startswith("  access/shop/api  ~2  from TrafficTarget/shop/api-from-web, ")
    assert lines[-1].endswith("to change, 0 to delete")


def test_plan_names_the_traffic_target_first_among_the_causes(folder: Folder) -> None:
    """Of all objects that a unit comes from, the one that decides is named first."""
    assert "from TrafficTarget/shop/api-from-web, HTTPRouteGroup/shop/routes" in folder.run("plan").stdout


@pytest.mark.thorough
@pytest.mark.parametrize(("output", "load"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_plan_as_data_has_the_documented_schema(folder: Folder, output: str, load: object) -> None:
    """Both forms parse, carry the schema version, and hold the same."""
    folder.config(f'{CONFIG}owner: "{"1" * 32}"\n')
    folder.write("bad.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: UPPER, namespace: shop}\n")
    assert callable(load)
    result = folder.run("plan", "-o", output)
    found = load(result.stdout)
    assert result.exit_code == 1
    assert (found["schema"], set(found), set(found["meshes"][0])) == (2, {"schema", "problems", "meshes"}, KEYS)
    assert found["problems"][0]["origin"] == {"source": "manifests", "file": "bad.yaml", "line": 3}
    assert found == json.loads(folder.run("plan", "--output", "json").stdout)
    assert result.stderr == ""


def test_plan_puts_problems_on_stderr_and_the_plan_on_stdout(folder: Folder) -> None:
    """A pipeline that keeps stdout gets nothing but the plan."""
    folder.write("bad.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: UPPER, namespace: shop}\n")
    result = folder.run("plan")
    assert "UPPER" in result.stderr
    assert "UPPER" not in result.stdout


@pytest.mark.thorough
def test_plan_twice_gives_the_same_bytes(folder: Folder) -> None:
    """Fresh processes with other hash seeds print the same."""
    first = folder.process("plan", "-o", "json", env={"PYTHONHASHSEED": "1"})
    second = folder.process("plan", "-o", "json", env={"PYTHONHASHSEED": "2"})
    assert first.stdout == second.stdout
    assert len(first.stdout) > 1000


def test_plan_shows_what_apply_writes(folder: Folder) -> None:
    """Every object of the plan stands in the state afterwards with the bytes whose digest was shown, and no other."""
    folder.run("apply", "--yes")
    before = _standing(folder)
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    folder.write("more.yaml", workload("late", 1))
    folder.remove("routes.yaml")
    planned = folder.plan()["meshes"][0]["changes"]
    folder.run("apply", "--yes")
    expected = dict(before)
    for change in planned:
        if change["op"] == "delete":
            del expected[change["object"]]
        else:
            assert (change["op"] == "create") == (change["object"] not in before)
            expected[change["object"]] = change["sha256"]
    assert _standing(folder) == expected
    assert {"create", "replace"} <= {change["op"] for change in planned}


def _standing(folder: Folder) -> dict[str, str]:
    with sqlite3.connect(folder.root / ".smihub" / "hub.sqlite") as db:
        rows = db.execute("SELECT ref, body FROM objects WHERE died IS NULL").fetchall()
    db.close()
    found = {}
    for raw, body in rows:
        ref = json.loads(raw)
        name = "/".join(part for part in (ref["kind"], ref["namespace"], ref["name"]) if part)
        found[name] = hashlib.sha256(body).hexdigest()
    return found


@pytest.mark.thorough
def test_plan_when_no_color_is_set_prints_no_escape_even_on_a_terminal(folder: Folder) -> None:
    """NO_COLOR wins over a forced terminal; without it there are colours."""
    plain = folder.process("plan", env={"NO_COLOR": "1", "FORCE_COLOR": "1", "TERM": "xterm-256color"})
    coloured = folder.process("plan", env={"NO_COLOR": "", "FORCE_COLOR": "1", "TERM": "xterm-256color"})
    assert "\x1b[32m" in coloured.stdout
    assert "\x1b[3" not in plain.stdout


def test_plan_verbose_shows_the_fields_of_created_objects(folder: Folder) -> None:
    """-v shows what a new object holds; without it only that it is new."""
    assert "filter_chains[0].name: g0" in folder.run("plan", "-v").stdout
    assert "filter_chains[0].name" not in folder.run("plan").stdout


@pytest.mark.thorough
def test_plan_when_long_shows_units_and_counts(folder: Folder) -> None:
    """A plan of hundreds of objects fits a screen or two; -v and -o json have all of it."""
    folder.write("many.yaml", *(workload(f"w{number}", number) for number in range(120)))
    short = folder.run("plan").stdout.splitlines()
    assert len(short) < 70
    assert any("access/shop/w0" in line and "+4" in line for line in short)
    assert any("more (-v shows all)" in line for line in short)
    assert folder.run("plan", "-v").stdout.count("+ Workload/shop/w") == 121  # and web-1


def test_plan_when_a_code_was_accepted_for_nothing_says_so(folder: Folder) -> None:
    """A misspelt --accept is not silently ignored."""
    result = folder.run("plan", "--accept", "guard.blast-radios")
    assert '--accept "guard.blast-radios" has no effect' in result.stderr


def test_plan_when_a_file_is_broken_shows_the_plan_and_ends_with_1(folder: Folder) -> None:
    """The rest is planned, the unread part is an error in the exit code."""
    folder.write("broken.yaml", "kind: Pod\na: [")
    result = folder.run("plan")
    assert result.exit_code == 1
    assert "manifests/broken.yaml:" in result.stderr
    assert "route/shop/api" in result.stdout


@pytest.mark.thorough
def test_plan_when_the_output_cannot_be_written_is_one_line(folder: Folder) -> None:
    """A full disk is told, not traced."""
    for verb in (("plan", "-o", "json"), ("plan",), ("plan", "--help"), ("--version",)):
        with Path("/dev/full").open("w") as full:
            child = subprocess.run(
                folder.command(*verb),
                cwd=folder.root,
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
            )
        assert (child.returncode, child.stderr) == (1, "error: output: no space left on device\n")


@pytest.mark.thorough
def test_plan_where_the_terminal_is_no_utf8_shows_escapes_and_data_as_ever(folder: Folder) -> None:
    """Text is made to fit, data is UTF-8."""
    folder.write("routes.yaml", ROUTES.replace("/books", "/b\u00fccher/\u4e2d"))
    environment = {"PYTHONIOENCODING": "ascii"}
    assert "GET /b\\xfccher/\\u4e2d" in folder.process("plan", env=environment).stdout
    assert (
        "GET /b\u00fccher/\u4e2d"
        in json.loads(folder.process("plan", "-o", "json", env=environment).stdout)["meshes"][0]["newlyAllowed"][0]
    )
