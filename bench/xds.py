"""From a changed file to the ACK of a real Envoy: `python bench/xds.py [changes] [SMI objects]`.

The hub runs as `smihub run` does (watcher, loop, state file, ADS server) and serves one real Envoy, the sidecar of a
Workload that calls an application whose TrafficSplit changes; the changed file holds that one object, or all 15 of the
application. The baseline, in turns with it in the same run, is Envoy
alone: the same route table with another weight, made beforehand, from the moment it is handed to the stream to its ACK.

Printed apart is the time until the file counts as written to its end: nothing about it may change for 100 ms.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import world
from msgspec.structs import replace

from adapters.vm import wire
from adapters.vm.resource import RDS, Resource, version_of
from adapters.vm.server import AdsServer
from hub.api import Enrolment
from hub.log import set_up_logging
from hub.loop import Loop
from hub.reconcile import Hub
from hub.sources.events import Upsert

TARGET = 3.0
CALLER = "team-0/caller"
TABLE = "out/team-0/app-0/80"
_WORKLOAD = """\
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {name: caller, namespace: team-0}
spec:
  serviceAccount: caller
  addresses: [127.0.0.1]
  upstreams: [{service: app-0, port: 80, address: 127.0.0.1, localPort: %d}]
"""
PARTS = ("quiet", "read", "decide", "write", "envoy")


class Clocked:
    """One running hub with marks: when its reader, its loop and its server did what."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.marks: dict[str, float] = {}
        self.acked = asyncio.Event()
        (self.source,) = hub.sources.values()
        sink: Any = hub.meshes[0].sink
        self.sink = sink
        self.instead: Resource | None = None
        self._steps, self._write = self.source.steps, self.sink.write
        self._heard, self._snapshot = self.sink.heard, self.sink.snapshot
        # The marks hang on four methods of these very objects; what they do stays what it is.
        vars(self.source)["steps"] = self.steps
        vars(self.sink).update(write=self.write, heard=self.heard, snapshot=self.snapshot)

    @property
    def server(self) -> AdsServer:
        """The ADS server of the running sink."""
        found: AdsServer = self.sink._server  # noqa: SLF001 - only its `wake` is used, as the sink does
        return found

    def mark(self, name: str) -> None:
        """Note the time of something."""
        self.marks[name] = time.perf_counter()

    def steps(self, reported: Any = None) -> Iterator[Any]:
        """The reader's steps; the last moment before it parsed a file is the end of the quiet time."""
        self.mark("settled")
        for step in self._steps(reported):
            if isinstance(step, Upsert):
                self.mark("read")
                yield step
                continue
            yield step
            if isinstance(step, float) and step:
                self.mark("settled")

    async def write(self, *arguments: Any) -> Any:
        """The sink's write: the plan is made."""
        self.instead = None
        self.mark("decided")
        return await self._write(*arguments)

    def heard(self, session: Any, marks: tuple[Any, ...]) -> None:
        """What the server says: without marks a response is about to leave, with ours it was accepted."""
        self._heard(session, marks)
        if not marks and "pushed" not in self.marks:
            self.mark("pushed")
        for each in marks:
            assert each.detail is None, each
            if each.name == TABLE:
                self.mark("acked")
                self.acked.set()

    def snapshot(self, workload: str) -> Any:
        """What the server is to send: what the hub says, or the table of `push` instead of the hub's."""
        found = self._snapshot(workload)
        if self.instead is None:
            return found
        return {**found, RDS: {**found[RDS], TABLE: self.instead}}

    async def push(self, turn: int) -> None:
        """Have the stream send the same route table with another weight, past the hub."""
        known = self._snapshot(CALLER)[RDS][TABLE]
        packed = wire.Any.FromString(known.body)
        table: Any = wire.parse("RouteConfiguration", packed.value)
        table.virtual_hosts[0].routes[0].route.weighted_clusters.clusters[0].weight.value += 1 + turn
        body = wire.pack(wire.any_of(table))
        self.instead = replace(known, version=version_of(body), body=body)
        self.server.wake({CALLER})

    async def timed(self, act: Awaitable[Any]) -> dict[str, float]:
        """Do something that ends in an ACK; the marks."""
        self.marks.clear()
        self.acked.clear()
        self.mark("start")
        await act
        async with asyncio.timeout(10):
            await self.acked.wait()
        await asyncio.sleep(0.15)  # the sidecar's status is stored, and nobody is busy
        return dict(self.marks)


def edit(path: Path, text: str) -> None:
    """Replace a file as careful people do."""
    beside = path.with_suffix(".tmp")
    beside.write_text(text)
    beside.replace(path)


@asynccontextmanager
async def running(base: Path, smi_objects: int, port: int) -> AsyncIterator[Clocked]:
    """A company, applied and served by a running hub, with one Envoy that has accepted everything."""
    world.write(base / "manifests", smi_objects)
    (base / "manifests" / "caller.yaml").write_text(_WORKLOAD % port)
    (base / "smihub.yaml").write_text(world.CONFIG)
    first = Hub.open(base / "smihub.yaml")
    first.read()
    await first.apply(first.meshes[0], (await first.plan(first.meshes[0])).plan)
    command = first.meshes[0].sink.enrol(Enrolment(CALLER, base / "envoy"))
    await first.close()
    clocked = Clocked(Hub.open(base / "smihub.yaml"))
    loop = asyncio.create_task(Loop(clocked.hub).run())
    with (base / "envoy.log").open("wb") as log:
        envoy = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        await _accepted(clocked.sink, envoy, base / "envoy.log")
        yield clocked
    finally:
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await clocked.hub.close()
        envoy.kill()
        await envoy.wait()


async def _accepted(sink: Any, envoy: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(30):
        while not (CALLER in sink.status() and sink.status()[CALLER].programmed):
            assert envoy.returncode is None, f"envoy ended, see {log}"
            await asyncio.sleep(0.05)
    await asyncio.sleep(1.0)


async def measure(base: Path, changes: int, smi_objects: int, port: int) -> None:
    """Take turns between a changed file, of one object or of a whole application, and a bare push."""
    apps = max(8, smi_objects // world.SMI_PER_APP)
    texts: dict[str, Callable[[int], str]] = {
        "1 object": lambda weight: world.split(0, weight),
        "15 objects": lambda weight: world.app(0, apps, weight),
    }
    print_head()
    for what, text in texts.items():
        ours: list[dict[str, float]] = []
        bare: list[float] = []
        folder = base / what.replace(" ", "-")
        async with running(folder, smi_objects, port) as clocked:
            if what == "1 object":
                await apart(clocked, folder / "manifests", apps)
            for turn in range(changes):
                path = folder / "manifests" / ("split.yaml" if what == "1 object" else "app-0.yaml")
                ours.append(parts_of(await clocked.timed(asyncio.to_thread(edit, path, text(200 + turn)))))
                marks = await clocked.timed(clocked.push(turn))
                bare.append(marks["acked"] - marks["pushed"])
        print_row(what, ours, bare)


async def apart(clocked: Clocked, manifests: Path, apps: int) -> None:
    """Move the TrafficSplit of the first application to a file of its own, with another weight."""
    kept = world.app(0, apps).removesuffix("---\n" + world.split(0, 90))

    def move() -> None:
        edit(manifests / "app-0.yaml", kept)
        edit(manifests / "split.yaml", world.split(0, 91))

    await clocked.timed(asyncio.to_thread(move))
    await asyncio.sleep(1.0)


def parts_of(marks: dict[str, float]) -> dict[str, float]:
    """Seconds per part of one changed file."""
    names = ("start", "settled", "read", "decided", "pushed", "acked")
    times = [marks[name] for name in names]
    return dict(zip(PARTS, (b - a for a, b in itertools.pairwise(times)), strict=True))


def print_head() -> None:
    """Say what the columns are."""
    columns = "".join(f"{part + ' ms':>11}" for part in PARTS)
    sys.stdout.write(f"changed file  changes{columns}  without quiet  Envoy alone   ratio (target: at most {TARGET})\n")


def print_row(what: str, ours: list[dict[str, float]], bare: list[float]) -> None:
    """Print medians and the ratio; the first fifth is not counted."""
    skip = len(ours) // 5
    kept, alone = ours[skip:], statistics.median(bare[skip:])
    work = statistics.median(sum(each[part] for part in PARTS[1:]) for each in kept)
    medians = "".join(f"{1e3 * statistics.median(each[part] for each in kept):>11.2f}" for part in PARTS)
    ends = f"{1e3 * work:>12.2f} ms{1e3 * alone:>10.2f} ms{work / alone:>8.2f}"
    sys.stdout.write(f"{what:<12}{len(kept):>9}{medians}{ends}\n")
    sys.stdout.flush()


def main() -> None:
    """Read the arguments and measure."""
    given = [int(text) for text in sys.argv[1:]]
    changes, smi_objects = (*given, *(60, 1000)[len(given) :])
    with tempfile.TemporaryDirectory() as base:
        set_up_logging(logging.WARNING)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        asyncio.run(measure(Path(base), changes, smi_objects, port))


if __name__ == "__main__":
    main()
