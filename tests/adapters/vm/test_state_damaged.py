"""A state file with wrong bytes, as a disk may give them back."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from random import Random

from adapters.vm import names
from adapters.vm.state.revisions import State
from hub.api import ConfigError, Endpoint, ObjectRef, SmihubError, UnitKey
from tests.adapters.vm.test_state import put

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
