"""The folders of a workload's Unix sockets: nobody else may put a socket of their own in the place of Envoy's."""

from __future__ import annotations

import stat
from pathlib import Path

from adapters.vm import names
from adapters.vm.state import State
from hub.api import ConfigError


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
                remedy = f"chmod o-w {each}, or give the upstream a path in a folder of its own"
                raise ConfigError(f'others can write "{each}" and put a socket of theirs into it; {remedy}')


def _is_open(folder: Path, *, sticky: bool) -> bool:
    try:
        mode = folder.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_IWOTH) and not (sticky and mode & stat.S_ISVTX)
