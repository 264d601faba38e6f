"""Deciding while waiting: what is foreseen has no effect; if it comes, the same is done as if nobody had foreseen it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
import pytest_asyncio
import structlog

from hub.loop import Loop
from hub.model import Document, ObjectRef, Observation, Origin, Problem, UnitKey
from hub.reconcile import Hub
from hub.sources.events import Delete, Event, Foreseen, Synced, Unread, Upsert
from hub.sources.yaml import load
from hub.testing.worlds import make_values
from tests.servers.folder import CONFIG, ROUTES, WORKLOADS, Folder, target, workload

SOURCE, OTHER = "manifests", "more"
API = UnitKey("access", "shop", "api")
TWO_SOURCES = CONFIG.replace("- path: manifests\n", f"- path: {SOURCE}\n- path: {OTHER}\n")


def documents(*texts: str, source: str = SOURCE, part: str = "access.yaml") -> tuple[Document, ...]:
    """What a file of these documents holds."""
    return load("---\n".join(texts).encode(), Origin(source, part))


class Steps:
    """A loop of which a test makes every step."""

    def __init__(self, loop: Loop, hub: Hub) -> None:
        self.loop, self.hub = loop, hub
        self.plans = 0  # how often the hub was asked for one after the fact
        planning: Callable[..., Awaitable[Any]] = hub.plan

        async def plan(*given: Any, **named: Any) -> Any:
            self.plans += 1
            return await planning(*given, **named)

        vars(hub)["plan"] = plan

    def foresee(self, part: str, found: Sequence[Document], source: str = SOURCE) -> Foreseen:
        """Say what a source is about to say, while the loop waits."""
        foreseen = Foreseen(part, tuple(found))
        self.loop._idle = not self.loop._owing()
        self.loop._foresee(source, foreseen)
        self.loop._idle = False
        return foreseen

    async def hear(self, *events: Event, source: str = SOURCE) -> None:
        """One batch, as the loop follows it."""
        self.loop._take(source, (*events, Synced()))
        if self.loop._synced == self.hub.sources.keys():
            await self.loop._settle()

    async def come(self, foreseen: Foreseen) -> None:
        """What was foreseen is said."""
        await self.hear(Upsert(foreseen.part, foreseen.documents))

    async def observed(self) -> Observation:
        """What stands in the mesh."""
        return await self.hub.meshes[0].sink.observe()

    async def everything(self) -> tuple[object, ...]:
        """What stands in the mesh, what is still owed, and who is sent where; all without computing anything."""
        return await self.observed(), self.loop._pending, self.hub._published, self.hub.endpoints.facts()


@asynccontextmanager
async def stepping(root: Path) -> AsyncIterator[Steps]:
    """A loop in a folder, of which nothing was read yet."""
    (root / OTHER).mkdir()
    hub = Hub.open(root / "smihub.yaml")
    try:
        yield Steps(Loop(hub), hub)
    finally:
        await hub.close()


@pytest_asyncio.fixture(name="steps")
async def make_steps(tmp_path: Path) -> AsyncIterator[Steps]:
    """A loop that has applied a shop in which `web` may GET /books from `api`; its second source is empty."""
    Folder(tmp_path).config(TWO_SOURCES)
    async with stepping(tmp_path) as steps:
        await steps.hear(source=OTHER)
        shop = {"workloads.yaml": WORKLOADS, "routes.yaml": ROUTES, "access.yaml": target("api-from-web")}
        await steps.hear(*(Upsert(part, documents(text, part=part)) for part, text in shop.items()))
        steps.plans = 0
        yield steps


ORDERS = documents(target("api-from-web", matches="orders"))
NOBODY = documents(target("api-from-web", source="other"))


async def test_what_was_foreseen_is_written_when_it_comes_and_not_before(steps: Steps) -> None:
    """Nothing is planned again."""
    before = await steps.everything()
    foreseen = steps.foresee("access.yaml", ORDERS)
    assert await steps.everything() == before
    await steps.come(foreseen)
    assert steps.plans == 0
    assert b"POST /orders" in (await steps.observed()).memory[API]


INSTEAD: Mapping[str, tuple[str, Event]] = {
    "another content": (SOURCE, Upsert("access.yaml", NOBODY)),
    "equal documents, read anew": (SOURCE, Upsert("access.yaml", documents(target("api-from-web", matches="orders")))),
    "removal": (SOURCE, Delete("access.yaml")),
    "another file": (SOURCE, Upsert("late.yaml", documents(workload("late", 1), part="late.yaml"))),
    "another source": (OTHER, Upsert("access.yaml", documents(target("second", source="other"), source=OTHER))),
}


@pytest.mark.parametrize("what", INSTEAD)
async def test_what_comes_instead_is_planned_and_what_was_foreseen_is_not_written(steps: Steps, what: str) -> None:
    """Also if it comes afterwards, when the plan for it would be an old one."""
    source, event = INSTEAD[what]
    foreseen = steps.foresee("access.yaml", ORDERS)
    await steps.hear(event, source=source)
    assert steps.plans == 1
    assert (b"POST /orders" in (await steps.observed()).memory[API]) is ("equal" in what)
    await steps.come(foreseen)
    assert b"POST /orders" in (await steps.observed()).memory[API]


async def test_an_empty_file_of_another_source_is_not_the_one_that_was_foreseen(steps: Steps) -> None:
    """All that is empty is equal, to the very object."""
    before = await steps.observed()
    foreseen = steps.foresee("access.yaml", ())
    await steps.hear(Upsert("access.yaml", foreseen.documents), source=OTHER)
    assert await steps.observed() == before
    await steps.come(foreseen)
    assert b"GET /books" not in (await steps.observed()).memory[API]


async def test_a_file_that_breaks_after_it_was_foreseen_keeps_what_it_held(steps: Steps) -> None:
    """And while it is broken nothing is foreseen: what others gain has to wait."""
    before = await steps.observed()
    steps.foresee("access.yaml", ORDERS)
    await steps.hear(broken())
    assert await steps.observed() == before
    steps.foresee("access.yaml", NOBODY)
    assert steps.loop._ahead is None


def broken() -> Unread:
    """A file that cannot be read now."""
    return Unread("access.yaml", Problem("yaml.syntax", ObjectRef("", "File", "", "access.yaml"), "", "m", "r"))


async def test_what_a_guard_refuses_is_said_when_it_comes_and_not_before(steps: Steps) -> None:
    """A refused plan that was foreseen is refused like any other, and looked at again."""
    many = documents(*(workload(f"w{n}", n) for n in range(12)), part="many.yaml")
    grants = documents(*(target(f"t{n}", f"w{n}") for n in range(12)), part="grants.yaml")
    await steps.hear(Upsert("many.yaml", many), Upsert("grants.yaml", grants))
    before = await steps.observed()
    with structlog.testing.capture_logs() as logs:
        foreseen = steps.foresee("grants.yaml", ())
        assert logs == []
        await steps.come(foreseen)
    assert [log["event"] for log in logs] == ["plan_refused"]
    assert await steps.observed() == before
    assert steps.loop._owing()


async def test_when_somebody_else_wrote_in_between_it_is_planned_again(steps: Steps) -> None:
    """The plan of before is not written over it."""
    foreseen = steps.foresee("access.yaml", ORDERS)
    mesh = steps.hub.meshes[0]
    standing = await steps.observed()
    await mesh.sink.write((), {UnitKey("access", "shop", "theirs"): b"{}"}, standing.token)
    await steps.come(foreseen)
    assert await steps.observed() != standing
    assert b"POST /orders" not in (await steps.observed()).memory[API]
    await steps.loop._settle()
    assert b"POST /orders" in (await steps.observed()).memory[API]


async def test_an_error_while_foreseeing_leaves_everything_as_it_was(
    steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes then is planned as ever."""
    before = await steps.everything()
    with monkeypatch.context() as patch:
        patch.setattr(steps.hub, "planned", lambda *_: 1 / 0)
        foreseen = steps.foresee("access.yaml", ORDERS)
    assert await steps.everything() == before
    await steps.come(foreseen)
    assert steps.plans == 1
    assert b"POST /orders" in (await steps.observed()).memory[API]


async def test_nothing_is_foreseen_while_the_loop_is_at_work(steps: Steps) -> None:
    """Then the store may hold what is not written yet."""
    steps.loop._foresee(SOURCE, Foreseen("access.yaml", ORDERS))
    assert steps.loop._ahead is None


async def test_who_foresees_does_the_same_as_who_does_not(tmp_path: Path) -> None:
    """Random worlds in a few files of two sources, edited at random: after every batch the same bytes stand there."""
    spared = [await compared(tmp_path / str(seed), seed) for seed in range(24)]
    assert sum(spared) > 4 * len(spared), "what was foreseen hardly ever came"


async def compared(root: Path, seed: int) -> int:
    """Compare two loops in one world; how many plans were there before they were asked for."""
    rng = Random(seed)
    pool = [*make_values(rng), *make_values(rng)]
    for name in ("one", "two"):
        (root / name).mkdir(parents=True)
        Folder(root / name).config(TWO_SOURCES + "accept: [guard.blast-radius]\n" * (seed % 2))
    async with stepping(root / "one") as foreseeing, stepping(root / "two") as plain:
        for steps in (foreseeing, plain):
            await steps.hear(source=OTHER)
            await steps.hear(Upsert("first.yaml", contents(Random(seed), pool, SOURCE, "first.yaml")))
        for _ in range(16):
            source, event = edit(rng, pool, foreseeing)
            for steps in (foreseeing, plain):
                await steps.hear(event, source=source)
            assert await foreseeing.everything() == await plain.everything()
        assert foreseeing.hub.problems() == plain.hub.problems()
        return plain.plans - foreseeing.plans


def edit(rng: Random, pool: Sequence[object], steps: Steps) -> tuple[str, Event]:
    """A change of one file that was foreseen, or not, or another was."""
    source, part = rng.choice((SOURCE, SOURCE, OTHER)), f"{rng.randrange(3)}.yaml"
    found, instead = contents(rng, pool, source, part), contents(rng, pool, source, part)
    if rng.randrange(4):
        steps.foresee(part, found, source)
    event = Upsert(part, rng.choice((found, found, found, instead)))
    return source, event if rng.randrange(6) else Delete(part)


def contents(rng: Random, pool: Sequence[object], source: str, part: str) -> tuple[Document, ...]:
    """Some of these objects, as a file holds them."""
    some = rng.sample(pool, rng.choice((0, 1, 3, 9)))
    return tuple(Document(value, Origin(source, part, n + 1), n) for n, value in enumerate(some))
