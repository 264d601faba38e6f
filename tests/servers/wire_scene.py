"""A town on real Envoys and what befalls it, step by step: as in a scene, and Envoys end, accounts and protocols change."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, Self, cast
from unittest import mock

from hub.testing.small_worlds import ACCOUNTS, make_small_world
from tests.servers.envoy import Envoy
from tests.servers.held import CALLERS
from tests.servers.scene import STEPS, Scene, WiderError
from tests.servers.wire_trial import WORKLOADS, WireTrial, octet

ON_ENVOYS = (
    *(name for name in dict.fromkeys(STEPS) if name not in {"hear", "apply"}),
    *("become", "become", "become", "move", "switch", "reboot"),
)
"""What may happen; the first is how it begins. An account that changes is the rarest to be noticed, so it comes often."""
_SOON = {"ENDED_STREAM_S": 0.0, "ANSWER_TIMEOUT_S": 4.0}
"""So that an Envoy whose token has ended is sent away within a second, and comes again."""
_ELSEWHERE = ("Pod", "Deployment")
_WORDS = {"http": "tcp", "tcp": "http"}


class WireScene(Scene):
    """A folder with a town, its hubs, an Envoy for each of its workloads, and callers that keep connections open."""

    def __init__(self) -> None:
        super().__init__()
        self._away = False
        self._soon = [mock.patch(f"adapters.vm.serve.server.{name}", seconds) for name, seconds in _SOON.items()]

    def __enter__(self) -> Self:
        for patch in self._soon:
            patch.start()
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self.wire.clear())
        super().__exit__()
        for patch in self._soon:
            patch.stop()

    def _made(self) -> WireTrial:
        return WireTrial(self.root)

    @property
    def wire(self) -> WireTrial:
        """The mesh, on real Envoys."""
        return cast("WireTrial", self.trial)

    def workers(self) -> dict[str, dict[str, int]]:
        """How many connections each worker of each Envoy has accepted and keeps."""
        envoys = self.wire.sidecars.envoys.items()
        return {name: self._loop.run_until_complete(_kept(envoy)) for name, envoy in envoys}

    # -- what happens

    def begin(self, rng: Random) -> None:
        """A town, applied and served."""
        for value in make_small_world(rng):
            if value["kind"] not in _ELSEWHERE:
                self.put(f"{value['kind'].lower()}/{value['metadata']['name']}", value)
        self.apply(rng)
        self._loop.run_until_complete(self.wire.furnish())
        self.follow(rng)

    def flap(self, rng: Random) -> None:
        """An object goes, that is applied, and it comes back; perhaps while the hub is away."""
        with self._perhaps_away(rng):
            super().flap(rng)

    def become(self, rng: Random) -> None:
        """A workload runs as another account; perhaps only for a while, perhaps while the hub is away."""
        self._become(rng, rng.choice(WORKLOADS))

    def move(self, rng: Random) -> None:
        """A caller runs as another account when the hub is there again."""
        with self._gone():
            self._become(rng, rng.choice(CALLERS))
        self.follow(rng)

    def _become(self, rng: Random, workload: str) -> None:
        def other(spec: Any) -> None:
            spec["serviceAccount"] = rng.choice([name for name in ACCOUNTS if name != spec["serviceAccount"]])

        self._change(rng, f"workload/{workload.partition('/')[2]}", other)

    def switch(self, rng: Random) -> None:
        """The port that others may call HTTP is called otherwise; perhaps only for a while, or while the hub is away."""

        def other(spec: Any) -> None:
            port = spec["ports"][0]
            port["appProtocol"] = _WORDS.get(port.get("appProtocol"), rng.choice(("http", "tcp")))

        self._change(rng, rng.choice(("service/api", "service/api", "workload/api-1", "workload/api-2")), other)

    def leave(self, rng: Random) -> None:
        """The hub is away, or only from two of the Envoys: one thing goes and comes back, another changes."""
        with self._gone() if rng.randrange(3) else self._unheard(rng):
            rng.choice((super().flap, self.become, self.switch))(rng)
            rng.choice((self.edit, self.edit, self.become, self.delete, self.come_back))(rng)
        self.follow(rng)

    def reboot(self, rng: Random) -> None:
        """An Envoy ends, and another one takes its place."""
        workload = rng.choice(WORKLOADS)
        self.told.append(f"the Envoy of {workload} is new")
        self._loop.run_until_complete(self.wire.reboot(workload))
        self.follow(rng)

    def follow(self, rng: Random) -> None:
        """The running hub hears what was written; while it is away, somebody applies."""
        if self._away:
            self.apply(rng)
        else:
            super().follow(rng)

    def put(self, name: str, value: Any) -> None:
        """Write an object, with addresses of this machine."""
        super().put(name, json.loads(json.dumps(value).replace("127.0.", f"127.{octet()}.")))

    def _change(self, rng: Random, name: str, change: Callable[[Any], None]) -> None:
        if name not in self.ground.visible() or self.ground.files[name].sound is None:
            return
        before = self.ground.files[name].sound
        after = json.loads(json.dumps(before))
        change(after["spec"])
        with self._perhaps_away(rng):
            self.put(name, after)
            self.follow(rng)
            if rng.randrange(2):
                self.put(name, before)
                self._then(rng)

    @contextmanager
    def _perhaps_away(self, rng: Random) -> Iterator[None]:
        """The hub is away meanwhile, every other time."""
        if self._away or rng.randrange(2):
            yield
        else:
            with self._gone():
                yield
            self.follow(rng)

    @contextmanager
    def _unheard(self, rng: Random) -> Iterator[None]:
        """Some Envoys hear nothing; the hub begins anew on both sides of it."""
        self._anew(rng.sample(WORKLOADS, 2))
        self.follow(rng)
        yield
        self._anew()

    def _anew(self, away: Sequence[str] = ()) -> None:
        self._loop.run_until_complete(self.trial.stop())
        self.wire.sidecars.find_hub(away)
        self.told.append(f"the hub is new, and nobody is away from it but {sorted(away)}")

    @contextmanager
    def _gone(self) -> Iterator[None]:
        self._loop.run_until_complete(self.trial.stop())
        self.told.append("the hub is away")
        self._away = True
        yield
        self._away = False

    def _done(self, rng: Random, refused: Sequence[str]) -> None:
        why = self._loop.run_until_complete(self.wire.asked(rng, refused))
        if why:
            raise WiderError(why)


async def _kept(envoy: Envoy) -> dict[str, int]:
    found: Counter[str] = Counter()
    for name, number in (await envoy.stats(r"worker_\d+.downstream_cx_active")).items():
        found[name.split(".")[-2]] += number
    return dict(found)
