"""`smihub check`: every kind of bad input is one error with file, line, object, field and remedy, and nothing else is lost."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest

from tests.servers.folder import Folder, target

SERVICE = "apiVersion: v1\nkind: Service\nmetadata: {name: NAME, namespace: shop}\nspec: {ports: [{port: 80}]}\n"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)
BAD = {
    "broken": (b"kind: Pod\na: [\n", 3, "File/bad.yaml", "a[0]", "yaml.syntax"),
    "tab": (b"kind: Service\n\tmetadata: {}\n", 2, "File/bad.yaml", "kind", "yaml.syntax"),
    "wrong type": (SERVICE.replace("[{port: 80}]", "80").encode(), 4, "Service/shop/NAME", "spec.ports", "field.type"),
    "bad port": (SERVICE.replace("80", "99999").encode(), 4, "Service/shop/NAME", "spec.ports[0].port", "field.value"),
    "bad name": (SERVICE.replace("NAME", "-a").encode(), 3, "Service/shop/-a", "metadata.name", "name.invalid"),
    "unknown version": (
        target("x").replace("v1alpha3", "v1alpha9").encode(), 1, "TrafficTarget/shop/x", "apiVersion", "version.unknown",
    ),
    "unknown field": (
        target("x").replace("  sources:", "  priority: 1\n  sources:").encode(), 7, "TrafficTarget/shop/x", "spec.priority", "field.unknown",
    ),
    "unknown kind": (
        target("x").replace("TrafficTarget", "TrafficTargets").encode(), 2, "TrafficTargets/shop/x", "kind", "object.kind",
    ),
    "deep": (b"a: " + b"[" * 500 + b"]" * 500 + b"\nkind: Pod\n", 1, "File/bad.yaml", "a" + "[0]" * 63, "yaml.too-deep"),
    "alias bomb": (BOMB.encode() + b"kind: Pod\n", 6, "File/bad.yaml", "f[6]", "yaml.too-many"),
    "not utf-8": (b"kind: Pod # \xff\xfe\n", None, "File/bad.yaml", "", "yaml.encoding"),
    "key twice": (b"kind: Service\nkind: Pod\n", 2, "File/bad.yaml", "kind", "yaml.duplicate-key"),
}  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize("name", BAD)
def test_check_when_an_object_is_bad_names_it_once(folder: Folder, name: str) -> None:
    """One error for one mistake, with everything that is needed to mend it; the good objects stay."""
    content, line, ref, field, code = BAD[name]
    folder.write("bad.yaml", content.replace(b"NAME", b"svc"))
    result = folder.run("check", "-o", "json")
    found = [each for each in json.loads(result.stdout)["problems"] if each["severity"] == "error"]
    assert result.exit_code == 1
    assert [each["origin"]["file"] for each in found] == ["bad.yaml"]
    problem = found[0]
    assert (problem["code"], problem["ref"], problem["field"]) == (code, ref.replace("NAME", "svc"), field)
    assert problem["message"]
    assert problem["remedy"]
    assert line is None or problem["origin"]["line"] == line


@pytest.mark.parametrize("name", BAD)
def test_check_in_text_is_one_line_per_error(folder: Folder, name: str) -> None:
    """`error FILE:LINE: OBJECT: ...; REMEDY`, the file as it can be opened from here."""
    folder.write("bad.yaml", BAD[name][0])
    lines = [each for each in folder.run("check").stdout.splitlines() if each.startswith("error")]
    assert len(lines) == 1
    assert lines[0].startswith("error manifests/bad.yaml:")
    assert "; " in lines[0]


@pytest.mark.thorough
@pytest.mark.parametrize("name", BAD)
def test_plan_beside_a_bad_object_keeps_the_good_ones(folder: Folder, name: str) -> None:
    """What was granted stays granted, and nothing is taken away from it."""
    folder.run("apply", "--yes")
    folder.write("bad.yaml", BAD[name][0])
    planned = folder.plan()["meshes"][0]
    assert planned["newlyDenied"] == []
    assert all("shop/svc" in change["object"] or "shop/NAME" in change["object"] for change in planned["changes"])


def test_check_when_an_object_is_there_twice_names_both_places(folder: Folder) -> None:
    """Two unequal objects of one name count as none; each is named where it stands."""
    folder.write("again.yaml", target("api-from-web", matches="orders"))
    result = folder.run("check")
    errors = [each for each in result.stdout.splitlines() if each.startswith("error")]
    assert result.exit_code == 1
    assert any("manifests/access.yaml:3" in each for each in errors)
    assert any("manifests/again.yaml:3" in each for each in errors)


def test_check_when_a_file_is_too_large_does_not_read_it(folder: Folder) -> None:
    """A sparse file of a gigabyte costs nothing."""
    path = folder.write("bad.yaml", "a: b\n")
    os.truncate(path, 1 << 30)
    os.utime(path, (1, 1))
    result = folder.run("check")
    assert result.exit_code == 1
    assert "yaml.too-large" in result.stdout


@pytest.mark.thorough
def test_check_when_a_file_is_replaced_while_it_is_read_sees_one_of_both(folder: Folder) -> None:
    """A file that changes under the reader is read again until it is whole; never half of it counts."""
    good, other = target("api-from-web"), target("api-from-web", matches="orders")
    until = time.monotonic() + 1.0

    def replace() -> None:
        while time.monotonic() < until:
            (folder.manifests / "access.yaml").write_text(good)
            (folder.manifests / "access.yaml").write_text(other)

    writer = threading.Thread(target=replace)
    writer.start()
    result = folder.run("check", "-o", "json")
    writer.join()
    found = json.loads(result.stdout)["problems"]
    assert [each["code"] for each in found if each["severity"] == "error"] in ([], ["file.busy"])


def test_check_writes_nothing(folder: Folder) -> None:
    """Not even a state file: a pipeline may run it in a folder that it cannot write."""
    folder.run("check")
    assert not (folder.root / ".smihub").exists()


def test_check_warns_of_a_port_that_can_be_reached_past_its_envoy(folder: Folder) -> None:
    """Nothing is intercepted yet, so an application on its VM's own address is open; on loopback it is not."""
    assert "capture.bypass" not in folder.run("check").stdout
    exposed = (
        (folder.manifests / "workloads.yaml")
        .read_text()
        .replace("port: 8080,", "port: 8080, appAddress: 10.0.0.2, appPort: 8081,")
    )
    folder.write("workloads.yaml", exposed)
    result = folder.run("check")
    assert result.exit_code == 0
    line = next(n for n, text in enumerate(exposed.splitlines(), 1) if "appAddress" in text)
    assert f"warning manifests/workloads.yaml:{line}" in result.stdout
    assert "spec.ports[0].appAddress" in result.stdout
    assert "capture.bypass" in result.stdout
    assert "127.0.0.1" in result.stdout


def test_check_beside_its_configuration_does_not_read_it_as_a_source(folder: Folder) -> None:
    """`smihub init` in a folder of SMI YAML makes no warning about its own file."""
    (folder.root / "smihub.yaml").unlink()
    for path in folder.manifests.iterdir():
        path.rename(folder.root / path.name)
    folder.run("init")
    assert folder.run("check").stdout == "0 errors, 0 warnings in 1 source, 2 identities, 1 service\n"


def test_check_of_an_empty_folder_says_how_to_begin(folder: Folder) -> None:
    """Where nothing was applied yet; to plan it is an error, for it is never an order to delete everything."""
    (folder.root / "smihub.yaml").unlink()
    for path in folder.manifests.iterdir():
        path.unlink()
    folder.run("init")
    result = folder.run("check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "(source.empty); add TrafficTargets" in result.stdout
    result = folder.run("plan")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)


@pytest.mark.parametrize("mesh", ["{name: vms, adapter: vm}", "{name: istio, adapter: istio, sink: {path: rendered}}"])
def test_check_of_a_folder_that_was_emptied_is_an_error(folder: Folder, mesh: str) -> None:
    """Once something was applied, nobody can tell that from a mistake in its path."""
    folder.config(f"domain: {{trustDomain: cluster.local}}\nsources: [{{path: manifests}}]\nmeshes: [{mesh}]\n")
    folder.run("apply", "--yes")
    for path in folder.manifests.iterdir():
        path.unlink()
    result = folder.run("check")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)


@pytest.mark.thorough
def test_check_when_text_is_hostile_prints_it_harmlessly(folder: Folder) -> None:
    """No name can colour, clear or rename the terminal, forge a line, or turn one around."""
    name = "a\\e[31m\\nerror forged\\u202e[red]:warning:\\\\"
    folder.write("bad.yaml", f'apiVersion: v1\nkind: Service\nmetadata: {{name: "{name}", namespace: shop}}\n')
    result = folder.process("check", env={"FORCE_COLOR": "1", "COLUMNS": "300"})
    assert "\x1b[31m\n" not in result.stdout
    assert "\u202e" not in result.stdout
    assert "\nerror forged" not in result.stdout
    assert "\\x1b[31m\\nerror forged\\u202e[red]:warning:" in result.stdout


def test_check_as_data_has_the_documented_schema(folder: Folder) -> None:
    """`-o json` is one document with a version."""
    assert json.loads(folder.run("check", "-o", "json").stdout) == {"schema": 2, "problems": [], "refused": []}
