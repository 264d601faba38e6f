"""What in the folder is not ours: never touched, never followed, never taken for ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.errors import ConfigError
from hub.model import Role
from hub.plan.guards import Limits, refusals
from hub.plan.plan import Plan
from hub.sinks.ledger import encode_memory
from hub.sinks.manifest import MAX_OBJECT_BYTES
from tests.hub.sinks.small_mesh import (
    API,
    GUARD,
    ROUTE,
    access,
    apply,
    content,
    native,
    planned,
    seen,
    stamp,
    wanted,
    wrote,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder with one unit in it."""
    made = tmp_path / "deep" / "rendered"
    apply(made, wanted({"api": ["web"]}))
    return made


FOREIGN = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: db-api, namespace: shop}\n"
FOREIGN_FILES = {
    "no mark": FOREIGN,
    "another mesh": stamp(native(Role.GRANT, "db-api"), access("api"), "linkerd").decode(),
    "several documents": f"a: 1\n---\n{FOREIGN}",
}


@pytest.mark.thorough
@pytest.mark.parametrize("text", FOREIGN_FILES.values(), ids=FOREIGN_FILES.keys())
@pytest.mark.parametrize(
    "name", ["mine.yaml", "shop_AuthorizationPolicy.security.istio.io_db-api.yaml", "a \udcff\n.yml"]
)
def test_a_foreign_object_is_in_the_way_and_untouched(path: Path, text: str, name: str) -> None:
    """A plan that wants its place is refused; all others go on."""
    (path / "objects" / name).write_text(text)
    made = planned(wanted({"api": ["web"], "db": ["api"]}), seen(path))
    assert {refusal.code for refusal in refusals(made, Limits(), ())} == {"guard.foreign-owner"}
    apply(path, wanted({"api": ["web", "more"], "db": ["web"]}))
    apply(path, {})
    assert (path / "objects" / name).read_text() == text


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["text", "folder", "link", "pipe", "huge", "binary"])
def test_something_else_in_the_place_of_a_file(path: Path, tmp_path: Path, kind: str) -> None:
    """Is in the way as well, never followed, and stays."""
    place = path / "objects" / "shop_AuthorizationPolicy.security.istio.io_db-api.yaml"
    outside = tmp_path / "outside"
    outside.write_text(stamp(native(Role.GRANT, "db-api", {"evil": True}), access("api"), "istio").decode())
    makers: dict[str, Callable[[], object]] = {
        "text": lambda: place.write_text("{"),
        "folder": place.mkdir,
        "link": lambda: place.symlink_to(outside),
        "pipe": lambda: os.mkfifo(place),
        "huge": lambda: place.write_bytes(b"#" * (MAX_OBJECT_BYTES + 1)),
        "binary": lambda: place.write_bytes(b"\xff\x00"),
    }
    makers[kind]()
    before = (place.lstat().st_ino, outside.read_bytes())
    assert planned(wanted({"db": ["api"]}), seen(path)).conflicts
    apply(path, {})
    assert (place.lstat().st_ino, outside.read_bytes()) == before


def test_files_beside_are_left_alone(path: Path) -> None:
    """Whatever they are, and what nobody applies in `objects` as well."""
    (path / "mine.yaml").write_text(FOREIGN)
    (path / "mine.json").write_text("{")
    (path / "objects" / "README.md").write_text("mine")
    (path / "objects" / "sub").mkdir()
    (path / "objects" / "sub" / "x.yaml").write_text(FOREIGN)
    kept = {name: data for name, data in content(path).items() if name not in {API, GUARD, ROUTE}}
    assert not planned(wanted({"db": ["api"]}), seen(path)).conflicts
    apply(path, {})
    assert {**content(path), "kustomization.yaml": b"", ".smihub.json": b""} == {
        **kept,
        "kustomization.yaml": b"",
        ".smihub.json": b"",
    }


FORGED = (
    "- objects/../x # grant access/a/b",
    "- objects/../../../etc # guard access/a/b",
    "- objects//etc/x.yaml # grant access/a/b",
    "- objects/sub/x.yaml # grant access/a/b",
    "- objects/.. # grant access/a/b",
    "- objects/https://example.invalid/x.yaml # grant access/a/b",
    "- objects/%2e%2e%2fx.yaml?ref=x # grant access/a/b",
    "- objects/x.yaml # grant access/a/b\a",
    "- objects/..",
    "- objects/.",
    "- objects/../x.yaml",
    "- ../x.yaml",
    "- /etc/x.yaml",
    "- objects/shop_ConfigMap_long_0123456789abcdef0123.yaml # grant access/a/b",
)


@pytest.mark.thorough
@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("line", FORGED)
def test_no_line_that_leads_elsewhere_is_kept_in_the_list(path: Path, line: str, *, first: bool) -> None:
    """What it leads to would be applied; the next plan shows that the list is not ours, and the write drops the line."""
    (path.parent / "x").mkdir()
    before = (path / "kustomization.yaml").read_bytes()
    head, objects = before.decode().split("resources:\n")
    (path / "kustomization.yaml").write_text(
        f"{head}resources:\n{line}\n{objects}" if first else f"{head}resources:\n{objects}{line}\n"
    )
    if "shop_ConfigMap" not in line:
        assert planned(wanted({"api": ["web"]}), seen(path)).changes
    apply(path, wanted({"api": ["web", "more"]}))
    apply(path, wanted({"api": ["web"]}))
    assert (path / "kustomization.yaml").read_bytes() == before


def _unreadable(path: Path) -> Iterator[tuple[str, Path, str]]:
    yield "a conflict in a file", path / API, (path / API).read_text().replace("spec:", "<<<<<<< HEAD\nspec:")
    yield "a second document", path / API, (path / API).read_text() + f"---\n{FOREIGN}"
    yield "a copy under another name", path / "objects" / "copy.yaml", (path / API).read_text()
    yield "a template", path / "objects" / "t.yaml", (path / API).read_text().replace("name: api-web", "name: mine")
    yield "a foreign copy", path / "objects" / "copy.yaml", (path / API).read_text().replace("smihub.io/mesh", "x/y")
    yield "a memory of others", path / ".smihub.json", encode_memory("linkerd", {}).decode()
    yield "a newer memory", path / ".smihub.json", '{"schema": 2, "mesh": {}}'
    yield "a conflict in the memory", path / ".smihub.json", "<<<<<<< HEAD\n{}"
    yield "no unit", path / ".smihub.json", '{"schema":1,"mesh":"istio","units":[{"unit":"x"}]}'
    yield "a foreign kustomization", path / "kustomization.yaml", "resources: [mine.yaml]\n"
    yield "that of another mesh", path / "kustomization.yaml", '# Generated by smihub for mesh "linkerd".\n'
    yield "a second kustomization", path / "kustomization.yml", "resources: []\n"


@pytest.mark.thorough
@pytest.mark.parametrize("number", range(12))
def test_where_nobody_can_tell_one_error_says_what_to_do(path: Path, number: int) -> None:
    """It names the file, and nothing is written."""
    _, file, text = list(_unreadable(path))[number]
    made = planned(wanted({"api": ["new"]}), seen(path))
    file.write_text(text)
    before = content(path)
    with pytest.raises(ConfigError, match=file.name.replace(".", "[.]")) as error:
        seen(path)
    assert str(error.value).count("\n") == 0
    with pytest.raises(ConfigError):
        wrote(path, made)
    assert content(path) == before


@pytest.mark.parametrize("name", ["kustomization.yaml", ".smihub.json", "objects"])
def test_links_in_place_of_our_own_files_are_not_followed(path: Path, tmp_path: Path, name: str) -> None:
    """Out of the folder nothing is read, written or removed."""
    (path / name).rename(tmp_path / "moved")
    (path / name).symlink_to(tmp_path / "moved")
    before = content(tmp_path / "moved") if name == "objects" else (tmp_path / "moved").read_bytes()
    with pytest.raises(ConfigError, match=name.replace(".", "[.]")):
        seen(path)
    with pytest.raises(ConfigError):
        wrote(path, Plan("istio", "any", memory={access("api"): b""}))
    assert before == (content(tmp_path / "moved") if name == "objects" else (tmp_path / "moved").read_bytes())


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    """Is an error, not an empty mesh."""
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match="not a directory"):
            seen(path)


def test_two_meshes_have_two_folders(tmp_path: Path) -> None:
    """In one they would prune each other's objects, so the second is refused."""
    apply(tmp_path / "a", wanted({"api": ["web"]}), "istio")
    apply(tmp_path / "b", wanted({"api": ["web"]}), "linkerd")
    assert seen(tmp_path / "a", "istio").objects.keys() == seen(tmp_path / "b", "linkerd").objects.keys()
    with pytest.raises(ConfigError, match="another mesh"):
        seen(tmp_path / "a", "linkerd")
