"""A state file with wrong bytes, as a disk may give them back, or on a disk that is full."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from adapters.vm import names
from adapters.vm.state.revisions import State
from hub.api import ConfigError, Endpoint, ObjectRef, SmihubError, TransientError, UnitKey
from tests.adapters.vm.test_state import bodies, put

UNIT = UnitKey("access", "d", "api")
FILES = 60


def test_file_with_wrong_bytes_is_told_in_one_line(tmp_path: Path) -> None:
    """Each is read, or is an error that names it; no other exception."""
    path = tmp_path / "state" / "smihub.db"
    state = State(path, "vm")
    endpoint = Endpoint(ObjectRef("", "Pod", "d", "api-1"), "spiffe://d/ns/d/sa/api", "10.0.0.1", 80)
    state.apply(
        [put(f"a{number}", b"1" * 90, names.ref("Secret", "s")) for number in range(40)], {UNIT: b"memo" * 99}, ""
    )
    state.store_endpoints({("d", "api", 80): (endpoint,)}, ())
    state.close()
    good, told = path.read_bytes(), list[SmihubError]()
    for seed in range(FILES):
        rng, bad = Random(seed), bytearray(good)
        for _ in range(rng.choice((5, 50, 400))):
            bad[rng.randrange(100, len(bad))] ^= rng.randrange(1, 256)
        path.write_bytes(bad)
        try:
            with closing(State(path, "vm")) as state:
                state.observe(), state.endpoints(), state.statuses(), state.since(0)
        except SmihubError as error:
            told.append(error)
    assert any(isinstance(error, ConfigError) for error in told)
    assert all(str(path) in str(error) for error in told)


def test_full_disk_is_told_with_what_to_do_and_passes(tmp_path: Path) -> None:
    """Nothing of the revision is there; the next one is written as soon as there is room."""
    with closing(State(tmp_path / "state" / "smihub.db", "vm")) as state:
        token = state.apply([put("a", b"1")], {}, "")
        state._db.execute("PRAGMA max_page_count = 1")
        with pytest.raises(TransientError, match="full; free space on its file system"):
            state.apply([put("b", b"x" * 100_000)], {}, token)
        assert (bodies(state), state.head()[1]) == ({"a": b"1"}, token)
        state._db.execute("PRAGMA max_page_count = 1000000")
        state.apply([put("b", b"x" * 100_000)], {}, token)
        assert bodies(state).keys() == {"a", "b"}
