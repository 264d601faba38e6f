"""Random schedules of a running hub over two meshes (Hypothesis): see tests/servers/turning.py for what must hold after each step.

What ends badly is made small and written to `schedules/`, where it is run again for ever.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from tests.servers.small_town import CALLERS, RECEIVERS
from tests.servers.turning import CALLERS_EDITED, EDITS, EVENTS, GUARD, MESHES, POLICY, SCOPES, SETS, WHOLE, Turns

pytestmark = pytest.mark.hypothesis
SEARCH = int(os.environ.get("SMIHUB_SEARCH", "1"))
FOUND = Path(__file__).with_name("schedules")
FORMS = (
    ("memory-apart", "memory"),
    ("memory", "memory-at-once"),
    ("memory-accepting", "memory-apart"),
    ("memory-at-once", "memory-accepting"),
)
BLAST = "guard.blast-radius"
EDITED = ("edit", "copy", *CALLERS_EDITED)
_FEW = 5
"""So many of fifty things that may happen fixed seeds may miss."""
Step = dict[str, Any]
MOSTLY = ("api.web", "api.evil", "api.other", "db.web", "db.other", "pay.web")
"""Few receivers, so that what happens often happens to the same."""
grants = st.lists(st.sampled_from(MOSTLY), min_size=1, max_size=3, unique=True)
chosen = st.lists(st.integers(0, 8), min_size=1, max_size=3)
pauses = st.sampled_from((0.0, 0.0, 0.05, 1.0, 7.0, 7.0, 35.0))
"""Seconds that pass after a step; 0: the next one comes together with it."""
meshes, kinds, names = (
    st.sampled_from(MESHES),
    st.sampled_from((POLICY, POLICY, GUARD)),
    st.sampled_from(("api", "api", *RECEIVERS)),
)


class Schedule(RuleBasedStateMachine):
    """What may happen; each step is taken down as it can be played again."""

    last: ClassVar[tuple[Sequence[Step], str]] = ((), "")
    tally: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.turns = Turns().__enter__()
        self.steps: list[Step] = []
        self._failed = False

    def teardown(self) -> None:
        """Every schedule ends with a world in which all is well."""
        try:
            if self.steps and not self._failed:
                self._take("quiet")
        finally:
            Schedule.tally.update(self.turns.tally)
            self.turns.__exit__(None, None, None)

    def _take(self, name: str, pause: float = 0.0, /, **arguments: Any) -> None:
        self.steps.append({name: {**arguments, **({"pause": pause} if pause else {})}})
        try:
            take(self.turns, self.steps[-1])
        except Exception as error:
            self._failed = True
            Schedule.last = (self.steps, f"{type(error).__name__}: {error}")
            raise

    @initialize(forms=st.sampled_from(FORMS), granted=grants, accept=st.sampled_from((BLAST, "")))
    def begin(self, forms: tuple[str, str], granted: list[str], accept: str) -> None:
        """Two meshes, and some grants, applied."""
        self._take("begun", forms=list(forms), grants=granted, accept=accept)

    @rule(granted=grants, pause=pauses)
    def grant(self, granted: list[str], pause: float) -> None:
        """Somebody may do more."""
        self._take("change", pause, granted=granted)

    @rule(which=chosen, pause=pauses)
    def revoke(self, which: list[int], pause: float) -> None:
        """Somebody may do less, of those who may do anything."""
        known = sorted(self.turns.granted)
        self._take("change", pause, granted=[], revoked=sorted({known[one % len(known)] for one in which if known}))

    @rule(to=names, caller=st.sampled_from(CALLERS), pause=pauses)
    def swap(self, to: str, caller: str, pause: float) -> None:
        """At one receiver somebody may do less, and somebody else more."""
        revoked = sorted(name for name in self.turns.granted if name.startswith(to) and not name.endswith(caller))
        self._take("change", pause, granted=[f"{to}.{caller}"], revoked=revoked)

    @rule(mesh=meshes, knob=st.sampled_from((*EVENTS, *SETS)), to=names, caller=st.sampled_from(CALLERS), pause=pauses)
    def race(self, mesh: str, knob: str, to: str, caller: str, pause: float) -> None:
        """Somebody may do more, of which the object is in trouble, and not any more while that is written."""
        self._take("trouble", mesh=mesh, knob=knob, name=to)
        self._take("change", 0.05, granted=[f"{to}.{caller}"])
        self._take("change", pause, granted=[], revoked=[f"{to}.{caller}"])

    @rule(mesh=meshes, knob=st.sampled_from(WHOLE), scope=st.sampled_from(("", *SCOPES)), which=chosen, pause=pauses)
    def begin_in_trouble(self, mesh: str, knob: str, scope: str, which: list[int], pause: float) -> None:
        """A new hub begins while a mesh is in trouble and a part of the source cannot be read, and somebody may do less then."""
        self._take("upset", mesh=mesh, knob=knob)
        self._take("fail", scopes=[scope] if scope else [])
        self._take("restart", 7.0)
        self.revoke(which, pause)

    @rule(mesh=meshes, how=st.sampled_from(EDITS), to=names, caller=st.sampled_from(CALLERS), deaf=st.booleans())
    def overtake(self, mesh: str, how: str, to: str, caller: str, deaf: bool) -> None:  # noqa: FBT001 - drawn
        """Somebody else does something to an object, of which the hub may hear nothing, before the source wants it otherwise."""
        if deaf:
            self._take("upset", mesh=mesh, knob="deaf")
        self._take("somebody", mesh=mesh, how=how, name=to)
        self.swap(to, caller, 35.0)

    @rule(
        mesh=meshes,
        how=st.sampled_from(EDITED),
        scope=st.sampled_from(SCOPES),
        to=names,
        caller=st.sampled_from(CALLERS),
    )
    def edit_unread(self, mesh: str, how: str, scope: str, to: str, caller: str) -> None:
        """Somebody else edits an object while a part of the source cannot be read, and somebody may do less then."""
        self._take("fail", 1.0, scopes=[scope])
        self._take("somebody", 1.0, mesh=mesh, how=how, name=to)
        self.swap(to, caller, 7.0)

    @rule(what=st.sampled_from(("", *SCOPES, "slow", "again")), pause=pauses)
    def source(self, what: str, pause: float) -> None:
        """A part of the source cannot be read (half a listing), or all of it can; it tells nothing for a while."""
        if what in {"slow", "again"}:
            self._take("slow_source", pause, on=what == "slow")
        else:
            self._take("fail", pause, scopes=[what] if what else [])

    @rule(mesh=meshes, knob=st.sampled_from((*EVENTS, *SETS)), name=names, kind=kinds, pause=pauses)
    def trouble(self, mesh: str, knob: str, name: str, kind: str, pause: float) -> None:
        """One object is slow, late, refused, fails, or its answer is lost."""
        self._take("trouble", pause, mesh=mesh, knob=knob, name=name, kind=kind)

    @rule(mesh=meshes, knob=st.sampled_from(WHOLE), pause=pauses)
    def upset(self, mesh: str, knob: str, pause: float) -> None:
        """A mesh is down, hangs, lists half or what was, or loses an answer."""
        self._take("upset", pause, mesh=mesh, knob=knob)

    @rule(mesh=meshes, steps=st.integers(0, 6), dies=st.booleans(), pause=pauses)
    def cut(self, mesh: str, steps: int, dies: bool, pause: float) -> None:  # noqa: FBT001 - drawn
        """A mesh fails after some writes, or the hub dies there."""
        self._take("cut", pause, mesh=mesh, steps=steps, dies=dies)

    @rule(mesh=meshes, pause=pauses)
    def mend(self, mesh: str, pause: float) -> None:
        """Nothing is wrong in a mesh any more."""
        self._take("mend", pause, mesh=mesh)

    @rule(mesh=meshes, how=st.sampled_from(EDITS), name=names, kind=kinds, pause=pauses)
    def somebody(self, mesh: str, how: str, name: str, kind: str, pause: float) -> None:
        """Somebody else changes, deletes, takes over or gives back an object."""
        self._take("somebody", pause, mesh=mesh, how=how, name=name, kind=kind)

    @rule(what=st.sampled_from(("approve", "approve", "restart", "accept", "refuse")), mesh=meshes, pause=pauses)
    def operate(self, what: str, mesh: str, pause: float) -> None:
        """Somebody approves what is refused, or a new hub begins, of which the configuration accepts large losses, or not."""
        if what == "approve":
            self._take("approve", pause, mesh=mesh)
        elif what == "restart":
            self._take("restart", pause)
        else:
            self._take("accept", pause, word=BLAST if what == "accept" else "")

    @rule(seconds=st.sampled_from((7.0, 1.0, 70.0)))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self._take("wait", seconds=seconds)


def take(turns: Turns, step: Step) -> None:
    """Take one step, and let time pass. Raises WiderError."""
    ((name, arguments),) = step.items()
    pause, others = arguments.get("pause", 0.0), {key: one for key, one in arguments.items() if key != "pause"}
    turns.tally[": ".join([str(others.get("mesh", "")), str(others.get("knob", name))])] += 1
    if name == "fail":
        turns.fail(*others["scopes"])
    else:
        getattr(turns, name)(**others)
    if pause:
        turns.wait(pause)


def search(examples: int, length: int, *, fixed: bool) -> Counter[str]:
    """Try so many schedules; how often what happened. Fails with the smallest one that ends badly, which is kept."""
    Schedule.tally, Schedule.last = Counter(), ((), "")
    try:
        run_state_machine_as_test(Schedule, settings=_settings(examples, length, fixed=fixed))
    except Exception:  # noqa: BLE001 - whatever it was, it is told with its schedule
        steps, why = Schedule.last
        pytest.fail(f"{why}\nwritten to {write_found(steps, why)}\n{as_yaml(steps)}")
    return Schedule.tally


def _settings(examples: int, length: int, *, fixed: bool) -> settings:
    return settings(
        max_examples=examples,
        stateful_step_count=length,
        derandomize=fixed,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )


def as_yaml(steps: Sequence[Step]) -> str:
    """The steps, one a line."""
    return "".join(f"- {yaml.safe_dump(step, default_flow_style=True, sort_keys=False, width=1000)}" for step in steps)


def write_found(steps: Sequence[Step], why: str) -> Path:
    """Keep a schedule that ended badly; the file's name is a digest of it."""
    FOUND.mkdir(exist_ok=True)
    text = as_yaml(steps)
    path = FOUND / f"found-{sha256(text.encode()).hexdigest()[:16]}.yaml"
    path.write_text("".join(f"# {line}\n" for line in why.splitlines()) + text, "utf-8")
    return path


@pytest.mark.parametrize("path", sorted(FOUND.glob("*.yaml")), ids=lambda path: path.stem)
def test_schedule_that_ended_badly_once(path: Path) -> None:
    """It ends well, and so does the quiet after it."""
    with Turns() as turns:
        for step in [*yaml.safe_load(path.read_text("utf-8")), {"quiet": {}}]:
            take(turns, step)


@pytest.mark.thorough
def test_whatever_happens_to_meshes_and_source() -> None:
    """Fixed seeds; all that can happen does, in each mesh."""
    tally = search(250 * SEARCH, 30, fixed=True)
    happens = [f"{mesh}: {each}" for mesh in MESHES for each in (*EVENTS, *SETS, *WHOLE, *EDITS, "cut")]
    assert len(unmet := [each for each in happens if not tally[each]]) <= _FEW, unmet
    assert all(tally[f"{mesh}: {how}"] > 100 for mesh in MESHES for how in ("well", "in trouble"))
    assert tally["quiet"] > 40
    assert tally["died"]
    assert tally["approved"]


@pytest.mark.slow
def test_whatever_happens_to_meshes_and_source_many_steps() -> None:
    """New seeds."""
    search(1000, 50, fixed=False)
