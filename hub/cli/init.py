"""`smihub init`: a commented configuration file to start from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hub.cli.context import clean_errors, note
from hub.config.template import template
from hub.errors import ConfigError


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog="Example: [bold]smihub init --source manifests/[/bold]")(init)


def init(
    config: Annotated[Path, typer.Option("--config", "-c", metavar="FILE", help="The file to write.")] = Path(
        "smihub.yaml"
    ),
    source: Annotated[str, typer.Option(metavar="FOLDER", help="The folder of SMI YAML, relative to the file.")] = ".",
) -> None:
    """Write a commented smihub.yaml; an existing file is never overwritten."""
    with clean_errors():
        try:
            with config.open("x", encoding="utf-8") as file:
                file.write(template(source))
        except FileExistsError:
            raise ConfigError(f'"{config}" exists already; edit it, or name another file with --config') from None
        except OSError as error:
            raise ConfigError(f'cannot write "{config}": {error.strerror}') from None
        note(f"wrote {config}; next: smihub check, then smihub plan")
