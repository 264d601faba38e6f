"""The acts of the demo, each on real Envoys: the table, the splits, live edits, and life without the hub."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apps import Apps
from calls import Call, Connection, Reply, http, tcp
from fleet import Fleet, smihub, wait_for
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rows import BRIEF, ROWS, Row
from world import World

SPLIT_REQUESTS = 2000
Z_999 = 3.2905
"""Two-sided 99.9 % quantile of the normal distribution."""


@dataclass
class Story:
    """What the acts share; `full` prints everything, `failures` collects what was not as SMI says."""

    world: World
    apps: Apps
    fleet: Fleet
    console: Console
    full: bool = False
    failures: list[str] = field(default_factory=list)

    def check(self, what: str, holds: bool) -> None:  # noqa: FBT001 - a check is a sentence and whether it holds
        """Print one checked sentence if it holds; otherwise remember it as a failure."""
        if holds:
            self.console.print(f"  {escape(what)}")
        else:
            self.failures.append(f'"{what}" does not hold')


# --------------------------------------------------------------------------- act 1: the table


async def table(story: Story) -> str:
    """Every row: SMI's verdict on the untouched folder, and what the Envoys and applications really did."""
    answers = smi_verdicts(story.world.pristine, ROWS)
    shown = new_table()
    for row, verdict in zip(ROWS, answers, strict=True):
        before = story.apps.seen.total()
        reply = await call(story.world, row)
        reached = story.apps.seen.total() - before
        agrees = reply.allowed == (verdict == "allow") and bool(reached) == (verdict == "allow")
        did = _did(reply, row.protocol) + (
            "" if reply.allowed == bool(reached) else f", {reached} reached the application"
        )
        if not agrees:
            story.failures.append(f"{row.title}: SMI says {verdict}, Envoy answered {did}")
        if story.full or row in BRIEF or not agrees:
            add_row(shown, row, verdict, did, agrees=agrees)
    print_table(story.console, shown)
    more = "" if story.full else " (DEMO=full shows all)"
    return f"{len(ROWS)} requests{more}, {answers.count('deny')} denied; no denied request reached an application"


def new_table() -> Table:
    """An empty table of calls."""
    shown = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("call", "request", "SMI", "Envoy", "same"):
        shown.add_column(heading, no_wrap=heading in {"SMI", "same"}, overflow="fold")
    return shown


def print_table(console: Console, shown: Table) -> None:
    """Print it as far to the right as the sentences below it."""
    console.print(Padding(shown, (0, 0, 0, 2)))


def add_row(shown: Table, row: Row, verdict: str, did: str, *, agrees: bool) -> None:
    """One call; red is only what differs from SMI."""
    said = "[green]allow[/green]" if verdict == "allow" else f"[yellow]{verdict}[/yellow]"
    same = "[green]yes[/green]" if agrees else "[bold red]NO[/bold red]"
    shown.add_row(escape(row.title), escape(request_text(row)), said, escape(did), same)


def smi_verdicts(folder: Path, rows: Sequence[Row]) -> list[str]:
    """SMI's own verdict on every row, by `smihub explain --batch` on a folder of SMI YAML."""
    questions = folder.parent / "questions.jsonl"
    questions.write_text("".join(json.dumps(row.question()) + "\n" for row in rows))
    done = smihub(folder, "explain", "--batch", str(questions), "--source", str(folder))
    if done.returncode:
        raise RuntimeError(f"smihub explain failed:\n{done.stderr}{done.stdout[-500:]}")
    return [json.loads(line)["smi"]["verdict"] for line in done.stdout.splitlines()]


async def call(world: World, row: Row) -> Reply:
    """Make the call of a row over the wire."""
    address, port = world.where(row)
    tls = world.tls(row.caller)
    if row.protocol == "tcp":
        return await tcp(address, port, tls)
    return await http(Call(address, port, row.method, row.path, row.headers), tls)


def _did(reply: Reply, protocol: str = "http") -> str:
    if not reply.status:
        return reply.note
    status = "bytes" if protocol == "tcp" else str(reply.status)
    return f"{status} by {reply.workload}" if reply.workload else status


def request_text(row: Row) -> str:
    """What a row asks for, in one cell."""
    if row.protocol == "tcp":
        return f"tcp {row.target}:{row.port}"
    headers = "".join(f" {name}={value}" for name, value in row.headers)
    return f"{row.method} {row.target}:{row.port}{row.path}{headers}"


# --------------------------------------------------------------------------- act 2: the splits


async def splits(story: Story) -> str:
    """The weighted split within its 99.9 % interval, and the header split exactly."""
    counts = await _count(story.world, SPLIT_REQUESTS, ())
    _check_share(story, counts, "api-v2-1", 0.1)
    beta = await _count(story.world, 200, (("x-beta", "yes"),))
    story.check(f"TrafficSplit api-beta, header x-beta: yes: {_text(beta)}", beta == Counter({"api-v2-1": 200}))
    return f"{SPLIT_REQUESTS + 200} requests of web to the API were split by weight and by header"


def _check_share(story: Story, counts: Counter[str], workload: str, share: float) -> None:
    total = counts.total()
    margin = Z_999 * math.sqrt(total * share * (1 - share))
    text = f"TrafficSplit api-canary, 90/10: {_text(counts)}"
    low, high = total * share - margin, total * share + margin
    story.check(f"{text} (expected: {low:.0f} to {high:.0f})", low <= counts[workload] <= high)


def _text(counts: Counter[str]) -> str:
    return ", ".join(f"{count} to {workload}" for workload, count in sorted(counts.items()))


async def _count(world: World, requests: int, headers: tuple[tuple[str, str], ...]) -> Counter[str]:
    """Which workload answered how often, over eight kept-open connections."""
    lanes = 8
    results = await asyncio.gather(*(_lane(world, requests // lanes, headers) for _ in range(lanes)))
    return sum(results, Counter())


async def _lane(world: World, requests: int, headers: tuple[tuple[str, str], ...]) -> Counter[str]:
    address, port = world.upstream("web-1", "api")
    connection = await Connection.open(address, port)
    counts: Counter[str] = Counter()
    for _ in range(requests):
        counts[(await connection.request(Call(address, port, path="/v1/books", headers=headers))).workload] += 1
    connection.close()
    return counts


# --------------------------------------------------------------------------- act 3: live edits


async def live(story: Story) -> str:
    """Edit a weight in the folder while a connection stays open."""
    address, port = story.world.upstream("web-1", "api")
    kept = await Connection.open(address, port)
    await kept.request(Call(address, port, path="/v1/books"))
    split = story.world.folder / "split-api.yaml"
    text = split.read_text().replace("{service: api-v1, weight: 90}", "{service: api-v1, weight: 0}")
    started = time.monotonic()
    split.write_text(text)
    streak, arrived = 0, 0.0
    while streak < 40 and time.monotonic() - started < 10:
        reply = await kept.request(Call(address, port, path="/v1/books"))
        streak = streak + 1 if reply.workload == "api-v2-1" else 0
        if streak <= 1:
            arrived = time.monotonic() - started
    kept.close()
    story.check(f"weights 90/10 -> 0/10 in split-api.yaml: all to version 2 after {arrived:.2f} s", streak >= 40)
    return "the change arrived on a connection that stayed open; no Envoy was restarted"


# --------------------------------------------------------------------------- act 5: without the hub


async def without_hub(story: Story) -> str:
    """Kill the hub; traffic goes on and stays denied where it was; start it again and change something."""
    story.fleet.kill("hub")
    allowed = await http(Call(*story.world.upstream("web-1", "api"), path="/v1/books"))
    denied = await http(Call(*story.world.upstream("partner-1", "api"), path="/v1/books"))
    story.check(
        f"hub killed: web is still allowed ({allowed.status}), the partner still denied ({denied.status})",
        allowed.allowed and denied.status == 403,
    )
    story.world.start_hub(story.fleet)
    started = time.monotonic()
    folder: Mapping[str, str] = story.world.original
    for file in ("access-partner.yaml", "access-ledger.yaml"):
        (story.world.folder / file).write_text(folder[file])
    reply = denied
    while not reply.allowed and time.monotonic() - started < 20:
        reply = await http(Call(*story.world.upstream("partner-1", "api"), path="/v1/books"))
        await asyncio.sleep(0.05)
    story.check(
        f"hub started, both files restored: the partner is allowed again after {time.monotonic() - started:.1f} s",
        reply.allowed,
    )
    await wait_for(story.world.inbound(), story.fleet)
    return "the Envoys enforced SMI without the hub, and followed it again once it was back"
