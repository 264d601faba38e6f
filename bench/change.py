"""What one changed weight costs in a large folder against a small one: `python bench/change.py [large] [small] [changes]`.

Two hubs in one process, each with its folder, its state file and its server running, take turns. A change is timed from
the report of the file system (the file has been quiet) to the revision that is committed and served: `read` is the file
into events, `plan` is objects, units and the plan, `write` is SQLite and serving, `publish` is endpoints.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import statistics
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

import world

from hub.events import Event
from hub.log import set_up_logging
from hub.reconcile.domains import Domains
from hub.sources.directory import DirectorySource
from hub.sources.files import QUIET_S

TARGET = 1.2
PARTS = ("read", "plan", "write", "publish")
Times = dict[str, float]


class Company:
    """One hub on one folder, applied and serving."""

    def __init__(self, base: Path, smi_objects: int) -> None:
        base.mkdir()
        self.folder = base / "manifests"
        self.apps = world.write(self.folder, smi_objects)
        (base / "smihub.yaml").write_text(world.CONFIG)
        self.hub = Domains.open(base / "smihub.yaml").hubs[0]

    @property
    def objects(self) -> int:
        """How many SMI objects there are."""
        return self.apps * world.SMI_PER_APP

    async def start(self, stack: AsyncExitStack) -> None:
        """Read, plan, apply and serve everything once."""
        stack.push_async_callback(self.hub.close)
        self.hub.read()
        mesh = self.hub.meshes[0]
        reviewed = await self.hub.plan(mesh)
        await self.hub.apply(mesh, reviewed.plan)
        live = mesh.live
        assert live is not None
        await live.start()
        self.hub.clusters[""].store.dirty()
        await self.hub.publish()

    def edit(self, number: int, weight: int) -> Path:
        """Give one application's TrafficSplit another weight."""
        path = self.folder / f"app-{number % self.apps}.yaml"
        path.write_text(world.app(number % self.apps, self.apps, weight))
        return path

    async def follow(self, path: Path) -> Times:
        """Carry one reported file through; seconds per part."""
        mesh = self.hub.meshes[0]
        (source,) = self.hub.intake.sources.values()
        assert isinstance(source, DirectorySource)
        marks = [time.perf_counter()]
        events = [step for step in source.steps(frozenset([str(path)])) if isinstance(step, Event)]
        marks.append(time.perf_counter())
        self.hub.intake.ingest(source.name, events)
        reviewed = await self.hub.plan(mesh, keys=self.hub.clusters[""].store.dirty())
        marks.append(time.perf_counter())
        await self.hub.apply(mesh, reviewed.plan)
        marks.append(time.perf_counter())
        await self.hub.publish()
        marks.append(time.perf_counter())
        assert len(reviewed.plan.changes) == 1, reviewed.plan
        return dict(zip(PARTS, (b - a for a, b in itertools.pairwise(marks)), strict=True))


async def measure(base: Path, sizes: tuple[int, int], changes: int) -> None:
    """Let both companies take turns, and print medians."""
    async with AsyncExitStack() as stack:
        companies = [Company(base / str(size), size) for size in sizes]
        for company in companies:
            await company.start(stack)
        gc.freeze()  # as the running hub does
        found: list[list[Times]] = [[], []]
        for turn in range(changes):
            paths = [company.edit(turn, 100 + turn) for company in companies]
            await asyncio.sleep(QUIET_S * 1.1)
            order = (0, 1) if turn % 2 else (1, 0)
            for index in order:
                found[index].append(await companies[index].follow(paths[index]))
        report(companies, found)


def report(companies: list[Company], found: list[list[Times]]) -> None:
    """Print a row per company and the ratio of their totals; the first tenth of the changes is not counted."""
    write = sys.stdout.write
    write(" objects   changes  total ms" + "".join(f"{part:>9}" for part in PARTS) + "      p99\n")
    totals = []
    for company, times in zip(companies, found, strict=True):
        kept = times[len(times) // 10 :]
        sums = sorted(sum(each.values()) for each in kept)
        totals.append(statistics.median(sums))
        parts = "".join(f"{1e3 * statistics.median(each[part] for each in kept):>9.2f}" for part in PARTS)
        write(
            f"{company.objects:>8} {len(kept):>9} {1e3 * totals[-1]:>9.2f}{parts}{1e3 * sums[-1 - len(sums) // 100]:>9.2f}\n"
        )
    write(f"one change, large against small: {totals[0] / totals[1]:.2f} (target: at most {TARGET})\n")


def main() -> None:
    """Read the sizes and measure."""
    set_up_logging(logging.WARNING)
    given = [int(text) for text in sys.argv[1:]]
    large, small, changes = (*given, *(10_000, 100, 200)[len(given) :])
    with tempfile.TemporaryDirectory() as base:
        asyncio.run(measure(Path(base), (large, small), changes))


if __name__ == "__main__":
    main()
