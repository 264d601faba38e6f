"""What one change of a mesh costs while another mesh hangs: `python bench/hanging.py [objects] [changes]`.

A VM mesh and an Istio mesh on one folder of SMI. One changed weight goes from the report of the file system to the revision that
is served, by the parts of `smihub run`: the loop, the mesh's worker, endpoints. Two hubs take turns: in one the Istio mesh is
written as well, in the other it never answers.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from change import Company

from hub.api import Observation
from hub.events import Event
from hub.log import set_up_logging
from hub.reconcile.domains import Domains
from hub.reconcile.loop import Loop
from hub.sources.files import QUIET_S

TARGET = 1.2
_MESHES = "{name: vms, adapter: vm}, {name: istio, adapter: istio, sink: {kind: directory, path: rendered}}"
CONFIG = (
    f"domain: {{trustDomain: cluster.local}}\nsources: [{{path: manifests}}]\naccept: [selector.unlabelled-pods]\n"
    f"meshes: [{_MESHES}]\n"
)


class Hanging:
    """The sink of a mesh that never answers."""

    apart = False

    async def observe(self) -> Observation:
        """Wait for ever."""
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        """Nothing is open."""


class TwoMeshes(Company):
    """A company with two meshes, of which the first is timed."""

    def __init__(self, base: Path, smi_objects: int, *, hanging: bool) -> None:
        super().__init__(base, smi_objects)
        (base / "smihub.yaml").write_text(CONFIG)
        self.hub = Domains.open(base / "smihub.yaml").hubs[0]
        if hanging:
            self.hub.meshes[1]._sink = Hanging()  # type: ignore[assignment]  # noqa: SLF001 - no setting makes a mesh hang
        self.loop = Loop(self.hub)

    async def start(self, stack: AsyncExitStack) -> None:
        """Apply and serve everything; the second mesh is followed by its own worker from now on."""
        await super().start(stack)
        vm, istio = self.loop.workers
        await vm.once()
        working = asyncio.create_task(istio.run())
        stack.callback(working.cancel)
        istio.add(self.hub.units())
        await asyncio.wait([asyncio.ensure_future(istio.idle.wait())], timeout=20)

    async def change(self, turn: int) -> float:
        """Seconds from a changed file to what is served."""
        path = self.edit(turn, 100 + turn)
        await asyncio.sleep(QUIET_S * 1.1)
        (source,) = self.hub.intake.sources.items()
        begun = time.perf_counter()
        events = tuple(step for step in source[1].steps(frozenset([str(path)])) if isinstance(step, Event))  # type: ignore[attr-defined]
        await self.loop.ingest(source[0], events)
        await self.loop.dispatch()
        await self.loop.workers[0].once()
        await self.loop.publish()
        return time.perf_counter() - begun


async def measure(base: Path, objects: int, changes: int) -> None:
    """Let both hubs take turns, and print medians."""
    async with AsyncExitStack() as stack:
        found: dict[bool, list[float]] = {False: [], True: []}
        hubs = {hanging: TwoMeshes(base / str(hanging), objects, hanging=hanging) for hanging in found}
        for each in hubs.values():
            await each.start(stack)
        gc.freeze()  # as the running hub does
        for turn in range(changes):
            for hanging in (False, True) if turn % 2 else (True, False):
                found[hanging].append(await hubs[hanging].change(turn))
                await asyncio.sleep(0.02)  # the other mesh has its turn
        medians = {hanging: statistics.median(times[len(times) // 10 :]) for hanging, times in found.items()}
    for hanging, median in medians.items():
        sys.stdout.write(f"the other mesh {'hangs ' if hanging else 'answers'}  median {1e3 * median:.2f} ms\n")
    sys.stdout.write(f"hanging against answering: {medians[True] / medians[False]:.2f} (target: at most {TARGET})\n")


def main() -> None:
    """Read the sizes and measure."""
    set_up_logging(logging.CRITICAL)
    given = [int(text) for text in sys.argv[1:]]
    objects, changes = (*given, *(1_000, 100)[len(given) :])
    with tempfile.TemporaryDirectory() as base:
        asyncio.run(measure(Path(base), objects, changes))


if __name__ == "__main__":
    main()
