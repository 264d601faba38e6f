"""What a random event costs the running loop in a large world against a small one: `python bench/loop.py [large] [small] [events]`.

Both worlds hold the same hundred SMI objects; the events (a file edited, broken, mended, removed or brought back) are about
these alone. They go through the very parts of `smihub run`: the loop takes them, hands out dirty units, the mesh's worker plans
and writes, endpoints are published. CPU time of the process is counted, so that a busy machine does not matter.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import world
from change import Company

from hub.events import Event
from hub.log import set_up_logging
from hub.plan.guards import BLAST_RADIUS
from hub.reconcile.loop import Loop
from hub.sources.directory import DirectorySource

TARGET = 1.5
SHARED = 100
"""SMI objects that both worlds hold."""


class Following(Company):
    """A company whose folder is followed by the loop, event by event."""

    async def start(self, stack: AsyncExitStack) -> None:
        """Apply and serve everything, and let the loop begin where that ended."""
        await super().start(stack)
        # One application of ten is more than a plan may take away unasked, one of a thousand is not: both worlds do the same.
        self.loop = Loop(self.hub, (BLAST_RADIUS,))
        await self.loop.dispatch()
        await self.loop.workers[0].once()

    def change(self, rng: random.Random) -> Path:
        """Do something to one of the shared files."""
        number = rng.randrange(SHARED // world.SMI_PER_APP)
        path = self.folder / f"app-{number}.yaml"
        kind = rng.choice(("edit", "edit", "edit", "break", "remove"))
        if kind == "remove" and path.exists():
            path.unlink()
        elif kind == "break":
            path.write_text("kind: [\n")
        else:
            path.write_text(world.app(number, self.apps, rng.randrange(1, 1000)))
        return path

    async def follow_event(self, path: Path) -> float:
        """CPU seconds of one event."""
        (source,) = self.hub.intake.sources.values()
        assert isinstance(source, DirectorySource)
        before = time.process_time()
        events = tuple(step for step in source.steps(frozenset([str(path)])) if isinstance(step, Event))
        await self.loop.ingest(source.name, events)
        await self.loop.dispatch()
        await self.loop.workers[0].once()
        await self.loop.publish()
        await self.loop.log_sources()
        return time.process_time() - before


async def measure(base: Path, sizes: tuple[int, int], events: int) -> None:
    """Let both worlds take turns with the same events, and print what each costs."""
    async with AsyncExitStack() as stack:
        worlds = [Following(base / str(size), size) for size in sizes]
        for each in worlds:
            await each.start(stack)
        gc.freeze()  # as the running hub does
        dice = [random.Random(1) for _ in worlds]  # noqa: S311 - the same events for both
        found: list[list[float]] = [[], []]
        for turn in range(events):
            paths = [each.change(rng) for each, rng in zip(worlds, dice, strict=True)]
            for index in (0, 1) if turn % 2 else (1, 0):
                found[index].append(await worlds[index].follow_event(paths[index]))
        for each, times in zip(worlds, found, strict=True):
            mean, median = 1e3 * statistics.fmean(times), 1e3 * statistics.median(times)
            sys.stdout.write(
                f"{each.objects:>8} objects  {len(times)} events  mean {mean:.2f} ms  median {median:.2f} ms CPU\n"
            )
        ratio = statistics.fmean(found[0]) / statistics.fmean(found[1])
        sys.stdout.write(f"one event, large against small: {ratio:.2f} (target: at most {TARGET})\n")


def main() -> None:
    """Read the sizes and measure."""
    set_up_logging(logging.CRITICAL)
    given = [int(text) for text in sys.argv[1:]]
    large, small, events = (*given, *(10_000, SHARED, 1_000)[len(given) :])
    with tempfile.TemporaryDirectory() as base:
        asyncio.run(measure(Path(base), (large, small), events))


if __name__ == "__main__":
    main()
