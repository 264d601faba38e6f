"""A wrong smihub.yaml is one line with file, line, field and remedy, for every verb; never a stack trace."""

from __future__ import annotations

import random

import pytest

from hub.config.template import template
from tests.servers.folder import CONFIG, Folder

VERBS = ("check", "plan", "apply", "status", "bootstrap shop/web-1", "explain --to shop/api:80")
WRONG = {
    "empty": ("", 1, ""),
    "text": ("hello", 1, ""),
    "list": ("- a\n", 1, ""),
    "broken": ("domain: [", 2, "domain[0]"),
    "two documents": (CONFIG + "---\na: b\n", None, ""),
    "unknown field": (CONFIG.replace("sources", "source"), 2, "source"),
    "unknown field inside": (CONFIG.replace("adapter", "adaptor"), 5, "meshes[0].adaptor"),
    "missing": (CONFIG.replace("domain: {trustDomain: cluster.local}\n", ""), 1, "domain"),
    "wrong type": (CONFIG + "accept: 1\n", 6, "accept"),
    "bad trust domain": (CONFIG.replace("cluster.local", "Cluster Local"), 1, "domain.trustDomain"),
    "no sources": (CONFIG.replace("\n- path: manifests", " []"), 2, "sources"),
    "source twice": (
        CONFIG.replace("- path: manifests", "- path: manifests\n- path: ./manifests/"),
        4,
        "sources[1].path",
    ),
    "mesh twice": (CONFIG + "- {name: vms, adapter: vm}\n", 6, "meshes[1].name"),
    "bad mesh name": (CONFIG.replace("vms", "../x"), 5, "meshes[0].name"),
    "percent": (CONFIG + "guards: {blastRadiusPercent: 200}\n", 6, "guards.blastRadiusPercent"),
    "markup": (CONFIG + "'[/red]': 1\n", None, "[/red]"),
}


@pytest.mark.parametrize(
    ("verb", "name"), [*(("check", name) for name in WRONG), *((verb, "unknown field") for verb in VERBS[1:])]
)
def test_configuration_when_wrong_is_one_line(folder: Folder, verb: str, name: str) -> None:
    """File, line and field on stderr, exit code 1, nothing on stdout."""
    text, line, field = WRONG[name]
    folder.config(text)
    result = folder.run(*verb.split())
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    place = "error: smihub.yaml:" if line is None else f"error: smihub.yaml:{line}: "
    assert result.stderr.startswith(place)
    assert f"{field}: " in result.stderr if field else True


ISTIO = CONFIG.replace("adapter: vm", "adapter: istio, sink: {kind: directory, path: out}")


@pytest.mark.parametrize(
    ("text", "line", "field", "remedy"),
    [
        (
            CONFIG.replace("adapter: vm", "adapter: linkerd"),
            5,
            "meshes[0].adapter",
            "use adapter: istio or adapter: vm",
        ),
        (CONFIG.replace("adapter: vm", "adapter: vm, governed: targets"), 5, "meshes[0].governed", "use governed: "),
        (CONFIG.replace("adapter: vm", "adapter: vm, sink: {adress: x}"), 5, "meshes[0].sink.adress", "did you mean"),
        (CONFIG.replace("adapter: vm", "adapter: vm, config: {x: 1}"), 5, "meshes[0].config.x", "expected one of"),
        (ISTIO.replace("kind: directory", "kind: xds"), 5, "meshes[0].sink.kind", "kind: directory"),
        (ISTIO.replace("kind: directory", "kind: 7"), 5, "meshes[0].sink.kind", "kind: directory"),
        (ISTIO.replace(", path: out", ""), 5, "meshes[0].sink.path", "add path: ..."),
        (ISTIO.replace("path: out", "path: ''"), 5, "meshes[0].sink", "such as rendered/vms"),
        (CONFIG.replace("- path: manifests", "- kind: cloud"), 3, "sources[0].kind", "kind: directory"),
        (
            CONFIG.replace("- path: manifests", "- {path: manifests, name: 'a b'}"),
            3,
            "sources[0].name",
            "name: policies",
        ),
        (
            CONFIG.replace("- path: manifests", f"- {{path: manifests, name: {'a' * 64}}}"),
            3,
            "sources[0].name",
            "at most 63",
        ),
        (CONFIG.replace("path: manifests", f"path: {'a/' * 128}"), 3, "sources[0].name", "add name: ..."),
        (CONFIG.replace("name: vms", f"name: {'a' * 64}"), 5, "meshes[0].name", "at most 63"),
    ],
)
def test_configuration_that_a_plugin_refuses_is_told_alike(
    folder: Folder, text: str, line: int, field: str, remedy: str
) -> None:
    """File, line and field, and what to write."""
    folder.config(text)
    result = folder.run("check")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    file = folder.root / "smihub.yaml"
    at = (f"error: smihub.yaml:{line}: {field}: ", f"error: {file}:{line}: {field}: ")
    assert result.stderr.startswith(at), result.stderr
    assert remedy in result.stderr


@pytest.mark.parametrize("kind", ["missing", "folder", "unreadable name"])
def test_configuration_when_it_cannot_be_read_is_one_line(folder: Folder, kind: str) -> None:
    """No file, a folder, a name that no file can have."""
    name = {"missing": "none.yaml", "folder": "manifests", "unreadable name": "x" * 300}[kind]
    result = folder.run("plan", "-c", name)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "cannot be read" in result.stderr


def test_configuration_without_end_is_not_read_to_its_end(folder: Folder) -> None:
    """`-c /dev/zero` costs no memory."""
    result = folder.run("plan", "-c", "/dev/zero")
    assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert "has more than" in result.stderr


def test_state_in_a_folder_of_the_user_leaves_her_gitignore_alone(folder: Folder) -> None:
    """Only a folder that smihub made itself is kept out of Git."""
    folder.config(CONFIG + "state: .\n")
    assert folder.run("apply", "--yes").exit_code == 0
    assert (folder.root / "hub.sqlite").exists()
    assert not (folder.root / ".gitignore").exists()


@pytest.mark.thorough
def test_configuration_when_damaged_at_random_never_ends_in_a_trace(folder: Folder) -> None:
    """100 damaged templates: each is read, or is one line of error."""
    dice = random.Random(7)
    good = template("manifests")
    pieces = [
        "{",
        "]",
        ": ",
        "\n",
        "- ",
        "&a ",
        "*a",
        "!!int ",
        "\t",
        "'",
        "\x00",
        "null",
        "9" * 30,
        "[" * 80,
        "é",
        "# ",
    ]
    for _ in range(100):
        text = good
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(text))
            text = text[:at] + dice.choice(pieces) + text[at + dice.choice([0, 0, 1, 5]) :]
        folder.config(text)
        result = folder.run("check")  # raises what is no clean exit
        assert result.exit_code == 0 or (result.exit_code, result.stderr.count("\n")) == (1, 1), (text, result.stderr)
