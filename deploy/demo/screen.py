"""What the demo shows around its acts: the introduction, one verdict per act, and what to try next."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from story import Story

WIDTH = 100
"""Columns where the output is no terminal; nothing is cut in a terminal of this width."""
INTRODUCTION = """\
A bookshop of seven workloads runs on this machine, each behind a real Envoy. smihub configures all
Envoys from one folder of SMI files: who may call whom, by method and path, and how calls are split.
  partner ──────▶ api ──┬─ 90 % ─▶ api-v1 ──┬──▶ ledger (TCP)
  web ──┬──────────▲    └─ 10 % ─▶ api-v2 ──┤
        ├───────▶ orders ──┬────────────────┘        every arrow is mutual TLS between two Envoys,
        └───────▶ catalog ◀┘                         and every other call is denied
"""
NEXT = (
    ". .venv/bin/activate && cd deploy/examples",
    "smihub test bookshop.test.yaml --source bookshop",
    "smihub explain --source bookshop --from shop/web --to shop/api:80 --method DELETE --path /v1/books",
)
"""Commands to paste, in this order, at the root of the repository."""


@dataclass(frozen=True)
class Act:
    """A part of the demo: its title, and what plays it and says in one sentence what was proved."""

    title: str
    play: Callable[[Story], Awaitable[str]]


async def perform(story: Story, number: int, act: Act) -> None:
    """Play one act, and print one line that says PASS, or FAIL with what differed."""
    story.console.print(f"\n[bold]{number}. {act.title}[/bold]")
    before = len(story.failures)
    proved = await act.play(story)
    differed = story.failures[before:]
    if not differed:
        story.console.print(f"[bold green]PASS[/bold green]  {escape(proved)}")
        return
    story.console.print(f"[bold red]FAIL[/bold red]  not as SMI says: {escape('; '.join(differed))}")


def first_screen(console: Console) -> None:
    """What runs, and which calls SMI allows."""
    console.print(INTRODUCTION, end="", markup=False, soft_wrap=True)


def last_screen(console: Console, failures: list[str], seconds: float) -> None:
    """Whether everything was as SMI says, and the commands to try next."""
    console.print()
    if failures:
        console.print(f"[bold red]Not everything was as SMI says[/bold red]: {len(failures)} wrong ({seconds:.0f} s).")
        return
    console.print(f"[bold green]Everything was as SMI says[/bold green] ({seconds:.0f} s). Try it on the same example:")
    for command in NEXT:
        console.print(f"  {command}", markup=False, soft_wrap=True)
    console.print("Your own services: docs/first-hour-vm.md for VMs, docs/first-hour-istio.md for Istio.")
