"""Folders of Unix sockets: who could put a socket of their own in the place of Envoy's."""

from __future__ import annotations

from pathlib import Path

import pytest

from adapters.vm import names
from adapters.vm.bootstrap.enrol import check_folders, sockets_of
from adapters.vm.state.revisions import State
from hub.api import ConfigError
from tests.servers.xds import put, stump


@pytest.mark.parametrize(
    ("above", "own", "refused"),
    [
        (0o755, 0o750, False),
        (0o755, 0o2770, False),
        (0o1777, 0o755, False),
        (0o777, 0o755, True),
        (0o755, 0o777, True),
        (0o755, 0o1777, True),
        (0o755, 0o702, True),
    ],
)
def test_folder_that_others_can_write_is_refused(tmp_path: Path, above: int, own: int, refused: bool) -> None:  # noqa: FBT001
    """Sticky or not: before Envoy starts, whoever can write puts a socket there, and programs would call that."""
    folder = tmp_path / "above" / "own"
    folder.mkdir(parents=True)
    folder.chmod(own)
    folder.parent.chmod(above)
    if not refused:
        return check_folders((folder / "a.sock",))
    with pytest.raises(ConfigError, match="others can write"):
        check_folders((folder / "a.sock",))
    return None


def test_folder_that_is_not_there_is_made_later(tmp_path: Path) -> None:
    """The machine's start makes it, perhaps; Envoy refuses the socket until then."""
    check_folders((tmp_path / "later" / "a.sock",))


async def test_sockets_are_those_of_the_workload(tmp_path: Path) -> None:
    """Not another's, and no TCP port."""
    state = State(tmp_path / "state.db", "vm")
    places = (("d/web", "/run/web/a.sock", 0), ("d/web-2", "/run/2/a.sock", 0), ("d/web", "127.0.0.1", 80))
    made = [stump("Listener", names.client_listener("out/d/api/80", *place)) for place in places]
    state.apply(put(*made), {}, state.head()[1])
    assert sockets_of(state, "d/web") == (Path("/run/web/a.sock"),)
    state.close()
