"""Act 4: TrafficTargets are removed while connections under them are open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from calls import Call, Connection, http
from rows import Row
from story import Story, add_row, new_table, print_table, smi_verdicts

LIMIT_S = 10.0
CUT_S = 3.0
"""About a second is what Envoy takes; a busy machine may add to it."""
ROWS: Sequence[Row] = (
    Row("partner's next request", "partner-1", "api", 80, path="/v1/books"),
    Row("partner's open stream", "partner-1", "api", 80, path="/v1/stream"),
    Row("api's open TCP connection", "api-v1-1", "ledger", 5432, protocol="tcp"),
)


@dataclass(frozen=True)
class Kept:
    """The three connections, opened and used while they were allowed."""

    plain: Connection
    stream: Connection
    tcp: Connection


async def revoke(story: Story) -> str:
    """Delete two TrafficTargets in the folder; the table says how each open connection ended."""
    kept = await _open(story)
    for file in ("access-partner.yaml", "access-ledger.yaml"):
        (story.world.folder / file).unlink()
    started = time.monotonic()
    did = await asyncio.gather(
        _denied(kept.plain, story, started), _last_byte(kept.stream, started), _cut(kept.tcp, started)
    )
    verdicts = await asyncio.to_thread(smi_verdicts, story.world.folder, ROWS)
    shown = new_table()
    for row, verdict, (what, ended) in zip(ROWS, verdicts, did, strict=True):
        agrees = ended and verdict == "deny"
        if not agrees:
            story.failures.append(f"{row.title}: SMI says {verdict}, {what}")
        add_row(shown, row, verdict, what, agrees=agrees)
    print_table(story.console, shown)
    others = await http(Call(*story.world.upstream("web-1", "api"), path="/v1/books"))
    story.check(f"web is still allowed ({others.status})", others.allowed)
    return "open connections lost their access too; the others kept theirs"


async def _open(story: Story) -> Kept:
    partner, ledger = story.world.upstream("partner-1", "api"), story.world.upstream("api-v1-1", "ledger")
    kept = Kept(await Connection.open(*partner), await Connection.open(*partner), await Connection.open(*ledger))
    first = await kept.plain.request(Call(*partner, path="/v1/books"))
    await kept.stream.request(Call(*partner, path="/v1/stream"))
    banner = await kept.tcp.reader.readline()
    story.check(
        "partner and api are allowed; then access-partner.yaml and access-ledger.yaml are deleted",
        first.allowed and bool(banner),
    )
    return kept


async def _denied(connection: Connection, story: Story, started: float) -> tuple[str, bool]:
    """Ask every 10 ms until the answer is 403, then once more; the application sees neither."""
    reading = Call("", 0, path="/v1/books")
    reply = await connection.request(reading)
    while reply.allowed and time.monotonic() - started < LIMIT_S:
        await asyncio.sleep(0.01)
        reply = await connection.request(reading)
    after, seen = time.monotonic() - started, story.apps.seen.total()
    again = await connection.request(reading)
    connection.close()
    unseen = story.apps.seen.total() == seen
    return f"{reply.status} after {after:.2f} s", unseen and (reply.status, again.status) == (403, 403)


async def _last_byte(stream: Connection, started: float) -> tuple[str, bool]:
    """Read a stream to its end; when its last byte came."""
    last = started
    try:
        async with asyncio.timeout(LIMIT_S):
            while await stream.reader.read(4096):
                last = time.monotonic()
    except TimeoutError:
        return "still open", False
    except ConnectionError:
        pass
    return f"cut after {last - started:.2f} s", last - started < CUT_S


async def _cut(tcp: Connection, started: float) -> tuple[str, bool]:
    """Say a line every 20 ms until no echo comes back."""
    last = started
    try:
        async with asyncio.timeout(LIMIT_S):
            while True:
                tcp.writer.write(b"still here\n")
                if not await tcp.reader.readline():
                    break
                last = time.monotonic()
                await asyncio.sleep(0.02)
    except TimeoutError:
        return "still open", False
    except ConnectionError:
        pass
    return f"cut after {last - started:.2f} s", last - started < CUT_S
