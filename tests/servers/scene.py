"""A town and what befalls it, step by step.

There are edits, slips, deletions and returns, files that break, folders that go out of sight, processes that know nothing
yet, and a running hub beside which others apply. A step is a name and a seed, so a row of steps can be played again, and made smaller.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any, Self
from unittest import mock

import structlog.testing

from hub.testing.small_worlds import again, corrupted, make_small_world, small_world_requests
from tests.servers.changing import Trial
from tests.servers.ground import COPY, Ground, is_sound
from tests.servers.held import CALLERS, RECEIVERS

ASKED = 100
PATIENCE_S = 60.0
REQUESTS = {"vm": small_world_requests("Workload"), "istio": small_world_requests("Pod")}
_HEAD = ("apiVersion", "kind")
Step = tuple[str, int]


class WiderError(Exception):
    """Somebody is served who must not be."""


class Scene(AbstractContextManager["Scene"]):
    """A folder with a town, its hubs and its meshes; `take` does one step and asks what stands then."""

    heavy: Sequence[str] = ("workload/", "service/", "traffictarget/", "tcproute/")
    """How the files begin on which much depends."""

    def __init__(self) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="smihub-events-"))
        self.trial = self._made()
        self.ground = self.trial.ground
        self.gone: dict[str, Any] = {}
        self.taken: list[Step] = []
        self.told: list[str] = []
        self._loop = asyncio.new_event_loop()
        self._quiet = mock.patch("hub.sources.files.QUIET_S", 0.0)
        self._silence = structlog.testing.capture_logs()

    def _made(self) -> Trial:
        """The folder and the meshes."""
        return Trial(Ground(self.root))

    def __enter__(self) -> Self:
        self._quiet.start()
        self._silence.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self.trial.close())
        self._loop.close()
        self._silence.__exit__(None, None, None)
        self._quiet.stop()
        shutil.rmtree(self.root)

    def take(self, name: str, seed: int) -> None:
        """Do one step. Raises WiderError."""
        self.taken.append((name, seed))
        getattr(self, name)(Random(f"{name}/{seed}"))

    # -- what happens to the folder

    def begin(self, rng: Random) -> None:
        """A town, applied."""
        for value in make_small_world(rng):
            self.put(f"{value['kind'].lower()}/{value['metadata']['name']}", value)
        self.apply(rng)

    def edit(self, rng: Random) -> None:
        """An object becomes another version of itself; or two do."""
        for _ in range(rng.choice((1, 1, 2))):
            name = self._pick(rng)
            self.put(name, again(rng, self.ground.files[name].value))
        self._then(rng)

    def slip(self, rng: Random) -> None:
        """An object can no longer be decoded."""
        self._not_too_bad(rng)
        name = self._pick(rng)
        self.put(name, corrupted(rng, self.ground.files[name].value))
        self._then(rng)

    def double(self, rng: Random) -> None:
        """An object is there twice, mostly unequal."""
        self._not_too_bad(rng)
        name = self._pick(rng)
        if not name.endswith(COPY) and name + COPY not in self.ground.files:
            self.put(name + COPY, again(rng, self.ground.files[name].value))
        self._then(rng)

    def delete(self, rng: Random) -> None:
        """An object goes; of two that are gone one comes back."""
        if len(self.gone) > 1:
            self.come_back(rng)
            return
        name = self._pick(rng)
        self.gone[name] = self.ground.files[name].value
        self.ground.remove(name)
        self.told.append(f"{name} is deleted")
        self._then(rng)

    def come_back(self, rng: Random) -> None:
        """An object is there again: as it was, in another version, or with a slip that nobody saw sound."""
        known = sorted(name for name in self.gone if name.partition("/")[0] not in self.ground.hidden)
        if known:
            name, version = rng.choice(known), rng.choice((_same, _same, again, corrupted))
            if version is corrupted:
                self._not_too_bad(rng)
            self.put(name, version(rng, self.gone.pop(name)))
        self._then(rng)

    def flap(self, rng: Random) -> None:
        """An object goes, that is applied, and it comes back."""
        name = self._pick(rng)
        value = self.ground.files[name].value
        self.ground.remove(name)
        self.told.append(f"{name} is deleted")
        self._then(rng)
        self.put(name, value)
        self._then(rng)

    def leave(self, rng: Random) -> None:
        """Some Envoys, mostly all, hear nothing from the hub while things go, others change, and they come back."""
        every = (*CALLERS, *RECEIVERS)
        self.trial.envoys.away = set(every if rng.randrange(3) else rng.sample(every, 2))
        self.told.append(f"{sorted(self.trial.envoys.away)} are away")
        names = {self._pick(rng) for _ in range(rng.choice((1, 2)))}
        values = {name: self.ground.files[name].value for name in sorted(names)}
        for name in values:
            self.ground.remove(name)
            self.told.append(f"{name} is deleted")
        rng.choice((self.follow, self.apply))(rng)
        for _ in range(rng.choice((1, 1, 2))):
            rng.choice((self.edit, self.edit, self.delete))(rng)
        for name, value in values.items():
            self.put(name, value)
        self.hear(rng)

    def hear(self, rng: Random) -> None:
        """All Envoys are there again."""
        self.trial.envoys.away = set()
        self.told.append("all Envoys are there")
        self.apply(rng)

    def garble(self, rng: Random) -> None:
        """A file can no longer be parsed."""
        self._not_too_bad(rng)
        name = self._pick(rng)
        self.ground.garble(name)
        self.told.append(f"{name} cannot be parsed")
        self._then(rng)

    def hide(self, rng: Random) -> None:
        """A folder goes out of sight."""
        self._not_too_bad(rng)
        folders = {name.partition("/")[0] for name in self.ground.files} - self.ground.hidden
        if len(folders) > 1:
            folder = rng.choice(sorted(folders))
            self.ground.hide(folder)
            self.told.append(f"{folder}/ is out of sight")
        self._then(rng)

    def _not_too_bad(self, rng: Random) -> None:
        """Before a third trouble all are mended, as they would be."""
        sound = sum(file.parses and is_sound(file.value) for file in self.ground.files.values())
        if len(self.ground.files) - sound + len(self.ground.hidden) > 1:
            self.mend(rng)

    def mend(self, rng: Random) -> None:
        """Everything can be read again, or almost everything."""
        for folder in sorted(self.ground.hidden):
            self.ground.show(folder)
        for name in sorted(self.ground.files):
            if name.endswith(COPY):
                self.ground.remove(name)
            elif rng.randrange(6):
                self.ground.mend(name)
        self.told.append(f"mended, unread is {self.ground.unread}, broken is {self.ground.broken}")
        self._then(rng)

    # -- what hubs do

    def apply(self, rng: Random) -> None:
        """A process that knows nothing yet applies."""
        self.told.append("apply")
        self._done(rng, self._loop.run_until_complete(self.trial.apply()))
        if self.trial.runs:  # it hears of a file within 0.1 s, whatever others do
            self.follow(rng)

    def follow(self, rng: Random) -> None:
        """The running hub hears what was written."""
        self.told.append("the running hub follows")
        self._done(rng, self._loop.run_until_complete(self.trial.follow()))

    def restart(self, rng: Random) -> None:
        """The running hub ends, and begins anew."""
        self._loop.run_until_complete(self.trial.stop())
        self.told.append("the running hub is new")
        self.follow(rng)

    def _then(self, rng: Random) -> None:
        """Somebody applies what was written, or it waits for the next step."""
        act = rng.choice((self.follow, self.follow, self.apply, self.apply, None))
        if act is not None:
            act(rng)

    def _done(self, rng: Random, refused: Sequence[str]) -> None:
        asked = {mesh: rng.sample(known, min(len(known), ASKED)) for mesh, known in REQUESTS.items()}
        why = self._loop.run_until_complete(self.trial.wider(asked, refused))
        if why:
            raise WiderError(why)

    def put(self, name: str, value: Any) -> None:
        """Write an object, and tell it."""
        self.told.append(f"{name} is {json.dumps({key: value[key] for key in value if key not in _HEAD})}")
        self.ground.put(name, value)

    def _pick(self, rng: Random) -> str:
        """A file; most often one of those on which much depends."""
        names = self.ground.visible()
        return rng.choices(names, [4 if name.startswith(tuple(self.heavy)) else 1 for name in names])[0]


def _same(_: Random, value: Any) -> Any:
    return value


STEPS = (
    "begin",
    "edit",
    "slip",
    "double",
    "delete",
    "come_back",
    "flap",
    "leave",
    "hear",
    "garble",
    "hide",
    "mend",
    "apply",
    "restart",
    "leave",
)
"""What may happen, and what twice as often; the first is how it begins."""


def play(steps: Sequence[Step], kind: type[Scene] = Scene) -> str:
    """Take these steps in a scene; why the last of them must not have ended so, "" if it may."""
    with kind() as scene:
        try:
            for name, seed in steps:
                scene.take(name, seed)
        except WiderError as error:
            return "\n".join([*scene.told, str(error)])
    return ""


def smallest(
    steps: Sequence[Step], kind: type[Scene] = Scene, patience_s: float = PATIENCE_S
) -> tuple[list[Step], str]:
    """As few of these steps as still end badly, and how they end; as few as are found with some patience."""
    kept, why = list(steps), play(steps, kind)
    size, end = len(kept) // 2, monotonic() + patience_s
    while size and monotonic() < end:
        at = len(kept) - size
        while at > 0 and monotonic() < end:  # the first step makes the town
            fewer = kept[:at] + kept[at + size :]
            said = play(fewer, kind)
            if said:
                kept, why = fewer, said
            at -= size
        size //= 2
    return kept, why
