"""A long plan keeps nobody waiting: Envoys are served, and the hub ends when it is told to."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from adapters.vm.state.revisions import State
from hub.model import Translation, Unit, UnitKey
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.threads import run_in_thread
from tests.hub.cli.test_run import running
from tests.servers.folder import CONFIG, Folder, shop, target, workload
from tests.servers.hubs import hub_of
from tests.servers.xds import Client, found, token_for

API, LATE = UnitKey("access", "shop", "api"), UnitKey("access", "shop", "late")
PLAN_S, ANSWER_S = 10.0, 1.0
SLOW = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: slow, namespace: shop}
spec:
  matches:
"""


@pytest.fixture(name="folder")
def make_folder(tmp_path: Path) -> Folder:
    """A folder in which `web` may GET /books from `api`."""
    return shop(tmp_path)


def busy(seconds: float) -> float:
    """Compute for so long, in Python."""
    until, number = time.thread_time() + seconds, 0
    while time.thread_time() < until:
        number += sum(range(1000))
    return float(number)


@pytest.mark.thorough
async def test_the_loop_goes_on_and_the_result_arrives() -> None:
    """Other tasks get their turn again and again."""
    work = asyncio.ensure_future(run_in_thread(partial(busy, 1.0)))
    longest, last = 0.0, time.monotonic()
    while not work.done():
        await asyncio.sleep(0.005)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert await work > 0
    assert longest < ANSWER_S / 2


async def test_what_is_raised_is_raised_where_it_is_awaited() -> None:
    """As if it were called there."""
    with pytest.raises(ZeroDivisionError):
        await run_in_thread(lambda: 1 / 0)


async def test_stop_iteration_is_no_hang() -> None:
    """A future takes none, and whoever awaits it would wait for ever, with the lock that all meshes need."""
    async with asyncio.timeout(5):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await run_in_thread(lambda: next(iter(())))


async def test_a_thread_that_has_ended_its_work_is_used_again_and_a_busy_one_is_not() -> None:
    """One after the other they take one thread; at once each has its own, and none waits for another."""
    used = {await run_in_thread(threading.get_ident) for _ in range(20)}
    assert len(used) <= 5  # the last ones may not have said yet that they are idle
    meet = threading.Barrier(5, timeout=5)
    assert len(await asyncio.gather(*(run_in_thread(meet.wait) for _ in range(5)))) == 5


async def test_whoever_is_cancelled_does_not_wait() -> None:
    """The computation ends by itself, and its result is nobody's."""
    work = asyncio.ensure_future(run_in_thread(partial(busy, 1.0)))
    await asyncio.sleep(0.05)
    work.cancel()
    begun = time.monotonic()
    with suppress(asyncio.CancelledError):
        await work
    assert time.monotonic() - begun < 0.5


@pytest.mark.thorough
async def test_envoys_are_served_while_a_long_plan_is_made(folder: Folder) -> None:
    """A new stream is answered within a second, again and again, while a plan takes ten seconds of CPU."""
    hub = hub_of(folder.root / "smihub.yaml")
    mesh = hub.meshes[0]
    translate, began = mesh.spec.translate, asyncio.Event()
    loop = asyncio.get_running_loop()

    def slowly(unit: Unit, settings: Any) -> Translation:
        if any("late" in origin.name for origin in unit.origins):
            loop.call_soon_threadsafe(began.set)
            busy(PLAN_S)
        return translate(unit, settings)

    task = asyncio.create_task(Loop(hub).run())
    try:
        token = await asyncio.wait_for(_ready(hub), 20)
        await _answered(mesh.sink, token)
        mesh.spec = replace(mesh.spec, translate=slowly)
        folder.write("late.yaml", workload("late", 9), target("late", account="late"))
        await asyncio.wait_for(began.wait(), 20)
        begun, answers = time.monotonic(), list[float]()
        while time.monotonic() - begun < PLAN_S - 2:
            answers.append(await _answered(mesh.sink, token))
            await asyncio.sleep(0.2)
        assert len(answers) >= 5
        assert max(answers) < ANSWER_S, answers
        assert LATE not in (await mesh.sink.observe()).memory, "the plan is not that long"
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await hub.close()


async def _ready(hub: Hub) -> str:
    """Wait until the first plan is in force; the token of `web-1`."""
    sink = hub.meshes[0].sink
    while API not in (await sink.observe()).memory:  # noqa: ASYNC110 - it is another task that writes
        await asyncio.sleep(0.05)
    state = State(hub.config.state / "hub.sqlite", hub.meshes[0].name)
    try:
        return token_for(state, "shop/web-1").reveal().decode()
    finally:
        state.close()


async def _answered(sink: Any, token: str) -> float:
    """How long a new stream of `web-1` waits for its clusters."""
    begun = time.monotonic()
    client = Client(sink.address, token)
    try:
        await client.ask("Cluster", "shop/web-1")
        assert found(await client.next())
    finally:
        await client.close()
    return time.monotonic() - begun


@pytest.mark.thorough
def test_run_ends_when_it_is_told_to_in_the_middle_of_a_long_plan(folder: Folder) -> None:
    """It does not wait for the plan."""
    folder.config(CONFIG + "- {name: istio, adapter: istio, sink: {kind: directory, path: rendered}}\n")
    with running(folder) as hub:
        hub.until("plan_applied")
        for number in range(12):
            matches = "".join(f'  - {{name: m{m}, pathRegex: "/{number}?.*{m}.{{9}}"}}\n' for m in range(200))
            group = SLOW.replace("slow", f"slow{number}") + matches
            grant = target(f"slow{number}", account=f"slow{number}").replace(
                "name: routes, matches: [books]", f"name: slow{number}"
            )
            folder.write(f"slow{number}.yaml", group, grant)
        time.sleep(3)
        begun = time.monotonic()
        code, rest = hub.end()
    assert code == 0
    assert time.monotonic() - begun < 5
    assert "slow11" not in rest


FIRST_USES = """\
import sys, threading
from typing import Optional, Union
import msgspec

sys.setswitchinterval(1e-6)
for _ in range(60):
    kind = msgspec.defstruct("First", [("text", Optional[str], None), ("either", Union[int, str, None], None)])
    for number in range(12):
        kind = msgspec.defstruct(f"Next{number}", [("one", Optional[kind], None), ("more", dict[str, list[kind]], {})])
    gate = threading.Barrier(4)

    def use():
        gate.wait()
        msgspec.convert({"one": {"one": {"more": {"key": [{}]}}}}, kind)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
"""


@pytest.mark.thorough
def test_threads_may_use_a_type_for_the_first_time_at_once() -> None:
    """Domains translate in threads of their own; msgspec before 0.23 let one thread use what another one was still building."""
    ended = subprocess.run([sys.executable, "-c", FIRST_USES], check=False, capture_output=True)
    assert (ended.returncode, ended.stderr) == (0, b"")
