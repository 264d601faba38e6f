"""`smihub doctor`: what is missing on this machine, for each configured mesh, and how to get it. Changes nothing."""

from __future__ import annotations

import os
import platform
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct
from rich.text import Text

from hub.api import Diagnosis
from hub.cli.context import (
    OUT,
    ConfigOption,
    Exit,
    MeshOption,
    Output,
    OutputOption,
    emit,
    line,
    print_lines,
)
from hub.cli.data import SCHEMA
from hub.cli.listening import Listeners, holder, inode_at, is_here, listeners
from hub.cli.show import counted
from hub.config.file import DEFAULT_FILE, Config
from hub.errors import ConfigError, SmihubError
from hub.plugins import installed_plugins
from hub.private import check_folder, check_way
from hub.reconcile.domains import Domains
from hub.reconcile.hub import Hub
from hub.smi.types import Workload
from hub.status.sockets import ask

_LEAST_FREE = 100 * 1024 * 1024
_STYLES = {"ok": "green", "advice": "yellow", "missing": "bold red"}
_WIDTH = len("missing") + 2


class Examined(Struct, frozen=True):
    """What was looked at: this machine, a domain or a mesh; and what was found."""

    about: str
    found: tuple[Diagnosis, ...]


def doctor(
    config: ConfigOption = Path(DEFAULT_FILE), mesh: MeshOption = None, output: OutputOption = Output.TEXT
) -> Exit:
    """Say what is missing on this machine for each configured mesh, with the remedy. Exit code 1 if anything is."""
    examined = list(_examined(config, mesh or ()))
    missing = sum(each.state == "missing" for one in examined for each in one.found)
    if output is Output.TEXT:
        print_lines(text for one in examined for text in _lines(one))
        OUT.print(line((f"{counted(missing, 'thing')} missing" if missing else "nothing is missing", "bold")))
    else:
        emit({"schema": SCHEMA, "checks": [each for one in examined for each in _data(one)]}, output)
    return Exit.ERROR if missing else Exit.SAME


def _examined(config: Path, meshes: Sequence[str]) -> Iterator[Examined]:
    yield Examined("machine", (*_machine(), *_plugins()))
    try:
        domains = Domains.open(config, meshes=meshes)
    except SmihubError as error:
        yield Examined("configuration", (_broken(str(config), error),))
        return
    yield Examined("configuration", (Diagnosis(str(config), "ok", "is valid"), *_address(domains.hubs[0].config)))
    for hub in domains.hubs:
        yield Examined(f"domain {hub.config.title}" if hub.config.title else "domain", tuple(_domain(hub)))
        for mesh in hub.meshes:
            yield Examined(f"mesh {mesh.title}", tuple(mesh.diagnose()))


# --------------------------------------------------------------------------- this machine


def _machine() -> Iterator[Diagnosis]:
    yield Diagnosis("smihub", "ok", metadata.version("smihub"))
    yield Diagnosis("Python", "ok", platform.python_version())
    # Without it there is no CSafeLoader, with which sources are read.
    if not yaml.__with_libyaml__:
        yield Diagnosis(
            "PyYAML",
            "missing",
            "it was built without libyaml",
            "pip install --only-binary :all: --force-reinstall PyYAML",
        )
    if shutil.which("git") is None:
        yield Diagnosis("git", "advice", "is not installed", "install it where sources or rendered folders are in Git")


def _plugins() -> Iterator[Diagnosis]:
    for problem in installed_plugins().problems:
        # One that a mesh needs is told with the configuration, too.
        yield Diagnosis(f'plugin "{problem.plugin}"', "advice", f"did not load: {problem.cause}", problem.remedy)


def _address(config: Config) -> Iterator[Diagnosis]:
    """Whether the port of metrics is free, or served by the hub that runs here."""
    if config.http.address is None or ask(config, "/livez") is not None:
        return
    host, port = config.http.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        # As the hub binds it: without it, connections in TIME_WAIT would pass for a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            detail = f"{host}:{port} cannot be used: {(error.strerror or str(error)).lower()}"
            yield Diagnosis("http.address", "missing", detail, "stop what uses it, or set another port in smihub.yaml")
            return
    yield Diagnosis("http.address", "ok", f"{host}:{port} is free")


# --------------------------------------------------------------------------- a domain


def _domain(hub: Hub) -> Iterator[Diagnosis]:
    for source in hub.config.sources:
        if source.path is not None:
            yield _source(source.name, source.path)
    yield from _ports(hub)
    yield _state(hub.config.state)
    yield _disk(hub.config.state)


def _source(name: str, path: Path) -> Diagnosis:
    if not path.exists():
        return Diagnosis(
            f'source "{name}"', "missing", "does not exist", f"create {path}, or correct it in smihub.yaml"
        )
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        return Diagnosis(f'source "{name}"', "missing", "cannot be read", f"chmod u+rX {path}")
    return Diagnosis(f'source "{name}"', "ok", "can be read")


def _ports(hub: Hub) -> Iterator[Diagnosis]:
    """Whether the sidecars of the Workloads on this machine can have their ports: nobody listens there, or Envoy does."""
    with suppress(SmihubError):  # what is wrong with sources is for check to tell
        hub.read()
    objects = [each for cluster in hub.clusters.values() for each in cluster.store.objects()]
    workloads = [each for each in objects if isinstance(each, Workload) and each.ref.kind == "Workload"]
    binds = {address for address in {each.bind for each in workloads} if is_here(address)}
    ours = {(each.bind, port.port, each.ref.name) for each in workloads for port in each.ports if each.bind in binds}
    known = listeners()
    taken = [found for one in sorted(ours) if (found := _taken(known, *one)) is not None]
    yield from taken
    if ours and not taken:
        yield Diagnosis("ports of Workloads here", "ok", f"{len(ours)}, free or served by Envoy")


def _taken(known: Listeners, address: str, port: int, workload: str) -> Diagnosis | None:
    inode = inode_at(known, address, port)
    by = holder(inode) if inode is not None else None
    if inode is None or (by is not None and by[0].startswith("envoy")):
        return None
    subject = f"port {port} at {address} of Workload {workload}"
    if by is None:
        remedy = "check whether that is its Envoy, or run smihub doctor as root"
        return Diagnosis(subject, "advice", "is in use by a process of another user", remedy)
    remedy = "have the application listen on 127.0.0.1, or on another port (appPort)"
    return Diagnosis(subject, "missing", f"is in use by {by[0]} (process {by[1]}), so its Envoy cannot listen", remedy)


def _state(state: Path) -> Diagnosis:
    """Whether the state folder, which holds private keys, is for its user alone, or can be made so."""
    try:
        check_way(state, "the state")
        if state.exists():
            check_folder(state, "the state")
    except ConfigError as error:
        return _broken("state folder", error)
    except OSError as error:
        return Diagnosis("state folder", "missing", f"cannot be accessed: {error.strerror}", f"check {state}")
    there = _nearest(state)
    if not os.access(there, os.W_OK | os.X_OK):
        return Diagnosis(
            "state folder", "missing", f'"{there}" cannot be written', "chown it to the user who runs smihub"
        )
    return Diagnosis("state folder", "ok", f"{state}{'' if there == state else ', which is created when it is needed'}")


def _disk(state: Path) -> Diagnosis:
    free = shutil.disk_usage(_nearest(state)).free
    detail = f"{free // (1024 * 1024)} MiB free"
    if free < _LEAST_FREE:
        return Diagnosis("disk of the state folder", "missing", detail, f"free {_LEAST_FREE // (1024 * 1024)} MiB")
    return Diagnosis("disk of the state folder", "ok", detail)


def _nearest(folder: Path) -> Path:
    """The folder, or the lowest one above it that is there."""
    return next(each for each in (folder, *folder.parents) if each.exists())


# --------------------------------------------------------------------------- showing


def _broken(subject: str, error: SmihubError) -> Diagnosis:
    """What an error says, and what to do."""
    message, _, remedy = str(error).rpartition("; ")
    return Diagnosis(subject, "missing", message or remedy, remedy)


def _lines(one: Examined) -> Iterator[Text]:
    yield line((one.about, "bold"))
    for each in one.found:
        remedy = f"; {each.remedy}" if each.state != "ok" else ""
        yield line("  ", (f"{each.state:{_WIDTH}}", _STYLES[each.state]), f"{each.subject}: {each.detail}{remedy}")


def _data(one: Examined) -> Iterator[dict[str, Any]]:
    for each in one.found:
        yield {"about": one.about, **{name: getattr(each, name) for name in Diagnosis.__struct_fields__}}
