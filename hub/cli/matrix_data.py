"""A matrix as JSON-like data: what `smihub matrix -o json` prints and its page shows. Described in docs/cli.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hub.cli.data import SCHEMA
from hub.matrix import Cell, Matrix, PortCell, Receiver
from hub.matrix.lines import AlikeRequests, lines_of
from hub.requests import to_json


def matrix_data(matrices: Mapping[str, Matrix]) -> dict[str, Any]:
    """Every matrix under the name of its cluster; of one cluster its matrix alone."""
    found = {name: _matrix(matrix) for name, matrix in matrices.items()}
    return {"schema": SCHEMA, **(next(iter(found.values())) if len(found) == 1 else {"clusters": found})}


def _matrix(matrix: Matrix) -> dict[str, Any]:
    cells = [
        _cell(caller, receiver, cell, matrix.meshes)
        for receiver in matrix.receivers
        for caller, cell in receiver.cells.items()
        if cell.entries or cell.undecided
    ]
    return {
        "meshes": list(matrix.meshes),
        "callers": [party.name for party in matrix.callers],
        "receivers": [receiver.name for receiver in matrix.receivers],
        "cells": cells,
        "verdicts": matrix.verdicts,
    }


def _cell(caller: str, receiver: Receiver, cell: Cell, meshes: Sequence[str]) -> dict[str, Any]:
    out: dict[str, Any] = {"from": caller, "to": receiver.name}
    if cell.undecided:
        return {**out, "undecided": cell.undecided}
    return {
        **out,
        "smi": str(cell.word()),
        "meshes": {mesh: str(cell.word(mesh)) for mesh in meshes},
        "differs": cell.differs,
        "ports": [_entry(entry, receiver) for entry in cell.entries],
    }


def _entry(entry: PortCell, receiver: Receiver) -> dict[str, Any]:
    return {
        "port": entry.port,
        "protocol": entry.protocol,
        "smi": str(entry.smi),
        "meshes": {mesh: str(word) for mesh, word in entry.meshes.items()},
        "requests": [_line(each, http=entry.protocol == "http") for each in lines_of(entry, receiver)],
    }


def _line(line: AlikeRequests, *, http: bool) -> dict[str, Any]:
    out: dict[str, Any] = {"at": line.at} if line.at else {}
    if http:
        out["methods"] = None if line.methods is None else list(line.methods)
        out["paths"] = list(line.paths)
        out["headers"] = None if line.headers is None else [[list(each) for each in lines] for lines in line.headers]
    out |= {"smi": word(allowed=line.smi), "meshes": {mesh: word(allowed=yes) for mesh, yes in line.meshes.items()}}
    if line.losses:
        out["losses"] = {mesh: list(codes) for mesh, codes in line.losses.items()}
    return {**out, "example": to_json(line.example)}


def word(*, allowed: bool) -> str:
    """A verdict."""
    return "allow" if allowed else "deny"
