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
from rich.table import Table
from rows import ROWS, Row
from world import World

SPLIT_REQUESTS = 2000
Z_999 = 3.2905
"""Two-sided 99.9 % quantile of the normal distribution."""


@dataclass
class Story:
    """What the acts share; `failures` collects every line that was not as SMI says."""

    world: World
    apps: Apps
    fleet: Fleet
    console: Console
    failures: list[str] = field(default_factory=list)

    def check(self, what: str, holds: bool) -> None:  # noqa: FBT001 - a check is a sentence and whether it holds
        """Print one checked sentence; remember it if it does not hold."""
        mark = "[green]yes[/green]" if holds else "[red]NO [/red]"
        self.console.print(f"  {mark} {what}")
        if not holds:
            self.failures.append(what)


# --------------------------------------------------------------------------- act 1: the table


async def table(story: Story) -> None:
    """Every row: SMI's verdict on the untouched folder, and what the Envoys and applications really did."""
    answers = smi_verdicts(story.world.pristine, ROWS)
    shown = new_table("What SMI says, and what real Envoys did")
    denied = 0
    for row, verdict in zip(ROWS, answers, strict=True):
        before = story.apps.seen.total()
        reply = await call(story.world, row)
        reached = story.apps.seen.total() - before
        denied += verdict == "deny"
        agrees = reply.allowed == (verdict == "allow") and bool(reached) == (verdict == "allow")
        if not agrees:
            story.failures.append(f"{row.title}: SMI says {verdict}, Envoy answered {_did(reply)}")
        colour = "green" if verdict == "allow" else "red"
        cells = (
            row.title,
            request_text(row),
            f"[{colour}]{verdict}[/{colour}]",
            _did(reply, row.protocol),
            reply.workload or "nobody",
        )
        shown.add_row(*cells, agreement(agrees))
    story.console.print(shown)
    story.check(f"{len(ROWS)} rows, {denied} of them denied; no denied request reached a backend", not story.failures)


def new_table(title: str) -> Table:
    """An empty table of calls."""
    shown = Table(title=title, title_justify="left", header_style="bold")
    for heading in ("call", "request", "SMI", "what Envoy did", "reached", ""):
        shown.add_column(heading, no_wrap=heading in {"SMI", ""})
    return shown


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
    if reply.status and protocol == "tcp":
        return "bytes served"
    return f"{reply.status}" if reply.status else reply.note


def agreement(holds: bool) -> str:  # noqa: FBT001 - whether both sides say the same
    """The last cell of a row."""
    return "[green]agrees[/green]" if holds else "[bold red]DIFFERS[/bold red]"


def request_text(row: Row) -> str:
    """What a row asks for, in one cell."""
    if row.protocol == "tcp":
        return f"tcp {row.target}:{row.port}"
    headers = "".join(f" {name}={value}" for name, value in row.headers)
    return f"{row.method} {row.target}:{row.port}{row.path}{headers}"


# --------------------------------------------------------------------------- act 2: the splits


async def splits(story: Story) -> None:
    """The weighted split within its 99.9 % interval, and the header split exactly."""
    story.console.print(f"\n[bold]Splits[/bold], {SPLIT_REQUESTS} requests through web's sidecar")
    counts = await _count(story.world, SPLIT_REQUESTS, ())
    _check_share(story, counts, "api-v2-1", 0.1, "api-canary 90/10")
    beta = await _count(story.world, 200, (("x-beta", "yes"),))
    story.check(f"api-beta (x-beta: yes): {dict(beta)}, all to version 2", beta == Counter({"api-v2-1": 200}))


def _check_share(story: Story, counts: Counter[str], workload: str, share: float, name: str) -> None:
    total = counts.total()
    margin = Z_999 * math.sqrt(total * share * (1 - share))
    low, high = total * share - margin, total * share + margin
    text = f"{name}: {dict(sorted(counts.items()))}; {workload} within {low:.0f} to {high:.0f} (99.9 %)"
    story.check(text, low <= counts[workload] <= high)


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


async def live(story: Story) -> None:
    """Edit a weight in the folder while a connection stays open."""
    story.console.print("\n[bold]Live edits[/bold] in the folder, on connections that stay open")
    await _edit_weight(story)


async def _edit_weight(story: Story) -> None:
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
    story.check(
        f"weights 90/10 -> 0/10: the kept-open connection went over to version 2 after {arrived:.2f} s", streak >= 40
    )


# --------------------------------------------------------------------------- act 4: without the hub


async def without_hub(story: Story) -> None:
    """Kill the hub; traffic goes on and stays denied where it was; start it again and change something."""
    story.console.print("\n[bold]Without the hub[/bold]")
    story.fleet.kill("hub")
    allowed = await http(Call(*story.world.upstream("web-1", "api"), path="/v1/books"))
    denied = await http(Call(*story.world.upstream("partner-1", "api"), path="/v1/books"))
    story.check(
        f"hub killed: web is served ({allowed.status}), the partner is not ({denied.status})",
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
        f"hub started again, the TrafficTargets are back: the partner is served after {time.monotonic() - started:.1f} s",
        reply.allowed,
    )
    await wait_for(story.world.inbound(), story.fleet)
