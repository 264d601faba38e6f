"""`smihub adapters`: what is installed, and what each adapter can do and takes."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from unittest.mock import patch

import pytest
from msgspec.structs import replace

from hub.plugins import installed_plugins
from tests.servers.folder import Folder

TWO = """\
domain: {trustDomain: cluster.local}
sources: [{path: manifests}]
meshes:
- {name: vms, adapter: vm}
- {name: blue, adapter: istio, sink: {path: blue}}
- {name: green, adapter: istio, sink: {path: green}}
"""


def test_adapters_are_listed_with_their_package_and_meshes(folder: Folder) -> None:
    """Those that are installed, whether a mesh uses them or not."""
    folder.config(TWO)
    version = metadata.version("smihub")
    found = json.loads(folder.run("adapters", "list", "-o", "json").stdout)["adapters"]
    own = {each["adapter"]: each for each in found}
    assert own["istio"] == {
        "adapter": "istio",
        "package": "smihub",
        "version": version,
        "family": "kubernetes",
        "meshes": ["blue", "green"],
    }
    assert own["vm"]["meshes"] == ["vms"]
    lines = folder.run("adapters", "list").stdout.splitlines()
    assert lines[0].split() == ["adapter", "package", "version", "family", "meshes"]
    assert f"istio       smihub   {version}    kubernetes  blue, green" in lines


def test_without_a_smihub_yaml_no_mesh_uses_an_adapter(folder: Folder) -> None:
    """Which is no error, unless a file is named that is not there."""
    (folder.root / "smihub.yaml").unlink()
    assert "kubernetes  none" in folder.run("adapters", "list").stdout
    result = folder.run("adapters", "list", "--config", "other.yaml")
    assert result.exit_code == 1
    assert '"other.yaml" cannot be read' in result.stderr


@pytest.mark.parametrize("name", ["istio", "vm"])
def test_show_tells_features_settings_and_sinks(folder: Folder, name: str) -> None:
    """All of them, as the adapter and its sinks declare them."""
    folder.config(TWO)
    data = json.loads(folder.run("adapters", "show", name, "-o", "json").stdout)
    plugins = installed_plugins()
    spec = plugins.adapters[name]
    assert data["features"] == {str(each): str(level) for each, level in spec.features.items()}
    assert [each["field"] for each in data["config"]] == list(spec.config.__struct_encode_fields__)
    assert set(data["sinks"]) == set(plugins.sinks_of(spec.family))
    text = folder.run("adapters", "show", name).stdout
    assert all(code in text for code in data["narrowings"])
    assert all(f"  {each['field']}: {each['type']}; " in text for each in data["config"])


def test_show_tells_what_must_be_set_and_what_may(folder: Folder) -> None:
    """With the default."""
    text = folder.run("adapters", "show", "istio").stdout
    assert '  mtls: strict or unmanaged; default "strict"\n' in text
    assert "sink  kind: directory\n  path: string; required\n" in text


REQUESTS = Path(__file__).parents[2] / "adapters" / "vm" / "requests.yaml"


@pytest.mark.thorough
def test_an_installed_adapter_is_checked(folder: Folder) -> None:
    """By the suite, in a process that reads nothing of the folder, with the author's requests: the certificate says that it passes."""
    (folder.root / "conftest.py").write_text("raise SystemExit(5)")
    (folder.root / "pytest.py").write_text("raise SystemExit(5)")
    (folder.root / "requests.yaml").write_bytes(REQUESTS.read_bytes())
    before = sorted(folder.root.rglob("*"))
    asked = ("adapters", "check", "vm", "--worlds", "100", "--requests", "requests.yaml", "-o", "json")
    done = folder.process(*asked, env={"PYTEST_ADDOPTS": "--bad"})
    assert done.returncode == 0, done
    certificate = json.loads(done.stdout)
    assert (certificate["adapter"], certificate["version"]) == ("vm", metadata.version("smihub"))
    assert certificate["passed"]
    assert all("envoyproxy.io/docs/envoy/latest" in page for page in certificate["judged"])
    assert done.stderr.splitlines() == ["note: everything holds"]
    assert sorted(folder.root.rglob("*")) == before


@pytest.mark.thorough
def test_the_exit_code_says_what_the_certificate_says(folder: Folder) -> None:
    """An adapter does not pass where not everything was asked, though all of that holds."""
    done = folder.process("adapters", "check", "consul", "--worlds", "10")
    assert done.returncode == 1
    assert "does not pass the conformance kit" in done.stdout
    assert "not asked: judged-by-hand" in done.stdout
    assert done.stderr.splitlines() == [
        "note: judged is not asked here, because it needs requests that were judged by hand (--requests FILE)",
        "note: what was asked holds; worlds of the search is 10, and at least 100 are needed; it passes only if everything is asked",
    ]


@pytest.mark.parametrize(
    ("adapter", "text", "told"),
    [
        ("istio", None, '"requests.yaml" cannot be read: No such file or directory'),
        ("istio", "judged: [{source: x, requests: [{verdict: maybe, request: {}}]}]", "Invalid enum value 'maybe'"),
        (
            "istio",
            "judged: [{source: x, requests: [{verdict: deny, request: {}}]}]",
            "judged[0].requests[0].request: src",
        ),
        ("istio", "judged: [{source: x, objects: '- 1', requests: []}]", "judged[0].objects: an object has no name"),
        ("istio", "judged: [{source: x, objects: '{', requests: []}]", "judged[0].objects: "),
        (
            "vm",
            "judged: [{source: x, objects: '{}', requests: []}]",
            'the objects of family "xds" have no files; write a list',
        ),
        (
            "vm",
            "judged: [{source: x, objects: [{kind: Listener, name: x, body: {nme: x}}], requests: []}]",
            "judged[0].objects: not a Listener: ",
        ),
    ],
)
def test_a_file_of_requests_that_cannot_be_read_is_one_error(
    folder: Folder, adapter: str, text: str | None, told: str
) -> None:
    """Before anything runs."""
    if text is not None:
        (folder.root / "requests.yaml").write_text(text)
    result = folder.run("adapters", "check", adapter, "--requests", "requests.yaml")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert told in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_adapter_of_a_family_that_nobody_brings_is_not_checked(folder: Folder) -> None:
    """No sink could write its objects, however they are judged."""
    without = replace(installed_plugins(), families={})
    with patch("hub.cli.adapters.installed_plugins", lambda: without):
        result = folder.run("adapters", "check", "istio")
    assert (result.exit_code, result.stdout) == (1, "")
    assert 'adapter "istio" makes objects of family "kubernetes", which no plugin brings' in result.stderr


@pytest.mark.parametrize("verb", ["show", "check"])
def test_an_unknown_adapter_is_an_error(folder: Folder, verb: str) -> None:
    """With the nearest name."""
    result = folder.run("adapters", verb, "isto")
    assert (result.exit_code, result.stderr) == (1, 'error: unknown adapter "isto"; did you mean "istio"?\n')
