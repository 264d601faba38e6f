"""`-o` of verbs that show plans: as lines, as data, or for a pull request."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from hub.cli.context import Output


class PlanForm(StrEnum):
    """`-o`: how a plan is printed."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    MARKDOWN = "markdown"

    @property
    def data(self) -> Output:
        """How data is printed."""
        return Output.YAML if self is PlanForm.YAML else Output.JSON


class CheckForm(StrEnum):
    """`-o`: how what is wrong is printed."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    SARIF = "sarif"

    @property
    def data(self) -> Output:
        """How data is printed."""
        return Output.YAML if self is CheckForm.YAML else Output.JSON


CheckFormOption = Annotated[CheckForm, typer.Option("--output", "-o", help="Output format.")]
PlanFormOption = Annotated[PlanForm, typer.Option("--output", "-o", help="Output format.")]
