"""A matrix as lines for people. Pure text building."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from hub.cli.context import Part, line
from hub.matrix import Cell, Matrix, PortCell, Receiver, Word
from hub.matrix.lines import AlikeRequests, lines_of

SIGNS = {Word.NONE: ".", Word.PART: "part", Word.ALL: "all"}
_COLOURS = {Word.NONE: "dim", Word.PART: "yellow", Word.ALL: "green"}
_COLUMN = 7
_MOST_LINES = 12


def grid_lines(matrix: Matrix, width: int) -> Iterator[Text]:
    """The grid where it fits, else a line for each cell in which anything is allowed; then what the signs mean."""
    wide = max(len(party.name) for party in matrix.callers) + 2
    if wide + _COLUMN * len(matrix.receivers) <= width:
        yield from _grid(matrix, wide)
    else:
        yield from _list(matrix)
    yield line("")
    yield line(
        ("part, all", "bold"),
        " of the requests to the declared ports are allowed by SMI, ",
        (".", "bold"),
        " none; ",
        ("*", "bold red"),
        " a mesh says something else of some; ",
        ("?", "bold"),
        " not decided",
    )


def _grid(matrix: Matrix, wide: int) -> Iterator[Text]:
    numbers = "".join(f"{f'[{number}]':>{_COLUMN}}" for number in range(1, len(matrix.receivers) + 1))
    yield line((f"{'from  /  to':{wide}}{numbers}", "bold"))
    for party in matrix.callers:
        cells = (receiver.cells[party.name] for receiver in matrix.receivers)
        yield line(f"{party.name:{wide}}", *(part for cell in cells for part in _sign(cell)))
    yield line("")
    for number, receiver in enumerate(matrix.receivers, 1):
        yield line((f"  [{number}] ", "bold"), receiver.name)


def _sign(cell: Cell) -> tuple[Part, ...]:
    if cell.undecided:
        return (f"{'?':>{_COLUMN}}",)
    word, mark = cell.word(), "*" if cell.differs else ""
    sign = f"{SIGNS[word]}{mark}"
    return (" " * (_COLUMN - len(sign)), (SIGNS[word], _COLOURS[word]), (mark, "bold red"))


def _list(matrix: Matrix) -> Iterator[Text]:
    for receiver in matrix.receivers:
        for party in matrix.callers:
            cell = receiver.cells[party.name]
            if cell.entries or cell.undecided:
                yield line(*_sign(cell), f"  {party.name} -> {receiver.name}")


# --------------------------------------------------------------------------- one cell


def cell_lines(caller: str, receiver: Receiver, meshes: Sequence[str]) -> Iterator[Text]:
    """One cell, port by port."""
    cell = receiver.cells[caller]
    yield line((f"{caller} -> {receiver.name}", "bold"), *(f"  {part}" for part in _summary(cell, meshes)))
    if cell.undecided:
        yield line(f"  not decided: {cell.undecided}; ask for single requests with smihub explain")
    for entry in cell.entries:
        yield from _entry_lines(entry, receiver, meshes)


def _summary(cell: Cell, meshes: Sequence[str]) -> Iterator[str]:
    if not cell.undecided:
        yield f"SMI: {cell.word()}"
        yield from (f"{mesh}: {cell.word(mesh)}" for mesh in meshes)


def _entry_lines(entry: PortCell, receiver: Receiver, meshes: Sequence[str]) -> Iterator[Text]:
    port = "any other port" if entry.port is None else f"port {entry.port}"
    words = ", ".join([f"SMI: {entry.smi}", *(f"{mesh}: {entry.meshes[mesh]}" for mesh in meshes)])
    yield line(f"  {port}, {entry.protocol}: {words}")
    lines = sorted(lines_of(entry, receiver), key=lambda each: not each.differs)
    if entry.smi is Word.ALL and not entry.differs:
        return
    for each in lines[:_MOST_LINES]:
        yield from _request_lines(each, http=entry.protocol == "http")
    if len(lines) > _MOST_LINES:
        yield line(f"    ... and {len(lines) - _MOST_LINES} more lines; see -o json", "")


def _request_lines(each: AlikeRequests, *, http: bool) -> Iterator[Text]:
    at = f" at {each.at}" if each.at else ""
    yield line(f"    {requests_text(each) if http else 'bytes'}{at}: ", *_verdicts(each))
    for mesh, codes in each.losses.items():
        yield line(f"      {mesh}: {', '.join(codes) or 'no reason is known; report this'}")


def requests_text(each: AlikeRequests) -> str:
    """Methods, paths and headers in a few words."""
    methods = "any method" if each.methods is None else ",".join(each.methods)
    shown = ", ".join(each.paths[:4]) + (f" and {len(each.paths) - 4} more" if len(each.paths) > 4 else "")
    return f"{methods} {shown}{_headers_text(each)}"


def _headers_text(each: AlikeRequests) -> str:
    if each.headers is None:
        return ""
    first = ", ".join(f'{name}: "{value}"' for name, value in each.headers[0]) or "no such header"
    more = f" or {len(each.headers) - 1} more ways" if len(each.headers) > 1 else ""
    return f" with {first}{more}"


def _verdicts(each: AlikeRequests) -> Iterator[Part]:
    if not each.differs:
        yield ("allow", "green")
        return
    yield f"SMI {'allows' if each.smi else 'denies'}"
    for mesh, yes in each.meshes.items():
        if yes is not each.smi:
            yield (f", {mesh} {'allows' if yes else 'denies'}", "red")
