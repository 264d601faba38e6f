"""Every moment of a write: what may be applied is a prefix of the plan, and what is foreign stays as it is."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.errors import ConfigError, StaleError
from hub.model import NativeObject, Role, UnitKey
from tests.hub.sinks.small_mesh import (
    Wanted,
    access,
    apply,
    content,
    native,
    planned,
    seen,
    settled,
    wanted,
    wrote,
)
from tests.hub.sinks.snapshots import WRITES, Files, copy, each_write, must_be_sound, objects, taken

UNITS = ("api", "db")
State = Mapping[str, tuple[int, frozenset[str], int]]


def unit(name: str, spec: int, grants: frozenset[str], config: int) -> tuple[NativeObject, ...]:
    """Some objects of each role."""
    referenced = native(Role.REFERENCED, f"{name}-{config}")
    needs = (referenced.ref,)
    return (
        native(Role.GUARD, name, {"of": spec % 2}),
        referenced,
        *(native(Role.GRANT, f"{name}-{source}", {"v": spec}, needs) for source in sorted(grants)),
        native(Role.ROUTE, name, {"v": spec}),
    )


some_unit = st.tuples(st.integers(0, 3), st.frozensets(st.sampled_from(["a", "b", "c"])), st.integers(0, 1))
states = st.dictionaries(st.sampled_from(UNITS), some_unit)


def desired(state: State) -> Wanted:
    """The objects of a state."""
    return {access(name): unit(name, *what) for name, what in state.items()}


@pytest.fixture(scope="module")
def base() -> Iterator[Path]:
    """One folder for all examples, each of which uses folders below it."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.mark.thorough
def test_each_step_of_any_plan_may_be_applied(base: Path) -> None:
    """Files and kustomization alike; and from each step the next plan converges to the same bytes."""
    tally: Counter[str] = Counter()

    @settings(max_examples=40)
    @given(states, states)
    def stepped(first: State, second: State) -> None:
        path = copy({}, base / "steps")
        apply(path, desired(first))
        before, moments = content(path) if path.exists() else {}, list[Files]()
        with each_write(taken(path, moments)):
            made = apply(path, desired(second))
        after = content(path) if path.exists() else {}
        for moment in moments:
            must_be_sound(moment, before, after, made.changes)
        for moment in moments[:: max(1, len(moments) // 6)]:
            resumed = copy(moment, base / "resumed")
            apply(resumed, desired(second))
            found = content(resumed) if resumed.exists() else {}
            assert {**found, ".smihub.tmp": b""} == {**after, ".smihub.tmp": b""}
            assert settled(resumed, desired(second))
            tally["resumed"] += 1
        tally["between"] += sum(moment not in (before, after) for moment in moments)

    stepped()
    assert tally["between"] > 100, tally
    assert tally["resumed"] > 50, tally


@settings(max_examples=40)
@given(states, states, st.data())
def test_a_half_done_plan_may_be_followed_by_any_other(
    base: Path, first: State, second: State, data: st.DataObject
) -> None:
    """Whatever was desired when it stopped."""
    path, moments = copy({}, base / "half"), list[Files]()
    with each_write(taken(path, moments)):
        apply(path, desired(first))
    if moments:
        copy(data.draw(st.sampled_from(moments)), path)
    apply(path, desired(second))
    assert settled(path, desired(second))
    fresh = copy({}, base / "fresh")
    apply(fresh, desired(second))
    was, wants = ({**(content(one) if one.exists() else {}), ".smihub.tmp": b""} for one in (path, fresh))
    assert was == wants if second else not objects(was)


class Somebody:
    """A foreign writer, who writes over nothing but his own files."""

    def __init__(self, path: Path) -> None:
        self.files: dict[str, bytes] = {}
        self._path = path

    def act(self, name: str, text: bytes) -> None:
        """Write (or, b"", remove) one of his files, if there is no other."""
        place = self._path / name
        if not place.parent.is_dir():
            return
        if name in self.files:
            place.unlink()
            del self.files[name]
        with suppress(FileExistsError):
            if text:
                with place.open("xb") as file:
                    file.write(text)
                self.files[name] = text


FILES = (
    "mine.yaml",
    "objects/mine.yaml",
    "objects/shop_PeerAuthentication.security.istio.io_api.yaml",
    "objects/shop_AuthorizationPolicy.security.istio.io_api-a.yaml",
    "objects/shop_AuthorizationPolicy.security.istio.io_api-b.yaml",
    "objects/shop_VirtualService.networking.istio.io_db.yaml",
)
GRANT = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: api-a, namespace: shop}\n"
TEXTS = (b"", b"mine", b"{", b"a: 1\n---\nb: 2\n", GRANT.encode(), GRANT.replace("api-a", "x").encode())
acts = st.tuples(st.integers(0, 60), st.sampled_from(FILES), st.sampled_from(TEXTS))


@settings(max_examples=120)
@given(st.lists(states, min_size=1, max_size=4), st.lists(acts, max_size=8))
def test_nothing_foreign_is_ever_touched(base: Path, ours: list[State], theirs: list[tuple[int, str, bytes]]) -> None:
    """Whenever somebody writes between our writes, or between two calls of one of them."""
    path = copy({}, base / "both")
    path.mkdir()
    somebody = Somebody(path)
    clock = iter(range(1_000_000))
    by_time: dict[int, list[tuple[str, bytes]]] = {}
    for when, name, text in theirs:
        by_time.setdefault(when, []).append((name, text))

    def act() -> None:
        for name, text in by_time.get(next(clock), ()):
            somebody.act(name, text)

    for state in ours:
        act()
        with suppress(StaleError, ConfigError):  # a ConfigError: somebody has an object of ours in a file of his own
            made = planned(desired(state), seen(path))
            changes = () if made.conflicts else made.changes
            with each_write(act):
                wrote(path, replace(made, changes=changes, memory={} if made.conflicts else made.memory))
    assert {name: (path / name).read_bytes() for name in somebody.files} == somebody.files
    for name in somebody.files:
        (path / name).unlink()
    apply(path, desired(ours[-1]))
    assert settled(path, desired(ours[-1]))


def test_a_file_that_changes_during_a_write_ends_it(tmp_path: Path) -> None:
    """It stays as somebody wrote it, and its unit is told apart; the others are written."""
    apply(tmp_path, wanted({"api": ["a", "b"], "db": ["a"]}))
    last = tmp_path / "objects" / "shop_VirtualService.networking.istio.io_db.yaml"
    made = planned({}, seen(tmp_path))
    times = iter(range(1000))

    def act() -> None:
        if next(times) == 3:
            last.write_text("mine")

    with each_write(act):
        done = wrote(tmp_path, made)
    assert done.stopped == {UnitKey("access", "shop", "db")}
    assert last.read_text() == "mine"


LAST = ("rename", "unlink")
"""Before these nobody can look once more: what is edited between the last look and the call is lost."""


@pytest.mark.thorough
@pytest.mark.parametrize("edited", [False, True])
def test_a_file_that_comes_between_is_not_written_over(tmp_path: Path, *, edited: bool) -> None:
    """Whenever it comes: in the place of a file that is made, or as a new content of one that is replaced."""
    calls = [call for call in WRITES if call not in LAST] if edited else list(WRITES)
    path, ended, moment = tmp_path / "between", False, 0
    while not ended:
        copy({}, path).mkdir()
        if edited:
            apply(path, wanted({"api": ["b", "a"]}))
        ended = _write_between(path, moment, calls)
        moment += 1
    assert moment > 10


def _write_between(path: Path, moment: int, calls: list[str]) -> bool:
    """Write, and have somebody write a file of the plan before that call; whether there was none of that number."""
    place = path / "objects" / "shop_VirtualService.networking.istio.io_api.yaml"
    made = planned(wanted({"api": ["a"]}), seen(path))
    before = place.read_text() if place.exists() else ""
    clock, told = iter(range(1000)), list[bool]()

    def act() -> None:
        if next(clock) == moment:
            told.append(place.parent.exists() and (place.read_text() if place.exists() else "") == before)
            if told[0]:
                place.write_text("mine")

    with each_write(act, calls), suppress(StaleError):
        wrote(path, made)
    assert told != [True] or place.read_text() == "mine"
    return not told
