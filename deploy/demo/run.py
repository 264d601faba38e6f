"""`make demo`: the main job on one machine. Real Envoys obey a folder of SMI, and every claim is checked on the wire.

Exit 0 if everything was as SMI says, 1 if anything differed (`MUTATE=1` breaks one rule on purpose and must end so).
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

from apps import Apps
from fleet import Fleet, wait_for
from istio import istio
from revocation import revoke
from rich.console import Console
from story import Story, live, splits, table, without_hub
from world import EXAMPLE, MUTATION, World

LIMIT_S = 90.0


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


async def play(console: Console, base: Path) -> list[str]:
    """All acts; gives what was not as SMI says."""
    world, apps, fleet = World.make(base), Apps(), Fleet(base)
    try:
        console.print(f"[bold]smihub demo[/bold]: {len(world.workloads)} workloads, a real Envoy each, on loopback")
        with console.status("init, plan, apply, bootstrap, then the hub and the Envoys ..."):
            await start(world, apps, fleet)
        if os.environ.get("MUTATE") == "1":
            console.print(
                f'[yellow]MUTATE=1[/yellow]: the hub reads {MUTATION[0]} with "{MUTATION[2]}" for "{MUTATION[1]}"'
            )
        story = Story(world, apps, fleet, console)
        for act in (table, splits, live, revoke, without_hub, istio):
            await act(story)
        return story.failures
    finally:
        fleet.stop()
        await apps.stop()


def last_screen(console: Console, failures: list[str], seconds: float) -> None:
    """What was shown, and what to do next."""
    console.print()
    if failures:
        console.print(f"[bold red]{len(failures)} things were not as SMI says[/bold red]")
        for failure in failures:
            console.print(f"  - {failure}")
        return
    console.print(f"[bold green]Everything was as SMI says[/bold green] ({seconds:.0f} s).")
    console.print(
        "What changed on the way: the weights of the API went from 90/10 to 0/10, the partner and the\n"
        "ledger lost and regained their TrafficTargets, the hub was killed and came back; no Envoy was restarted.\n"
        "For Istio nothing was started: its objects were planned and rendered.\n\n"
        "Now your own folder:\n"
        "  .venv/bin/smihub explain --batch requests.jsonl --source YOUR/FOLDER   who may call what, without any set-up\n"
        "  cd YOUR/FOLDER && smihub init && smihub plan                           what would be written for your VMs\n"
        f"The example is in {EXAMPLE.relative_to(EXAMPLE.parents[2])}."
    )


def main() -> int:
    """Play the demo within its time limit, in a folder of its own that is removed afterwards."""
    console = Console(width=None if sys.stdout.isatty() else 170)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="smihub-demo-") as base:
        try:
            failures = asyncio.run(asyncio.wait_for(play(console, Path(base)), LIMIT_S))
        except (RuntimeError, TimeoutError, OSError) as error:
            console.print(f"[red]error[/red]: {str(error) or f'not finished within {LIMIT_S:.0f} s'}", markup=True)
            return 1
    last_screen(console, failures, time.monotonic() - started)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
