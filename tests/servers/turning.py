"""A running hub over two meshes in memory: what happens to its source, its meshes and itself, and what must hold all the time.

Time is virtual: the hub's own pauses pass at once, and a row of steps can be played again. Steps are methods with plain arguments.

What must hold: no write of ours lets a request through that SMI denied in all states of the source that it can have been
planned on; a revocation waits for nothing but the objects of its own unit, what is wrong with its mesh as a whole, and a plan that
is refused; and once nothing is wrong any more all meshes serve what SMI allows, after which nothing is written.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Self

import structlog.testing

from hub.errors import TransientError
from hub.events import covers
from hub.model import ObjectRef
from hub.testing.memory import MemoryMesh
from tests.servers.folder import target
from tests.servers.hub_process import HubProcess
from tests.servers.scene import WiderError
from tests.servers.sides import AGAIN_S, MESH, Side, edited, squatting, with_other_callers
from tests.servers.small_town import BASE, CALLERS, RECEIVERS, Granted

GRANTS = tuple(f"{receiver}.{caller}" for receiver, caller in product(RECEIVERS, CALLERS))
MESHES = ("one", "two")
SCOPES = ("TrafficTarget/", "TrafficTarget/shop/", "HTTPRouteGroup/", "Pod/shop/web", "TrafficTarget/shop/api.web")
POLICY, GUARD = "AuthorizationPolicy", "PeerAuthentication"
EVENTS, SETS = ("slow", "late"), ("refused", "failing", "unanswered", "unaccepted")
WHOLE = ("down", "half", "loses_answer", "hangs", "stale", "deaf")
CALLERS_EDITED = ("add_caller", "drop_caller", "swap_caller")
EDITS = ("edit", "copy", *CALLERS_EDITED, "vanish", "unmark", "give_back", "pause", "resume", "squat")
MIN_UNITS = 2
"""Of so many receivers that lose access within ten minutes, a plan is refused, unless the configuration accepts that."""
TURN_S = 7.0
"""Long enough for what failed to be tried again while a revocation waits."""
_LOOK_S = 50.0
_CONVERGED_S, _RESTED_S = 130.0, 700.0
"""Until all that failed was tried again, at most a minute apart, twice; and for every look at a mesh that nobody told of."""
_CONFIG = """\
domain: {{trustDomain: cluster.local}}
sources: [{{kind: memory, name: cluster}}]
meshes:
- {{name: one, adapter: istio, sink: {{kind: {0}}}}}
- {{name: two, adapter: istio, sink: {{kind: {1}}}}}
guards: {{blastRadiusPercent: 20, minUnits: {3}}}
accept: [{2}]
"""


def _can_be_done(one: MemoryMesh, how: str, ref: ObjectRef) -> bool:
    standing = one.objects.get(ref)
    if standing is None:
        return how == "squat"
    if how in CALLERS_EDITED:
        return ref.kind == POLICY and with_other_callers(one, ref, how) is not None
    may = {"squat": False, "give_back": standing.owner is None and ref in one.taken, "resume": standing.paused}
    return may.get(how, True)


class Turns(AbstractContextManager["Turns"]):
    """A hub, its source and its meshes. Every step raises WiderError where something does not hold."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="smihub-turns-"))
        self.told: list[str] = []
        self.tally: Counter[str] = Counter()
        self.granted: set[str] = set()
        self.known: Granted = frozenset()  # the grants as they were when a hub could last read them
        self.sides: dict[str, Side] = {}
        self.process = HubProcess(self.root / "smihub.yaml")
        self._forms = ("", "")
        self._ever: set[str] = set()  # the grants that were known at any time
        self._heard = False  # whether the hub that runs was told anything
        self._failing: tuple[str, ...] = ()
        self._patches = self.process.patches()
        self._silence = structlog.testing.capture_logs()

    def __enter__(self) -> Self:
        for each in self._patches:
            each.start()
        self._silence.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()
        self.process.time.close()
        self._silence.__exit__(None, None, None)
        for each in self._patches:
            each.stop()
        shutil.rmtree(self.root)

    # ----------------------------------------------------------------------- the source

    def begun(self, forms: Sequence[str], grants: Iterable[str], accept: str = "guard.blast-radius") -> None:
        """The meshes `one` and `two` of these forms, with these grants, applied."""
        self._forms = (forms[0], forms[1])
        (self.root / "smihub.yaml").write_text(_CONFIG.format(*forms, accept, MIN_UNITS))
        self.process.source.said = self._hear
        self.process.source.put(BASE)
        clock = self.process.time.time
        self.sides = {
            name: Side(name, form, self.process.mesh(name), clock) for name, form in zip(MESHES, forms, strict=True)
        }
        self.change(grants)
        self.turn()

    def change(self, granted: Iterable[str], revoked: Iterable[str] = ()) -> None:
        """The source says something else."""
        for name in sorted({*revoked} & self.granted):
            self.process.source.remove(f"TrafficTarget/shop/{name}")
            self.granted.discard(name)
        for name in sorted({*granted} - self.granted):
            self.process.source.put(target(name, *name.split(".")))
            self.granted.add(name)

    def fail(self, *scopes: str) -> None:
        """These parts of the source cannot be read, and no others."""
        self._failing = scopes
        self.process.source.fail(*scopes)

    def slow_source(self, on: bool) -> None:  # noqa: FBT001 - a step
        """The source tells the hub nothing; or again."""
        if on:
            self.process.source.slow = True
        else:
            self.process.source.hurry()

    # ----------------------------------------------------------------------- the meshes

    def policy(self, name: str, kind: str = POLICY) -> ObjectRef:
        """The policy of a receiver: of whom it accepts, or (PeerAuthentication) how they prove who they are."""
        return ObjectRef("security.istio.io", kind, "shop", f"smihub-{name}")

    def trouble(self, mesh: str, knob: str, name: str, kind: str = POLICY) -> None:
        """Something is wrong with one object, in one of the ways of `EVENTS` and `SETS`."""
        held = getattr(self.sides[mesh].mesh, knob)
        ref = self.policy(name, kind)
        held.setdefault(ref, asyncio.Event()) if isinstance(held, dict) else held.add(ref)

    def upset(self, mesh: str, knob: str) -> None:
        """Something is wrong with a mesh as a whole, in one of the ways of `WHOLE`."""
        one = self.sides[mesh].mesh
        if knob == "hangs":
            one.hangs = one.hangs or asyncio.Event()
        elif knob == "stale":
            one.fall_behind()
        else:
            setattr(one, knob, True)

    def cut(self, mesh: str, steps: int, *, dies: bool) -> None:
        """After so many writes a mesh fails, or the hub that writes dies."""
        one = self.sides[mesh].mesh
        one.steps, one.fails = steps, self.process.die if dies else TransientError

    def mend(self, mesh: str) -> None:
        """Nothing is wrong in a mesh any more."""
        self._note()
        self.sides[mesh].mesh.recover()

    def somebody(self, mesh: str, how: str, name: str, kind: str = POLICY) -> None:
        """Somebody else does something to this object, in one of the ways of `EDITS`; to another one, if it can be done only there."""
        side, wanted = self.sides[mesh], self.policy(name, kind)
        refs = [wanted, *(self.policy(each, kind) for each in RECEIVERS)]
        ref = next((each for each in refs if _can_be_done(side.mesh, how, each)), None)
        if ref is not None:
            side.touch(ref, partial(self._act, side.mesh, how, ref))
            self.tally[f"{mesh}: {how}"] += 1

    def _act(self, one: MemoryMesh, how: str, ref: ObjectRef) -> None:
        if how in {"edit", "copy"}:
            others = [self.policy(each) for each in RECEIVERS if self.policy(each) in one.objects and how == "copy"]
            one.foreign(edited(one, ref, [each for each in others if ref.kind == POLICY and each != ref][:1]))
        elif how in CALLERS_EDITED and (other := with_other_callers(one, ref, how)) is not None:
            one.foreign(other)
        elif how == "squat":
            one.foreign(squatting(ref))
        elif how == "resume":
            one.pause(ref, on=False)
        else:
            getattr(one, how)(ref)

    # ----------------------------------------------------------------------- the hub

    def restart(self) -> None:
        """The hub ends wherever it is; another one begins as time goes on."""
        self._note()
        self.process.stop()
        self._forget()

    def accept(self, word: str) -> None:
        """The configuration accepts this, and a new hub goes by it."""
        (self.root / "smihub.yaml").write_text(_CONFIG.format(*self._forms, word, MIN_UNITS))
        self.restart()

    def approve(self, mesh: str) -> bool:
        """Somebody approves what is refused in a mesh; whether anything was."""
        approved = self.process.approve(mesh)
        self.tally["approved"] += approved
        return approved

    # ----------------------------------------------------------------------- time

    def turn(self) -> None:
        """Time passes, enough for what failed to be tried again."""
        self.wait(TURN_S)

    def wait(self, seconds: float) -> None:
        """Time passes, and is looked at now and then. Raises WiderError."""
        while seconds > _LOOK_S:
            self._pass(_LOOK_S)
            seconds -= _LOOK_S
        self._pass(seconds)

    def _pass(self, seconds: float) -> None:
        self._note()
        if not self.process.live(seconds):
            self.tally["died"] += 1
            self._forget()
            for side in self.sides.values():
                if side.mesh.steps is not None:
                    side.mesh.recover()
        self._note()
        self._hold()

    def quiet(self) -> None:
        """All is mended: without a restart all meshes come to serve what SMI allows, and rest. Raises WiderError."""
        self._mend_all()
        for _ in range(3):
            self.wait(_CONVERGED_S)
            if not [name for name in self.sides if self.approve(name)]:
                break
        self._must_serve("after all is well")
        self._must_rest("nothing changes", lambda: self.wait(_RESTED_S))
        self._must_rest("a new hub begins", self._begin_anew)
        self._must_serve("with a new hub")
        self.tally["quiet"] += 1

    def _begin_anew(self) -> None:
        self.restart()
        self.turn()

    def _mend_all(self) -> None:
        self.fail()
        self.slow_source(on=False)
        for side in self.sides.values():
            self.mend(side.name)
            for ref, one in list(side.mesh.objects.items()):
                if one.owner is None:
                    side.touch(ref, partial(self._act, side.mesh, "vanish", ref))
                elif one.paused:
                    side.touch(ref, partial(self._act, side.mesh, "resume", ref))

    def _must_serve(self, when: str) -> None:
        for side in self.sides.values():
            if wrong := side.wrong(frozenset(self.granted)):
                raise WiderError(f"{side.name}: {when} {wrong[:3]} is not as SMI has it")

    def _must_rest(self, while_: str, happens: Callable[[], None]) -> None:
        before = {name: (len(side.mesh.written), side.mesh.remembered) for name, side in self.sides.items()}
        happens()
        for side in self.sides.values():
            written, remembered = before[side.name]
            if side.mesh.written[written:] or side.mesh.remembered != remembered:
                raise WiderError(f"{side.name}: {while_}, and {side.mesh.written[written:] or 'memory'} is written")

    # ----------------------------------------------------------------------- what is asked

    def _hear(self) -> None:
        """The hub is about to be told what the source says."""
        before, self.known, self._heard = self.known, self._readable(), True
        self._ever |= self.known
        for side in self.sides.values():
            side.hear(before, self.known)

    def _forget(self) -> None:
        """Until the next hub is told anything it goes by what was applied, and that may be older than what the last one knew."""
        before, self.known, self._heard = self.known, frozenset(self._ever), False
        for side in self.sides.values():
            side.hear(before, self.known)
            side.excuse(MESH, AGAIN_S)

    def _readable(self) -> Granted:
        """The grants as a hub knows them: what cannot be read stays as it was."""
        hidden = {name for name in GRANTS if any(covers(each, f"TrafficTarget/shop/{name}") for each in self._failing)}
        return frozenset((self.granted - hidden) | (self.known & hidden))

    def _note(self) -> None:
        for name, side in self.sides.items():
            side.note(told=self._heard, refused=self.process.refused(name))

    def _hold(self) -> None:
        """No write of ours opened anything, and no revocation is overdue."""
        for side in self.sides.values():
            if side.wider or side.lost:
                raise WiderError("\n".join([*side.wider, *side.lost]))
            if (
                self.process.refused(side.name)
                and len(side.lost_since(self.process.refused_since(side.name))) < MIN_UNITS
            ):
                raise WiderError(f"{side.name}: a plan is refused, though few lose anything")
            if overdue := side.overdue():
                raise WiderError(f"{side.name}: still let through, though nothing holds that up: {overdue[:3]}")
            self.tally[f"{side.name}: {'well' if side.is_well() else 'in trouble'}"] += 1
