"""`smihub matrix`: who may call whom, by SMI and by each mesh, decided over all requests."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hub.cli import completion
from hub.cli.context import (
    OUT,
    ConfigOption,
    Exit,
    MeshOption,
    Output,
    emit,
    emit_text,
    line,
    print_lines,
    progress,
    run_now,
)
from hub.cli.explained import DomainOption, FolderOption, Sources, explained
from hub.cli.matrix_data import matrix_data
from hub.cli.matrix_markdown import markdown_of
from hub.cli.matrix_page import page_of
from hub.cli.matrix_text import cell_lines, grid_lines
from hub.config.file import DEFAULT_FILE
from hub.errors import ConfigError
from hub.explain import Explainer
from hub.matrix import Matrix, UnknownPartyError, matrix_of


class MatrixForm(StrEnum):
    """`-o`: how the matrix is printed."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    MARKDOWN = "markdown"
    HTML = "html"


def matrix(
    caller: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="NS/SERVICEACCOUNT",
            autocompletion=completion.identities,
            help="Only this caller, port by port.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="NS/SERVICEACCOUNT",
            autocompletion=completion.identities,
            help="Only this receiver, port by port.",
        ),
    ] = None,
    source: FolderOption = None,
    config: ConfigOption = Path(DEFAULT_FILE),
    mesh: MeshOption = None,
    domain: DomainOption = "",
    output: Annotated[MatrixForm, typer.Option("--output", "-o", help="Output format.")] = MatrixForm.TEXT,
) -> Exit:
    """Show who may call whom: none, part or all of the requests from each identity to each, by SMI and by each mesh.

    Nothing is sampled: one request of each class that the conditions of SMI and of the meshes tell apart is judged.
    """
    found = run_now(explained(Sources(source, config, domain, tuple(mesh or ()))))
    matrices = {name: _decided(each, caller, to) for name, each in found.explainers.items()}
    _print(matrices, output, expanded=caller is not None or to is not None)
    return Exit.SAME if found.whole else Exit.ERROR


def _decided(explainer: Explainer, caller: str | None, to: str | None) -> Matrix:
    """What was asked for. Raises ConfigError for names that nobody has."""
    with progress("asking every mesh") as say:
        try:
            return matrix_of(
                explainer,
                lambda done, of: say(f"asking every mesh about receiver {done + 1} of {of}"),
                caller=caller,
                receiver=to,
            )
        except UnknownPartyError as error:
            option, name, what = ("--from", caller, "identity") if error.role == "caller" else ("--to", to, "receiver")
            raise ConfigError(f'{option} "{name}": no such {what} in the sources; smihub matrix lists them') from None


def _print(matrices: Mapping[str, Matrix], form: MatrixForm, *, expanded: bool) -> None:
    if form is MatrixForm.HTML:
        emit_text(page_of(matrices))
    elif form is MatrixForm.MARKDOWN:
        emit_text(markdown_of(matrices))
    elif form is not MatrixForm.TEXT:
        emit(matrix_data(matrices), Output(form))
    else:
        for name, each in matrices.items():
            if len(matrices) > 1:
                OUT.print(line((f'cluster "{name}"', "bold")))
            _print_text(each, expanded=expanded)


def _print_text(matrix: Matrix, *, expanded: bool) -> None:
    if not matrix.receivers:
        OUT.print(line("nobody receives anything: the sources have no TrafficTarget, and no workload with an account"))
        return
    if not expanded:
        print_lines(grid_lines(matrix, OUT.width))
        return
    for receiver in matrix.receivers:
        for party in matrix.callers:
            cell = receiver.cells[party.name]
            if cell.entries or cell.undecided or (len(matrix.callers) == 1 and len(matrix.receivers) == 1):
                print_lines(cell_lines(party.name, receiver, matrix.meshes))
