"""adopt, release, pause and resume as a person types them, on a folder for Istio."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.hub.sinks.istio_shop import (
    PEERS,
    PEERS_FILE,
    POLICY,
    POLICY_FILE,
    RENDERED,
    UNIT,
    config,
    deployment,
    istio_shop,
)
from tests.hub.sinks.small_mesh import content
from tests.servers.folder import Folder, target

pytestmark = pytest.mark.thorough


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """A folder that was applied; what is not governed is not there."""
    folder = istio_shop(tmp_path)
    assert folder.run("apply", "--yes").exit_code == 0
    return folder


def rendered(folder: Folder) -> dict[str, bytes]:
    """All files of the folder for GitOps."""
    return content(folder.root / RENDERED)


def foreign(folder: Folder, path: str, name: str, old: str = "", new: str = "") -> Path:
    """What smihub wrote, as somebody else's from before smihub came, in a file of this name."""
    value = yaml.load(rendered(folder)[path], yaml.CSafeLoader)
    del value["metadata"]["labels"], value["metadata"]["annotations"]
    for file in rendered(folder):
        if file in {path, ".smihub.json", "kustomization.yaml"}:
            (folder.root / RENDERED / file).unlink()
    made = folder.root / RENDERED / "objects" / name
    made.write_text("# mine\n" + yaml.safe_dump(value).replace(old, new))
    return made


# --------------------------------------------------------------------------- adopt


@pytest.mark.parametrize("name", [Path(POLICY_FILE).name, "mine.yaml", "mine.json", "\u00e4 \udcff.yml"])
def test_adopt_takes_over_what_is_equal_in_a_file_of_its_name(folder: Folder, name: str) -> None:
    """The plan was refused, the list says so, and after it the folder is as if smihub had written everything."""
    before = rendered(folder)
    made = foreign(folder, POLICY_FILE, name)
    assert folder.run("plan").exit_code == 3
    if name != Path(POLICY_FILE).name:
        refused = folder.run("adopt", "istio", POLICY, "--yes")
        assert (refused.exit_code, f'rename the file to "{Path(POLICY_FILE).name}" first' in refused.stderr) == (
            3,
            True,
        )
        made.rename(folder.root / RENDERED / POLICY_FILE)
    listed = folder.run("adopt", "istio")
    assert (listed.exit_code, listed.stdout) == (0, f"{POLICY}: same content, can be adopted\n")
    assert f"smihub adopt istio {POLICY}" in listed.stderr
    done = folder.run("adopt", "istio", POLICY, "--yes")
    assert (done.exit_code, done.stderr) == (0, f"note: mesh istio: adopted {POLICY}\n")
    assert folder.run("plan").exit_code in {0, 2}
    assert folder.run("apply", "--yes").exit_code == 0
    assert rendered(folder) == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("action: ALLOW", "action: DENY", "spec.action: DENY instead of ALLOW"),
        ("  name:", "  labels: {team: a}\n  name:", "metadata.labels.team: a would be lost"),
        ("  name:", "  annotations: {x/y: z}\n  name:", "metadata.annotations.x/y: z would be lost"),
        ("  action: ALLOW\n", "", "spec.action: nothing instead of ALLOW"),
        ("# mine\n", "# mine\n", ""),
    ],
)
def test_adopt_shows_each_field_that_differs_and_refuses(folder: Folder, old: str, new: str, said: str) -> None:
    """One line per field; what is not equal is not touched, and the code is 3."""
    made = foreign(folder, POLICY_FILE, Path(POLICY_FILE).name, old, new)
    before = made.read_bytes()
    listed = folder.run("adopt", "istio")
    assert listed.exit_code == 0
    if not said:
        assert "same content" in listed.stdout
        return
    assert listed.stdout == f"{POLICY}: differs\n  {said}\n"
    result = folder.run("adopt", "istio", POLICY, "--yes")
    assert result.exit_code == 3
    assert said in result.stderr
    assert result.stderr.endswith("nothing was written\n")
    assert made.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", "contains more than this object"),
        ("again", "both contain this object"),
        ("elsewhere", "has the file name of this object and contains something else"),
    ],
)
def test_adopt_refuses_what_does_not_stand_by_itself(folder: Folder, more: str, said: str) -> None:
    """Several documents, several files, another object in its place: the file is named."""
    made = foreign(folder, POLICY_FILE, "mine.yaml")
    if more == "again":
        made.with_name("other.yaml").write_bytes(made.read_bytes())
    elif more == "elsewhere":
        made.rename(made.with_name(Path(POLICY_FILE).name)).write_text("a: 1\n")
    else:
        made.write_text(made.read_text() + more)
    before = rendered(folder)
    result = folder.run("adopt", "istio", POLICY, "--yes")
    assert (result.exit_code, rendered(folder)) == (3, before)
    assert said in result.stderr
    assert '"objects/' in result.stderr


def test_adopt_says_why_a_name_is_not_among_them(folder: Folder) -> None:
    """Ours already, nobody's wish, or not there at all; nothing is written."""
    other = folder.root / RENDERED / "objects" / "config.yaml"
    other.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x, namespace: shop}\n")
    before = rendered(folder)
    for name, said in (
        (POLICY, "already"),
        ("ConfigMap/shop/x", "do not need such an object"),
        ("X/y", "does not exist"),
    ):
        result = folder.run("adopt", "istio", name, "--yes")
        assert result.exit_code == 1
        assert name in result.stderr
        assert said in result.stderr
    assert folder.run("adopt", "nowhere").exit_code == 1
    assert "no unmanaged object" in folder.run("adopt", "istio").stderr
    assert rendered(folder) == before


def test_adopt_where_nobody_can_be_asked_wants_yes(folder: Folder) -> None:
    """And writes nothing before."""
    foreign(folder, POLICY_FILE, Path(POLICY_FILE).name)
    before = rendered(folder)
    result = folder.run("adopt", "istio", POLICY)
    assert (result.exit_code, rendered(folder)) == (1, before)
    assert "rerun with --yes" in result.stderr


def test_nothing_is_decided_while_a_file_cannot_be_read(folder: Folder) -> None:
    """Broken YAML may be what governs: neither adopt nor release goes on without it."""
    foreign(folder, POLICY_FILE, "mine.yaml")
    folder.write("access.yaml", "kind: Pod\na: [")
    before = rendered(folder)
    for words in (("release", "istio", UNIT), ("release", "istio", UNIT, "--delete")):
        result = folder.run(*words, "--yes")
        assert (result.exit_code, "cannot be read" in result.stderr) == (3, True)
    assert folder.run("adopt", "istio").exit_code == 1
    assert rendered(folder) == before


# --------------------------------------------------------------------------- release


def test_release_and_adopt_again_change_no_byte(folder: Folder) -> None:
    """What was released stays, listed and without our mark; a plan wants nothing of it."""
    before = rendered(folder)
    folder.config(config("{namespaces: [other]}"))
    result = folder.run("release", "istio", UNIT, "--yes")
    assert (result.exit_code, "no longer managed" in result.stderr, POLICY in result.stderr) == (0, True, True)
    files = rendered(folder)
    assert files.keys() == before.keys()
    assert b"smihub" not in files[PEERS_FILE].replace(b"smihub-api", b"").replace(b"smihub.io/sa", b"")
    assert (
        f"- {PEERS_FILE}\n- {POLICY_FILE}".split("\n")
        == sorted(line for line in files["kustomization.yaml"].decode().splitlines() if line.startswith("- "))[::-1]
    )
    assert UNIT.encode() not in files[".smihub.json"]
    assert folder.run("plan").exit_code == 0
    folder.config(config())
    assert folder.run("adopt", "istio", POLICY, PEERS, "--yes").exit_code == 0
    assert rendered(folder) == before


def test_release_is_refused_while_the_unit_is_in_scope(folder: Folder) -> None:
    """It names what has it there; and a unit that was never governed is told apart."""
    before = rendered(folder)
    for more in ((), ("--delete",)):
        result = folder.run("release", "istio", UNIT, "--yes", *more)
        assert (result.exit_code, rendered(folder)) == (3, before)
        assert "TrafficTarget/shop/api-from-web" in result.stderr
    result = folder.run("release", "istio", "access/shop/db", "--yes")
    assert (result.exit_code, "does not govern access/shop/db" in result.stderr) == (3, True)
    assert folder.run("release", "istio", "shop/api", "--yes").exit_code == 1


def test_release_delete_says_that_it_opens_and_deletes(folder: Folder) -> None:
    """The objects, the list and the memory; nothing else of the folder."""
    folder.remove("access.yaml")
    asked = folder.run("release", "istio", UNIT, "--delete")
    assert (asked.exit_code, POLICY_FILE in rendered(folder)) == (1, True)
    result = folder.run("release", "istio", UNIT, "--delete", "--yes")
    assert result.exit_code == 0
    assert "accept every caller" in result.stderr
    assert POLICY in result.stderr
    assert rendered(folder).keys() == {"kustomization.yaml", ".smihub.json"}
    assert folder.run("plan").exit_code == 0


def test_release_delete_is_refused_for_what_is_to_be_left_alone(folder: Folder) -> None:
    """Release without --delete is not, and takes the pause away with the mark."""
    folder.remove("access.yaml")
    folder.run("apply", "--yes")
    assert folder.run("pause", "istio", POLICY).exit_code == 0
    before = rendered(folder)
    result = folder.run("release", "istio", UNIT, "--delete", "--yes")
    assert (result.exit_code, POLICY in result.stderr, rendered(folder)) == (3, True, before)
    assert folder.run("release", "istio", UNIT, "--yes").exit_code == 0
    assert b"paused" not in rendered(folder)[POLICY_FILE]


# --------------------------------------------------------------------------- pause and resume


def test_pause_adds_one_line_and_resume_takes_it_out(folder: Folder) -> None:
    """Twice is once; comments and layout of the file stay."""
    path = folder.root / RENDERED / POLICY_FILE
    path.write_text(path.read_text().replace("spec:\n", "spec:  # a remark\n"))
    before = rendered(folder)
    for _ in range(2):
        assert folder.run("pause", "istio", POLICY).exit_code == 0
    added = rendered(folder)[POLICY_FILE].decode().splitlines()
    assert [line for line in added if line not in before[POLICY_FILE].decode().splitlines()] == [
        '    smihub.io/paused: "true"'
    ]
    for _ in range(2):
        assert folder.run("resume", "istio", POLICY).exit_code == 0
    assert rendered(folder) == before


def test_a_paused_object_is_shown_while_it_differs_and_never_written(folder: Folder) -> None:
    """It is ours still; what it keeps from coming about is told as new when that ends."""
    folder.run("pause", "istio", POLICY)
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    before = rendered(folder)
    for verb in (("plan",), ("apply", "--yes"), ("plan",)):
        result = folder.run(*verb)
        assert result.exit_code == 0
        assert f"paused {POLICY}" in result.stdout
        assert rendered(folder) == before
    folder.run("resume", "istio", POLICY)
    result = folder.run("plan")
    assert result.exit_code == 2
    assert "newly denied (1)" in result.stdout
    assert folder.run("apply", "--yes").exit_code == 0
    assert b"/orders" in rendered(folder)[POLICY_FILE]


def test_pause_of_what_is_not_ours_or_not_there(folder: Folder) -> None:
    """Is an error that says which there are, and writes nothing."""
    (folder.root / RENDERED / PEERS_FILE).unlink()
    result = folder.run("pause", "istio", PEERS)
    assert (result.exit_code, "smihub apply" in result.stderr) == (3, True)
    result = folder.run("pause", "istio", "X/y/z")
    assert (result.exit_code, POLICY in result.stderr) == (1, True)
    foreign(folder, POLICY_FILE, "mine.yaml")
    result = folder.run("pause", "istio", POLICY)
    assert (result.exit_code, "not managed by smihub" in result.stderr) == (1, True)


def test_the_former_verb_pauses_and_resumes_still(folder: Folder) -> None:
    """With a notice on stderr that names the verb of now; help does not list it."""
    before = rendered(folder)
    for end, verb in (((), "pause"), (("--end",), "resume")):
        result = folder.run("hands-off", "istio", POLICY, *end)
        assert (result.exit_code, result.stdout, f'use "smihub {verb}"' in result.stderr) == (0, "", True)
        assert (rendered(folder) != before) == (verb == "pause")
    assert "hands-off" not in folder.run("--help").stdout


def test_an_annotation_of_an_earlier_release_pauses(folder: Folder) -> None:
    """smihub.io/hands-off is honoured for good; resume takes it out."""
    path = folder.root / RENDERED / POLICY_FILE
    path.write_text(path.read_text().replace("  annotations:\n", '  annotations:\n    smihub.io/hands-off: "true"\n'))
    folder.write("access.yaml", target("api-from-web", matches="orders"))
    before = rendered(folder)
    assert json.loads(folder.run("plan", "-o", "json").stdout)["meshes"][0]["paused"] == [POLICY]
    assert folder.run("apply", "--yes").exit_code == 0
    assert rendered(folder) == before
    assert folder.run("resume", "istio", POLICY).exit_code == 0
    assert folder.run("plan").exit_code == 2


# --------------------------------------------------------------------------- labels that bind Pods to policies


def test_a_deployment_without_the_label_is_refused_with_the_line_to_add(folder: Folder) -> None:
    """Added, or accepted, it passes."""
    folder.write("more.yaml", deployment("api2", "", account="api"))
    refused = folder.run("plan")
    assert refused.exit_code == 3
    assert refused.stdout.splitlines()[-1].endswith('add "smihub.io/sa: api" to spec.template.metadata.labels')
    assert "(selector.unlabelled-pods)" in refused.stdout
    assert folder.run("plan", "--accept", "selector.unlabelled-pods").exit_code == 0
    folder.write("more.yaml", deployment("api2", ", smihub.io/sa: api", account="api"))
    assert folder.run("plan").exit_code == 0


def test_a_foreign_pod_with_the_label_is_refused(folder: Folder) -> None:
    """It would come under somebody else's policy."""
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: shop, labels: {smihub.io/sa: api}}\n"
    folder.write("pod.yaml", pod + "spec: {serviceAccountName: web, containers: []}\n")
    result = folder.run("plan")
    assert result.exit_code == 3
    assert "Pod/shop/p" in result.stdout
    assert "remove the label from metadata.labels" in result.stdout
