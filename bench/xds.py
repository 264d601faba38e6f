"""From a changed file to the ACK of a real Envoy: `python bench/xds.py [changes] [SMI objects]`.

The hub runs as `smihub run` does (watcher, loop, state file, ADS server) and serves one real Envoy, the sidecar of a
Workload. Three changes are measured: the weight of a TrafficSplit whose Service the Workload calls, in a file of that one
object; the same in a file with all 15 objects of the application; and one match more in an HTTPRouteGroup of about 100,
which one TrafficTarget grants to three callers of the Workload. The baseline, in turns with it in the same run, is Envoy
alone: the same table with another weight, or another permission, made beforehand, from the moment it is handed to the stream to its ACK.

Printed apart is the time until the file counts as written to its end: nothing about it may change for 100 ms. What was
parsed in that time is read again at its end, and `read` is from there. Medians, and beside the ratio its quartiles: the
ratios of each change and the push after it.
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
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import world
from msgspec.structs import replace

from adapters.vm import wire
from adapters.vm.bootstrap.enrol import Enrolment, enrol
from adapters.vm.resource import RDS, Resource, version_of
from adapters.vm.serve.server import AdsServer
from adapters.vm.serve.sink import XdsSink
from hub.events import Upsert
from hub.log import set_up_logging
from hub.reconcile.domains import Domains
from hub.reconcile.hub import Hub
from hub.reconcile.loop import Loop
from hub.sources.directory import DirectorySource

TARGET = 5.0
CALLER = "team-0/caller"
SPLIT_TABLES = ("out/team-0/app-0/80", f"out/team-0/app-{world.TEAMS}/80")
MATCHES = 100
_WORKLOAD = """\
apiVersion: smihub.io/v1alpha1
kind: Workload
metadata: {name: caller, namespace: team-0}
spec:
  serviceAccount: caller
  addresses: [127.0.0.1]
  ports: [{port: %d, appProtocol: http, appPort: 1}]
  upstreams:
  - {service: app-0, port: 80, address: 127.0.0.1, localPort: %d, shared: host}
  - {service: app-50, port: 80, address: 127.0.0.1, localPort: %d, shared: host}
---
apiVersion: access.smi-spec.io/v1alpha3
kind: TrafficTarget
metadata: {name: caller, namespace: team-0}
spec:
  destination: {kind: ServiceAccount, name: caller, namespace: team-0}
  rules: [{kind: HTTPRouteGroup, name: many}]
  sources:
  - {kind: ServiceAccount, name: app-1, namespace: team-1}
  - {kind: ServiceAccount, name: app-2, namespace: team-2}
  - {kind: ServiceAccount, name: app-3, namespace: team-3}
"""
_GROUP = """\
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: many, namespace: team-0}
spec:
  matches:
"""
PARTS = ("quiet", "read", "decide", "write", "envoy")


def group(matches: int) -> str:
    """An HTTPRouteGroup of so many matches."""
    lines = (
        f'  - {{name: m{n}, pathRegex: "/v1/things-{n}/[0-9a-f]+", methods: [GET, PUT]}}\n' for n in range(matches)
    )
    return _GROUP + "".join(lines)


def other_weight(table: Any, turn: int) -> None:
    """Another weight in a table of routes."""
    table.virtual_hosts[0].routes[0].route.weighted_clusters.clusters[0].weight.value += 1 + turn


def other_permission(table: Any, turn: int) -> None:
    """One permission more in a table of permissions."""
    (name,) = table.virtual_hosts[0].typed_per_filter_config
    packed = table.virtual_hosts[0].typed_per_filter_config[name]
    content: Any = wire.unpack(packed)
    for policy in content.rbac.rules.policies.values():
        policy.permissions.append(policy.permissions[turn % 50])
    packed.CopyFrom(wire.any_of(content))


class Case(NamedTuple):
    """One kind of change: the file, its text by turn, the table that Envoy gets, and how the baseline alters that."""

    what: str
    file: str
    text: Callable[[int], str]
    table: str
    alter: Callable[[Any, int], None]


class Clocked:
    """One running hub with marks: when its reader, its loop and its server did what."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.table = ""  # whose ACK counts
        self.marks: dict[str, float] = {}
        self.acked = asyncio.Event()
        (source,) = hub.intake.sources.values()
        assert isinstance(source, DirectorySource)
        self.source = source
        sink: Any = hub.meshes[0].sink
        self.sink = sink
        self.instead: Resource | None = None
        self._steps, self._write = self.source.steps, self.sink.write_all
        self._heard, self._snapshot = self.sink.heard, self.sink.snapshot
        # The marks hang on four methods of these very objects; what they do stays what it is.
        vars(self.source)["steps"] = self.steps
        vars(self.sink).update(write_all=self.write, heard=self.heard, snapshot=self.snapshot)

    @property
    def server(self) -> AdsServer:
        """The ADS server of the running sink."""
        found: AdsServer = self.sink._server  # noqa: SLF001 - only its `wake` is used, as the sink does
        return found

    def follow(self, table: str) -> None:
        """Let the ACK of the table count whose name starts so."""
        self.instead = None
        (self.table,) = (name for name in self._snapshot(CALLER)[RDS] if name.startswith(table))

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
            if each.name == self.table and each.type_url == RDS:
                self.mark("acked")
                self.acked.set()

    def snapshot(self, workload: str) -> Any:
        """What the server is to send: what the hub says, or the table of `push` instead of the hub's."""
        found = self._snapshot(workload)
        if self.instead is None:
            return found
        return {**found, RDS: {**found[RDS], self.table: self.instead}}

    async def push(self, alter: Callable[[Any, int], None], turn: int) -> None:
        """Have the stream send the same table, altered, past the hub."""
        known = self._snapshot(CALLER)[RDS][self.table]
        packed = wire.Any.FromString(known.body)
        table: Any = wire.parse("RouteConfiguration", packed.value)
        alter(table, turn)
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
async def running(base: Path, smi_objects: int, ports: list[int]) -> AsyncIterator[Clocked]:
    """A company, applied and served by a running hub, with one Envoy that has accepted everything."""
    write(base / "manifests", smi_objects)
    (base / "manifests" / "caller.yaml").write_text(_WORKLOAD % tuple(ports))
    (base / "smihub.yaml").write_text(world.CONFIG)
    first = Domains.open(base / "smihub.yaml").hubs[0]
    first.read()
    await first.apply(first.meshes[0], (await first.plan(first.meshes[0])).plan)
    sink = first.meshes[0].sink
    assert isinstance(sink, XdsSink)
    command = enrol(sink, Enrolment(CALLER, base / "envoy"))
    await first.close()
    clocked = Clocked(Domains.open(base / "smihub.yaml").hubs[0])
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


def cases(apps: int, port: int) -> tuple[Case, ...]:
    """What is measured."""
    return (
        Case("weight, 1 object", "split.yaml", lambda turn: world.split(0, 200 + turn), SPLIT_TABLES[0], other_weight),
        Case(
            "weight, 15 objects",
            f"app-{world.TEAMS}.yaml",
            lambda turn: world.app(world.TEAMS, apps, 200 + turn),
            SPLIT_TABLES[1],
            other_weight,
        ),
        Case(
            "100 matches",
            "many.yaml",
            lambda turn: group(MATCHES + turn),
            f"in/team-0/caller/{port}/http",
            other_permission,
        ),
    )


def write(manifests: Path, smi_objects: int) -> None:
    """The company, with the TrafficSplit of its first application in a file of its own, and the group of many matches."""
    apps = world.write(manifests, smi_objects)
    (manifests / "app-0.yaml").write_text(world.app(0, apps).removesuffix("---\n" + world.split(0, 90)))
    (manifests / "split.yaml").write_text(world.split(0, 91))
    (manifests / "many.yaml").write_text(group(MATCHES - 1))


async def measure(base: Path, changes: int, smi_objects: int) -> None:
    """Take turns between a changed file and a bare push, kind by kind."""
    print_head()
    ports = free_ports(3)
    async with running(base, smi_objects, ports) as clocked:
        for case in cases(smi_objects // world.SMI_PER_APP, ports[0]):
            clocked.follow(case.table)
            ours: list[dict[str, float]] = []
            bare: list[float] = []
            for turn in range(changes):
                path = base / "manifests" / case.file
                ours.append(parts_of(await clocked.timed(asyncio.to_thread(edit, path, case.text(turn)))))
                marks = await clocked.timed(clocked.push(case.alter, turn))
                bare.append(marks["acked"] - marks["pushed"])
            print_row(case.what, ours, bare)


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]


def parts_of(marks: dict[str, float]) -> dict[str, float]:
    """Seconds per part of one changed file."""
    names = ("start", "settled", "read", "decided", "pushed", "acked")
    times = [marks[name] for name in names]
    return dict(zip(PARTS, (b - a for a, b in itertools.pairwise(times)), strict=True))


def print_head() -> None:
    """Say what the columns are."""
    columns = "".join(f"{part + ' ms':>10}" for part in PARTS)
    sys.stdout.write(
        f"changed file       {columns}  without quiet  Envoy alone   ratio (quartiles; target: at most {TARGET})\n"
    )


def print_row(what: str, ours: list[dict[str, float]], bare: list[float]) -> None:
    """Print medians, and the ratio with its quartiles; the first fifth is not counted."""
    skip = len(ours) // 5
    kept, alone = ours[skip:], bare[skip:]
    work = [sum(each[part] for part in PARTS[1:]) for each in kept]
    medians = "".join(f"{1e3 * statistics.median(each[part] for each in kept):>10.2f}" for part in PARTS)
    ends = f"{1e3 * statistics.median(work):>12.2f} ms{1e3 * statistics.median(alone):>10.2f} ms"
    ratio = statistics.median(work) / statistics.median(alone)
    low, _, high = statistics.quantiles((one / other for one, other in zip(work, alone, strict=True)), n=4)
    sys.stdout.write(f"{what:<19}{medians}{ends}{ratio:>8.2f} ({low:.2f} to {high:.2f})\n")
    sys.stdout.flush()


def main() -> None:
    """Read the arguments and measure."""
    given = [int(text) for text in sys.argv[1:]]
    changes, smi_objects = (*given, *(60, 1000)[len(given) :])
    assert smi_objects > world.TEAMS * world.SMI_PER_APP, "the second application of the first team has to be there"
    with tempfile.TemporaryDirectory() as base:
        set_up_logging(logging.WARNING)
        asyncio.run(measure(Path(base), changes, smi_objects))


if __name__ == "__main__":
    main()
