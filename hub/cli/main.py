"""The command line: `smihub VERB`; each verb is one module beside this one, or a plugin's (hub.cli.verbs)."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Annotated

import typer

from hub.cli import (
    adapters,
    adopt,
    apply,
    approve,
    check,
    doctor,
    explain,
    features,
    history,
    init,
    matrix,
    pause,
    plan,
    release,
    render,
    run,
    schema,
    show_plan,
    status,
    test,
)
from hub.cli.context import Exit, fail
from hub.cli.streams import drop_unwritten, open_streams
from hub.cli.verbs import Verbs
from hub.cli.version import show_version

app = typer.Typer(
    name="smihub",
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    epilog="Start with [bold]smihub init[/bold] in a folder of SMI YAML, then plan, apply and run. Exit codes: 0 nothing to do, 1 error, 2 changes, 3 refused.",
)
for _module in (
    init,
    check,
    plan,
    apply,
    show_plan,
    approve,
    render,
    run,
    explain,
    test,
    matrix,
    status,
    history,
    adopt,
    release,
    pause,
    adapters,
    features,
    schema,
    doctor,
):
    _module.register(app)
_PR_SET_DUMPABLE = 4


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """One hub that makes every service mesh of a company obey one set of SMI rules."""


def main() -> None:
    """Entry point of the `smihub` command."""
    _keep_memory_private()
    open_streams()
    if code := _ended():
        drop_unwritten()
    sys.exit(code)


def _ended() -> str | int | None:
    """Run the command to its end; the exit code."""
    try:
        app()
    except OSError as error:  # help or the version, to a full disk; verbs tell their own
        fail(f"output: {(error.strerror or str(error)).lower()}")
        return Exit.ERROR
    except SystemExit as ended:
        # Click ends a wrong option with 2, which is our word for "there are changes".
        code = ended.code
        return Exit.ERROR if code == Exit.CHANGES and not isinstance(code, Exit) else code
    return Exit.SAME


def _keep_memory_private() -> None:
    """No core dump, and no other process of this user that looks in: memory holds private keys.

    The limit alone does not stop dumps that the kernel pipes to a program (Linux, core(5) and prctl(2)).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
