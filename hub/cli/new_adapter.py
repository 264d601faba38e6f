"""A package for a new adapter, from the files in `skeleton`: it installs, and its suite fails until the adapter is written."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from string import Template

import hub
from hub.errors import ConfigError

_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
_LONGEST = 40
_SKELETON = Path(__file__).with_name("skeleton")


def check_name(name: str, taken: Collection[str]) -> None:
    """Raise ConfigError for a name that is no adapter's, or somebody's already."""
    if len(name) > _LONGEST or not _NAME.fullmatch(name):
        raise ConfigError(
            f'"{name[:80]}" is not a valid adapter name; use at most {_LONGEST} lowercase letters, digits and single dashes, '
            "beginning with a letter"
        )
    if name in taken:
        raise ConfigError(f'an adapter "{name}" is installed already; choose another name')


def write_package(name: str, folder: Path) -> list[Path]:
    """Write the package of a new adapter into a folder that is empty or not there; its files. Raises ConfigError, OSError."""
    _check_folder(folder)
    module = f"smihub_{name.replace('-', '_')}"
    words = {
        "name": name,
        "package": f"smihub-{name}",
        "module": module,
        "prefix": "".join(part.capitalize() for part in name.split("-")),
    }
    found = []
    for template in sorted(_SKELETON.rglob("*.txt")):
        path = template.relative_to(_SKELETON).as_posix()
        file = folder / path.replace("package/", f"{module}/").removesuffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as made:
            made.write(Template(template.read_text(encoding="utf-8")).substitute(words))
        found.append(file)
    return found


def _check_folder(folder: Path) -> None:
    own = Path(hub.__file__).resolve().parents[1]
    if folder.resolve().is_relative_to(own):
        raise ConfigError(
            f'"{folder}" is in the folder where smihub itself is ("{own}"); set --folder to one elsewhere'
        )
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise ConfigError(f'"{folder}" is not a folder; set --folder to one that is empty, or not there yet')
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f'"{folder}" is not empty, and nothing in it is overwritten; set --folder to another one')
