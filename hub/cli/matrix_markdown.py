"""A matrix for a pull request or a report. Pure text building."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hub.cli.matrix_text import SIGNS, requests_text
from hub.matrix import Cell, Matrix
from hub.matrix.lines import lines_of
from hub.model import printable

_MOST_COLUMNS = 15
_MOST_DIFFERENCES = 100


def markdown_of(matrices: Mapping[str, Matrix]) -> str:
    """A table of callers and receivers (a list where that is too wide), and what meshes do otherwise, for each cluster."""
    blocks = (line for name, matrix in matrices.items() for line in _blocks(name if len(matrices) > 1 else "", matrix))
    return "\n".join(blocks) + "\n"


def _blocks(cluster: str, matrix: Matrix) -> Iterator[str]:
    yield f"### Who may call whom{f' in cluster {_code(cluster)}' if cluster else ''}"
    yield ""
    yield from _table(matrix) if len(matrix.receivers) <= _MOST_COLUMNS else _list(matrix)
    yield ""
    yield "`all`, `part`: of the requests to the declared ports, by SMI. `*`: a mesh says something else. `?`: not decided."
    differences = list(_differences(matrix))
    if differences:
        yield from ("", "| from | to | port | requests | SMI | meshes that differ |", "|---|---|---|---|---|---|")
        yield from differences[:_MOST_DIFFERENCES]
    if len(differences) > _MOST_DIFFERENCES:
        yield from ("", f"... and {len(differences) - _MOST_DIFFERENCES} more; see `smihub matrix -o json`.")


def _table(matrix: Matrix) -> Iterator[str]:
    yield f"| from / to | {' | '.join(_code(each.name) for each in matrix.receivers)} |"
    yield "|---" * (len(matrix.receivers) + 1) + "|"
    for party in matrix.callers:
        cells = (_sign(receiver.cells[party.name]) for receiver in matrix.receivers)
        yield f"| {_code(party.name)} | {' | '.join(cells)} |"


def _list(matrix: Matrix) -> Iterator[str]:
    yield from ("| from | to | |", "|---|---|---|")
    for receiver in matrix.receivers:
        for party in matrix.callers:
            cell = receiver.cells[party.name]
            if cell.entries or cell.undecided:
                yield f"| {_code(party.name)} | {_code(receiver.name)} | {_sign(cell)} |"


def _sign(cell: Cell) -> str:
    sign = "?" if cell.undecided else SIGNS[cell.word()] + ("*" if cell.differs else "")
    return f"`{sign}`"


def _differences(matrix: Matrix) -> Iterator[str]:
    for receiver in matrix.receivers:
        for caller, cell in receiver.cells.items():
            for entry in cell.entries:
                for each in lines_of(entry, receiver):
                    if each.differs:
                        asked = requests_text(each) if entry.protocol == "http" else "bytes"
                        port = "any other" if entry.port is None else str(entry.port)
                        said = "allow" if each.smi else "deny"
                        meshes = ", ".join(f"{mesh} ({', '.join(codes)})" for mesh, codes in each.losses.items())
                        yield f"| {_code(caller)} | {_code(receiver.name)} | {port} | {_code(asked)} | {said} | {_code(meshes)} |"


def _code(text: str) -> str:
    """A text in which nothing is Markdown or HTML (GitHub Flavored Markdown, "Code spans" and "Tables")."""
    quoted = printable(text).replace("`", "'").replace("|", "\\|")
    return f"`{quoted}`" if quoted else ""
