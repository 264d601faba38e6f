"""A wrong smihub.yaml is one line with file, line, field and remedy, for every verb; never a stack trace."""

from __future__ import annotations

import random

import pytest
import yaml

from hub.config.examples import EXAMPLES
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
    "meshes by name": (CONFIG.replace("- {name: vms, adapter: vm}", "  vms: {adapter: vm}"), 4, "meshes"),
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


def test_a_field_in_a_place_where_it_is_unknown_has_no_example(folder: Folder) -> None:
    """`state` is a field of the file; an example beside the sink would say that it is one there, too."""
    folder.config(CONFIG.replace("adapter: vm", "adapter: vm, sink: {state: vm.db}"))
    said = folder.run("check").stderr
    assert said.endswith("meshes[0].sink.state: unknown field; expected one of address, certificateLifeS, socket\n")


ISTIO = CONFIG.replace("adapter: vm", "adapter: istio, sink: {kind: directory, path: out}")


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("text", "line", "field", "remedy"),
    [
        (
            CONFIG.replace("adapter: vm", "adapter: kuma"),
            5,
            "meshes[0].adapter",
            "use adapter: consul or adapter: consul-k8s or adapter: istio or adapter: linkerd or adapter: vm",
        ),
        (CONFIG.replace("adapter: vm", "adapter: vm, governed: targets"), 5, "meshes[0].governed", "use governed: "),
        (CONFIG.replace("adapter: vm", "adapter: vm, sink: {adress: x}"), 5, "meshes[0].sink.adress", "did you mean"),
        (CONFIG.replace("adapter: vm", "adapter: vm, config: {x: 1}"), 5, "meshes[0].config.x", "expected one of"),
        (ISTIO.replace("kind: directory", "kind: xds"), 5, "meshes[0].sink.kind", "kind: directory"),
        (ISTIO.replace("kind: directory", "kind: 7"), 5, "meshes[0].sink.kind", "kind: directory"),
        (ISTIO.replace(", path: out", ""), 5, "meshes[0].sink.path", "add path: rendered/istio"),
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


@pytest.mark.thorough
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


# --------------------------------------------------------------------------- what to write


@pytest.mark.thorough
@pytest.mark.parametrize(
    "name", ["sources", "meshes", "guards", "accept", "state", "reading", "http", "recheckSeconds"]
)
def test_an_error_about_a_field_says_what_to_write_and_that_works(folder: Folder, name: str) -> None:
    """Paste the line in place of the wrong one, and the file is read."""
    base = {"sources": "sources: [{path: manifests}]", "meshes": "meshes: [{name: vms, adapter: vm}]"}
    lines = {"domain": "domain: {trustDomain: cluster.local}", **base, name: f"{name}: [[]]"}
    folder.config("\n".join(lines.values()) + "\n")
    said = folder.run("check").stderr
    example = said.rstrip().rpartition("for example ")[2]
    assert example.startswith(f"{name}: "), said
    folder.config("\n".join({**lines, name: example}.values()) + "\n")
    assert folder.run("check").exit_code == 0


def test_every_example_is_yaml_for_its_own_field() -> None:
    """So that it can be pasted."""
    for field, example in EXAMPLES.items():
        assert list(yaml.load(example, yaml.CSafeLoader)) == [field.rpartition(".")[2]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (CONFIG + "reading: {pathRegex: x}\n", 'invalid value "x"; expected full or prefix; for example pathRegex: full'),
        (CONFIG.replace("adapter: vm", "adapter: vm, governed: x"), "expected all, targets, routes, or a mapping with namespaces"),
        (CONFIG.replace("trustDomain: cluster.local", ""), "domain.trustDomain: is missing; add trustDomain: example.org"),
        (CONFIG + "guards: {minUnits: -1}\n", "for example minUnits: 5"),
        (CONFIG.replace("adapter: vm", "adapter: vm, sink: {address: 5}"), "for example address: unix:/"),
    ],
)  # fmt: skip
def test_of_few_values_all_are_named(folder: Folder, text: str, said: str) -> None:
    """What may stand there, and one that does."""
    folder.config(text)
    assert said in folder.run("check").stderr


@pytest.mark.parametrize("what", ["address", "file", "foreign"])
def test_check_refuses_a_sink_that_apply_or_run_would_refuse(folder: Folder, what: str) -> None:
    """With file, line and field, before anybody tries it."""
    text = ISTIO
    if what == "address":
        text = CONFIG.replace("adapter: vm", "adapter: vm, sink: {address: 'tcp://10.0.0.1:1'}")
    elif what == "file":
        (folder.root / "out").write_text("")
    else:
        (folder.root / "out").mkdir()
        (folder.root / "out" / "kustomization.yaml").write_text("resources: [mine.yaml]\n")
    folder.config(text)
    result = folder.run("check")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: smihub.yaml:5: meshes[0].sink")
