"""The verbs of the command: the hub's own, and those that plugins bring (hub.spec.CommandSpec)."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, get_args

import typer
from typer.core import TyperGroup

from hub.api import CommandMesh, CommandSpec
from hub.cli.completion import KINDS
from hub.cli.context import clean_errors, note, run_now
from hub.plugins import LoadProblem, installed_plugins
from hub.reconcile.domains import Domains


class VerbGroup(TyperGroup):
    """Verbs under one word, such as `smihub adapters list`."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb of this name, or None."""
        found = super().get_command(ctx, cmd_name)
        if found is not None:
            _show_plainly(found.get_params(ctx))
        return found

    def get_params(self, ctx: Any) -> Any:
        """The options of the group itself."""
        found = super().get_params(ctx)
        _show_plainly(found)
        return found


class Verbs(VerbGroup):
    """The hub's verbs, then those of plugins, which are loaded where a verb is not the hub's or all are listed."""

    _problems: Sequence[LoadProblem] | None = None

    def list_commands(self, ctx: Any) -> list[str]:
        """Every verb; plugins that could not be used are told, but not to a shell that completes a word."""
        problems = self._load()
        if not ctx.resilient_parsing:
            _report(problems)
        return super().list_commands(ctx)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The verb of this name, or None; then plugins that could not be used are told, for one of them may have it."""
        problems = () if cmd_name in self.commands else self._load()
        found = super().get_command(ctx, cmd_name)
        if found is None and not ctx.resilient_parsing:
            _report(problems)
        return found

    def _load(self) -> Sequence[LoadProblem]:
        if self._problems is not None:
            return self._problems
        plugins = installed_plugins()
        problems = list(plugins.problems)
        for name, brought in plugins.commands.items():
            if name in self.commands:
                problems.append(brought.problem(f'"{name}" is a command of smihub itself'))
                continue
            try:
                self.add_command(_command(brought.spec), name)
            except Exception as error:  # noqa: BLE001 - what typer makes of a stranger's function may raise anything
                problems.append(brought.problem(f'command "{name}": {error}'))
        self._problems = problems
        return problems


def _show_plainly(parameters: Iterable[Any]) -> None:
    """Let flags show nothing, options what they name or take (`--mesh NAME`), arguments their name alone."""
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            parameter.metavar = parameter.metavar or parameter.name.upper()
            shown = ""
        elif parameter.is_flag:
            shown = ""
        else:
            shown = parameter.metavar = parameter.metavar or parameter.name.upper()
        vars(parameter)["display_type_rich"] = _always(shown)


def _always(text: str) -> Any:
    return lambda *_, **__: text


def _report(problems: Sequence[LoadProblem]) -> None:
    for problem in problems:
        note(str(problem))


def _command(spec: CommandSpec) -> Any:
    """The verb as typer has it: its own parameters without the context, which the hub gives. Raises what typer raises."""
    if not inspect.iscoroutinefunction(spec.run):
        raise TypeError("run is not an async function")
    signature = inspect.signature(spec.run, eval_str=True)
    _, *own = signature.parameters.values()
    for name, kind in spec.completes.items():
        for declared in get_args(signature.parameters[name].annotation)[1:]:
            declared.autocompletion = KINDS[kind]

    def run(**given: Any) -> None:
        with clean_errors():
            run_now(spec.run(_Context(), **given))

    run.__doc__ = spec.run.__doc__
    vars(run)["__signature__"] = signature.replace(parameters=own)
    single = typer.Typer(add_completion=False, rich_markup_mode="rich")
    single.command(spec.name, epilog=spec.epilog or None)(run)
    return typer.main.get_command(single)


class _Context:
    """A `hub.api.CommandContext`."""

    @asynccontextmanager
    async def meshes(self, config: Path) -> AsyncIterator[Sequence[CommandMesh]]:
        async with Domains.open(config) as domains:
            yield domains.meshes

    def note(self, text: str) -> None:
        note(text)
