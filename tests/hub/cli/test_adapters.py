"""`smihub adapters`: what is installed, and what each adapter can do and takes."""

from __future__ import annotations

import json
from importlib import metadata

import pytest

from hub.plugins import load_plugins
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
    assert f"istio    smihub   {version}    kubernetes  blue, green" in lines


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
    plugins = load_plugins()
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


@pytest.mark.thorough
def test_an_installed_adapter_is_checked(folder: Folder) -> None:
    """By the suite, in a process that reads nothing of the folder; what it cannot ask, it says."""
    (folder.root / "conftest.py").write_text("raise SystemExit(5)")
    (folder.root / "pytest.py").write_text("raise SystemExit(5)")
    before = sorted(folder.root.rglob("*"))
    done = folder.process("adapters", "check", "istio", "--worlds", "10", "-o", "json", env={"PYTEST_ADDOPTS": "--bad"})
    assert done.returncode == 0, done
    certificate = json.loads(done.stdout)
    assert (certificate["adapter"], certificate["version"]) == ("istio", metadata.version("smihub"))
    assert certificate["missing"] == ["judged-by-hand"]
    assert all(certificate["properties"].values())
    assert done.stderr.splitlines() == [
        "note: judged is not asked here, because it needs requests that were judged by hand; the adapter's own tests ask it",
        "note: everything that was asked holds",
    ]
    assert sorted(folder.root.rglob("*")) == before


@pytest.mark.parametrize("verb", ["show", "check"])
def test_an_unknown_adapter_is_an_error(folder: Folder, verb: str) -> None:
    """With the nearest name."""
    result = folder.run("adapters", verb, "isto")
    assert (result.exit_code, result.stderr) == (1, 'error: unknown adapter "isto"; did you mean "istio"?\n')
