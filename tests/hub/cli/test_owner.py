"""Whose the objects of a mesh are: two smihub.yaml on one folder, or one state file, leave each other's alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from tests.hub.cli.test_run import running
from tests.hub.sinks.istio_shop import PEERS, PEERS_FILE, POLICY, POLICY_FILE, RENDERED, UNIT, bound, config, istio_shop
from tests.hub.sinks.small_mesh import content
from tests.servers.folder import CONFIG, Folder, shop, target
from tests.servers.older import install

pytestmark = pytest.mark.thorough

ONE, OTHER = "1" * 32, "2" * 32
OWNER = "smihub.io/owner"


def owned(text: str, owner: str) -> str:
    """A smihub.yaml of this owner ("": of none)."""
    return f'owner: "{owner}"\n{text}' if owner else text


def istio_of(owner: str) -> str:
    """A smihub.yaml with one Istio mesh, of this owner."""
    return owned(config("all"), owner)


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """The shop on Istio, applied by ONE."""
    folder = istio_shop(tmp_path)
    folder.config(istio_of(ONE))
    assert folder.run("apply", "--yes").exit_code == 0
    return folder


def rendered(folder: Folder) -> dict[str, bytes]:
    """All files of the folder for GitOps."""
    return content(folder.root / RENDERED)


def owners(folder: Folder) -> dict[str, str | None]:
    """What each object says of its owner."""
    found = {
        file: yaml.load(data, yaml.CSafeLoader)
        for file, data in rendered(folder).items()
        if file.startswith("objects/")
    }
    return {file: value["metadata"]["annotations"].get(OWNER) for file, value in found.items()}


def second(folder: Folder, owner: str) -> tuple[str, ...]:
    """A second smihub.yaml on the same folder, with sources in which nobody is granted anything; how to name it."""
    (folder.root / "others").mkdir(exist_ok=True)
    (folder.root / "others" / "api.yaml").write_text(bound("api"))
    text = istio_of(owner).replace("path: manifests", "path: others")
    (folder.root / "second.yaml").write_text(text)
    return ("--config", "second.yaml")


# --------------------------------------------------------------------------- what is written


def test_every_object_and_the_memory_say_whose_they_are(folder: Folder) -> None:
    """And a plan after it has nothing to do."""
    assert set(owners(folder).values()) == {ONE}
    assert f'"owner": "{ONE}"'.encode() in rendered(folder)[".smihub.json"]
    result = folder.run("plan")
    assert (result.exit_code, result.stderr) == (0, "")


def test_init_draws_an_owner(tmp_path: Path) -> None:
    """128 bits, another one each time, and a file that can be read."""
    folder = shop(tmp_path)
    found = set()
    for name in ("a.yaml", "b.yaml"):
        assert folder.run("init", "--config", name, "--source", "manifests").exit_code == 0
        found.add(yaml.load((folder.root / name).read_text(), yaml.CSafeLoader)["owner"])
        assert folder.run("check", "--config", name).exit_code == 0
    assert len(found) == 2
    assert all(re.fullmatch("[0-9a-f]{32}", owner) for owner in found)


@pytest.mark.parametrize("owner", ["mine", "1" * 31, "1" * 33, "A" * 32, "g" * 32])
def test_an_owner_that_is_none_is_told_with_one_that_is(tmp_path: Path, owner: str) -> None:
    """Nobody makes one up."""
    folder = shop(tmp_path)
    folder.config(owned(CONFIG, owner))
    result = folder.run("check")
    assert result.exit_code == 1
    assert re.search(r'smihub\.yaml:1: owner: .* such as "?[0-9a-f]{32}', result.stderr), result.stderr


# --------------------------------------------------------------------------- two of them on one folder


@pytest.mark.parametrize("owner", [OTHER, ""])
@pytest.mark.parametrize("verb", [("plan",), ("apply", "--yes"), ("apply", "--yes", "--accept", "guard.owner")])
def test_a_second_smihub_yaml_on_the_folder_is_refused(folder: Folder, owner: str, verb: tuple[str, ...]) -> None:
    """Its mesh as a whole, whatever is accepted; the grants of the first stay."""
    before = rendered(folder)
    result = folder.run(*verb, *second(folder, owner))
    assert (result.exit_code, "(guard.owner)" in result.stdout) == (3, True)
    assert f"with owner {ONE[:8]}..." in result.stdout
    assert "no changes" not in result.stdout
    assert "add the line" not in result.stderr
    assert rendered(folder) == before
    assert folder.run("plan").exit_code == 0


@pytest.mark.thorough
@pytest.mark.parametrize("owner", [OTHER, ""])
def test_a_running_second_hub_is_refused(folder: Folder, owner: str) -> None:
    """It says so, and writes nothing."""
    before = rendered(folder)
    with running(folder, *second(folder, owner)) as hub:
        said = hub.until("plan_refused")
        hub.end()
    assert "guard.owner" in str(said)
    assert rendered(folder) == before


def test_in_the_other_order_the_first_is_refused(tmp_path: Path) -> None:
    """Whoever wrote first has the folder."""
    folder = istio_shop(tmp_path)
    folder.config(istio_of(ONE))
    assert folder.run("apply", "--yes", *second(folder, OTHER)).exit_code == 0
    before = rendered(folder)
    for verb in (("plan",), ("apply", "--yes")):
        assert folder.run(*verb).exit_code == 3
        assert rendered(folder) == before
    assert folder.run("plan", *second(folder, OTHER)).exit_code == 0


def test_other_meshes_of_the_second_go_on(folder: Folder) -> None:
    """It is that mesh alone which is refused."""
    more = "- {name: vms, adapter: vm}\n"
    folder.config(istio_of(OTHER) + more)
    result = folder.run("apply", "--yes")
    assert result.exit_code == 3
    assert "mesh vms: applied" in result.stderr
    folder.config(istio_of(ONE) + more.replace("vms", "other"))
    assert folder.run("plan").exit_code == 2


@pytest.mark.parametrize("owner", [OTHER, ""])
def test_marks_of_another_owner_are_not_changed(folder: Folder, owner: str) -> None:
    """By no verb."""
    before = rendered(folder)
    folder.config(istio_of(owner).replace("governed: all", "governed: {namespaces: [other]}"))
    for verb in (
        ("adopt", "istio", POLICY, "--yes"),
        ("release", "istio", UNIT, "--yes"),
        ("release", "istio", UNIT, "--delete", "--yes"),
        ("pause", "istio", POLICY),
    ):
        assert folder.run(*verb).exit_code in {1, 3}
        assert rendered(folder) == before


@pytest.mark.parametrize("owner", [OTHER, ""])
def test_the_folder_is_known_by_its_objects_alone(folder: Folder, owner: str) -> None:
    """A lost memory does not let the other one in."""
    (folder.root / RENDERED / ".smihub.json").unlink()
    before = rendered(folder)
    assert folder.run("apply", "--yes", *second(folder, owner)).exit_code == 3
    assert rendered(folder) == before
    assert folder.run("apply", "--yes").exit_code == 0
    assert f'"owner": "{ONE}"'.encode() in rendered(folder)[".smihub.json"]


def test_an_object_of_another_owner_in_our_folder_is_foreign(folder: Folder) -> None:
    """It is never written, deleted or adopted; what needs its place waits and says so."""
    path = folder.root / RENDERED / POLICY_FILE
    path.write_text(path.read_text().replace(ONE, OTHER))
    before = path.read_bytes()
    for verb in (("plan",), ("apply", "--yes")):
        result = folder.run(*verb)
        assert (result.exit_code, "(guard.foreign-owner)" in result.stdout) == (3, True)
    adopted = folder.run("adopt", "istio", POLICY, "--yes")
    assert (adopted.exit_code, f"with owner {OTHER[:8]}..." in adopted.stderr) == (3, True), adopted.stderr
    assert folder.run("pause", "istio", POLICY).exit_code == 1
    folder.remove("access.yaml")
    folder.run("apply", "--yes", "--accept", "guard.blast-radius")
    assert path.read_bytes() == before


# --------------------------------------------------------------------------- before there were owners


def test_without_an_owner_plan_prints_the_line_to_add(tmp_path: Path) -> None:
    """Which is all that has to be done; nothing is written anew for it, but the memory."""
    folder = istio_shop(tmp_path)
    folder.config(config("all"))
    assert folder.run("apply", "--yes").exit_code == 0
    before = rendered(folder)
    said = folder.run("plan")
    assert said.exit_code == 0
    line = re.search(r'add the line: (owner: "[0-9a-f]{32}")', said.stderr)
    assert line
    assert line[1] in folder.run("plan").stderr  # the same each time: two readers do not lock each other out
    (tmp_path / "other").mkdir()
    assert line[1] not in istio_shop(tmp_path / "other", "all").run("plan").stderr
    folder.config(f"{line[1]}\n{config('all')}")
    assert (folder.run("plan").exit_code, rendered(folder)) == (0, before)
    assert folder.run("apply", "--yes").exit_code == 0
    after = rendered(folder)
    assert {file for file in after if after[file] != before.get(file)} == {".smihub.json"}
    assert line[1].replace("owner", '"owner"').encode() in after[".smihub.json"]
    assert folder.run("plan", *second(folder, OTHER)).exit_code == 3


def test_an_object_gets_the_owner_when_it_is_written_next(tmp_path: Path) -> None:
    """That one, and no other."""
    folder = istio_shop(tmp_path)
    folder.run("apply", "--yes")
    folder.config(owned(config(), ONE))
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    assert folder.run("apply", "--yes").exit_code == 0
    assert owners(folder) == {POLICY_FILE: ONE, PEERS_FILE: None}
    assert folder.run("plan").exit_code == 0
    before = rendered(folder)
    assert folder.run("pause", "istio", PEERS).exit_code == 0
    assert rendered(folder) != before
    assert folder.run("resume", "istio", PEERS).exit_code == 0
    assert rendered(folder) == before
    folder.remove("access.yaml")
    assert folder.run("apply", "--yes").exit_code == 0
    assert folder.run("release", "istio", UNIT, "--delete", "--yes").exit_code == 0
    assert owners(folder) == {}


def test_a_mark_without_an_owner_is_ours_only_if_the_memory_has_its_unit(tmp_path: Path) -> None:
    """Without the memory nobody can tell whose it is: it stays, and what needs its place waits until somebody adopts it."""
    folder = istio_shop(tmp_path)
    folder.run("apply", "--yes")
    folder.config(owned(config(), ONE))
    (folder.root / RENDERED / ".smihub.json").unlink()
    before = rendered(folder)
    assert "(guard.foreign-owner)" in folder.run("plan").stdout
    folder.remove("access.yaml")
    folder.run("apply", "--yes")
    after = rendered(folder)
    assert {file: after[file] for file in (POLICY_FILE, PEERS_FILE)} == {
        file: before[file] for file in (POLICY_FILE, PEERS_FILE)
    }
    folder.write("access.yaml", target("api-from-web"))
    assert folder.run("adopt", "istio", POLICY, PEERS, "--yes").exit_code == 0
    assert set(owners(folder).values()) == {ONE}
    folder.run("apply", "--yes")
    assert folder.run("plan").exit_code == 0


@pytest.mark.parametrize("kind", ["vm", "istio"])
def test_what_f44faaa_left_is_ours_and_gets_the_owner(tmp_path: Path, kind: str) -> None:
    """No conflict, no gain, no loss; and once it is applied the other smihub.yaml is refused."""
    install(tmp_path, "vm" if kind == "vm" else "istio")
    path = tmp_path / "smihub.yaml"
    value = yaml.load(path.read_text(), yaml.CSafeLoader)
    for mesh in value["meshes"] if kind == "istio" else ():
        mesh["config"] = {**mesh.get("config", {}), "headerValues": "text"}
    folder = Folder.__new__(Folder)
    folder.root, folder.manifests = tmp_path, tmp_path / "folder"
    folder.config(yaml.safe_dump({**value, "owner": ONE}))
    plan = folder.plan()["meshes"][0]
    assert [plan[key] for key in ("refused", "newlyAllowed", "newlyDenied", "frozen", "held")] == [[], [], [], [], []]
    wrong = 1 if kind == "vm" else 0  # upstreams of that time have no socket, which is an error today
    assert folder.run("apply", "--yes").exit_code == wrong
    assert folder.run("plan").exit_code == wrong
    folder.config(yaml.safe_dump({**value, "owner": OTHER}))
    assert folder.run("plan").exit_code == 3


# --------------------------------------------------------------------------- two of them on one state file


@pytest.mark.parametrize("owner", [OTHER, ""])
def test_a_second_smihub_yaml_on_the_state_file_is_refused(tmp_path: Path, owner: str) -> None:
    """Plans, writes, tokens and serving; and what the first one wrote stays."""
    folder = shop(tmp_path)
    folder.config(owned(CONFIG, ONE))
    assert folder.run("apply", "--yes").exit_code == 0
    (tmp_path / "others").mkdir()
    (tmp_path / "second.yaml").write_text(owned(CONFIG.replace("manifests", "others"), owner))
    (tmp_path / "others" / "api.yaml").write_text(bound("api"))
    for verb in (("plan",), ("apply", "--yes", "--accept", "guard.owner")):
        result = folder.run(*verb, "--config", "second.yaml")
        assert (result.exit_code, "(guard.owner)" in result.stdout) == (3, True)
    for verb in (("bootstrap", "shop/api-1", "--out", "envoy"), ("run",)):
        result = folder.run(*verb, "--config", "second.yaml")
        assert (result.exit_code, ONE[:8] in result.stderr) == (3, True), (verb, result.output)
    assert folder.run("plan").exit_code == 0
