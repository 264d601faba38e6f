"""`-o` of verbs that print more than lines and data: Markdown for a pull request, or SARIF for code scanning."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class MarkdownOutput(StrEnum):
    """`-o` of plans and of the table of features."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    MARKDOWN = "markdown"


class SarifOutput(StrEnum):
    """`-o` of what is wrong."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    SARIF = "sarif"


MarkdownOutputOption = Annotated[MarkdownOutput, typer.Option("--output", "-o", help="Output format.")]
SarifOutputOption = Annotated[SarifOutput, typer.Option("--output", "-o", help="Output format.")]
