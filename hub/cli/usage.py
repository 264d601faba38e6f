"""How help shows what to write: in the words of the command, never in those of Python's types."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def plain(parameters: Iterable[Any]) -> None:
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
