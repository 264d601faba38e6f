"""`make demo`: the main job on one machine. Real Envoys obey a folder of SMI, and every claim is checked on the wire.

Exit 0 if everything was as SMI says, 1 if anything differed (`MUTATE=1` breaks one rule on purpose and must end so).
`DEMO=full` prints every request and the whole plan for Istio.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from io import TextIOWrapper
from pathlib import Path

from apps import Apps
from fleet import Fleet, wait_for
from istio import istio
from meshes import meshes
from revocation import revoke
from rich.console import Console
from rich.markup import escape
from screen import WIDTH, Act, first_screen, last_screen, perform
from story import Story, live, splits, table, without_hub
from world import MUTATION, World

LIMIT_S = 300.0
ACTS = (
    Act("Access: what SMI says, and what the Envoys did", table),
    Act("Traffic splits", splits),
    Act("A weight is edited while a connection is open", live),
    Act("Access is revoked while connections are open", revoke),
    Act("The hub is killed and started again", without_hub),
    Act("The same folder for Istio (nothing is started)", istio),
    Act("The same requests on every mesh, by what its objects mean there (nothing is started)", meshes),
)


async def start(world: World, apps: Apps, fleet: Fleet) -> None:
    """Start the applications, the hub and the Envoys, and wait until every sidecar listens."""
    for name, address, port, kind in world.applications():
        await (apps.start_tcp if kind == "tcp" else apps.start_http)(name, address, port)
    await asyncio.to_thread(world.prepare)
    if os.environ.get("MUTATE") == "1":
        world.mutate()
    world.start_hub(fleet)
    world.start_envoys(fleet)
    await wait_for(world.inbound() + world.outbound(), fleet)


async def play(console: Console, base: Path, *, full: bool) -> list[str]:
    """All acts; gives what was not as SMI says."""
    world, apps, fleet = World.make(base), Apps(), Fleet(base)
    try:
        first_screen(console)
        with console.status("smihub init, plan, apply, bootstrap; starting the hub and the Envoys ..."):
            await start(world, apps, fleet)
        if os.environ.get("MUTATE") == "1":
            file, good, bad = MUTATION
            console.print(f"\n[yellow]MUTATE=1[/yellow]: the hub reads {file} with {escape(bad)} for {escape(good)}")
        story = Story(world, apps, fleet, console, full)
        for number, act in enumerate(ACTS, 1):
            await perform(story, number, act)
        return story.failures
    finally:
        fleet.stop()
        await apps.stop()


def new_console() -> Console:
    """As wide as the terminal; characters that its encoding lacks are replaced."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)


def main() -> int:
    """Play the demo within its time limit, in a folder of its own that is removed afterwards."""
    console = new_console()
    detail = os.environ.get("DEMO", "")
    if detail not in {"", "full"}:
        console.print(f'[red]error[/red]: invalid value "{escape(detail)}" of DEMO; expected "full", or leave it out')
        return 1
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="smihub-demo-") as base:
        try:
            failures = asyncio.run(asyncio.wait_for(play(console, Path(base), full=detail == "full"), LIMIT_S))
        except (RuntimeError, TimeoutError, OSError) as error:
            console.print("[red]error[/red]:", escape(str(error) or f"not finished within {LIMIT_S:.0f} s"))
            return 1
    last_screen(console, failures, time.monotonic() - started)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
