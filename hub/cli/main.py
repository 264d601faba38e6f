"""The command line: `smihub VERB`; each verb is one module beside this one, or a plugin's (hub.cli.verbs)."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
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
from hub.cli.context import Exit, ending, fail
from hub.cli.streams import drop_unwritten, open_streams
from hub.cli.verbs import Verbs
from hub.cli.version import show_version
from hub.process import collect_seldom, keep_memory_private

app = typer.Typer(
    name="smihub",
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    epilog="Start with [bold]smihub init[/bold] in a folder of SMI YAML, then plan, apply and run. Exit codes: 0 nothing to do, 1 error, 2 changes, 3 refused.",
)
_VERBS: Mapping[str, tuple[Callable[..., Exit], str]] = {
    "init": (init.init, "Examples: `smihub init --source manifests/`, `smihub init --adapter istio`"),
    "check": (
        check.check,
        "Examples: `smihub check` in a pipeline before merging, `smihub check -o sarif` for code scanning",
    ),
    "plan": (plan.plan, "Examples: `smihub plan`, `smihub plan --save review.plan`"),
    "apply": (
        apply.apply,
        "Examples: `smihub apply`, in a pipeline `smihub apply --yes`, a reviewed plan `smihub apply review.plan`",
    ),
    "show": (show_plan.show, "Examples: `smihub show review.plan`, `smihub show review.plan -o markdown`"),
    "approve": (approve.approve, 'Example: `smihub approve 3f2a9c417bd0 --why "shop moves to the new accounts"`'),
    "render": (render.render, "Examples: `smihub render vms`, `smihub render vms --unit access/shop/api`"),
    "run": (run.run, "Examples: `smihub run`, `smihub run --serve-only`"),
    "explain": (
        explain.explain,
        "Examples: `smihub explain --from shop/web --to shop/api:80 --path /v1/books`, `smihub explain --batch requests.jsonl --source manifests/`",
    ),
    "test": (
        test.run_tests,
        "Examples: `smihub test access.test.yaml`, in a pipeline `smihub test --junit report.xml --source manifests/ tests/*.yaml`",
    ),
    "matrix": (
        matrix.matrix,
        "Examples: `smihub matrix`, `smihub matrix --from shop/web --to shop/api`, `smihub matrix -o html > matrix.html`",
    ),
    "status": (status.status, "Examples: `smihub status --mesh vms`, `smihub status -o json`, `smihub status --watch`"),
    "history": (history.history, "Examples: `smihub history --limit 20`, `smihub history --mesh vms -o json`"),
    "adopt": (
        adopt.adopt,
        "Examples: `smihub adopt istio` (what could be adopted), `smihub adopt istio AuthorizationPolicy/shop/smihub-api`",
    ),
    "release": (
        release.release,
        "Examples: `smihub release istio access/shop/api`, `smihub release istio access/shop/api --delete`",
    ),
    "pause": (pause.pause, "Example: `smihub pause istio VirtualService/shop/smihub-api`"),
    "resume": (pause.resume, "Example: `smihub resume istio VirtualService/shop/smihub-api`"),
    "features": (features.features, "Example: `smihub features -o json`"),
    "schema": (
        schema.schema,
        "Example: `smihub schema config > .smihub.schema.json`, which the first line of smihub.yaml refers to",
    ),
    "doctor": (doctor.doctor, "Example: `smihub doctor` before the first run on a machine"),
}
"""In the order of `smihub --help`, each with the examples at the end of its own help."""
for _name, (_verb, _examples) in _VERBS.items():
    app.command(_name, epilog=re.sub(r"`(.*?)`", r"[bold]\1[/bold]", _examples))(ending(_verb))
app.command("hands-off", hidden=True)(ending(pause.hands_off))
adapters.register(app)


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=show_version, help="Show the version and exit.")
    ] = False,
) -> None:
    """One hub that makes every service mesh of a company obey one set of SMI rules."""


def main() -> None:
    """Entry point of the `smihub` command."""
    keep_memory_private()
    collect_seldom()
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
