"""A folder of SMI that changes step by step: what it says, what it said, and what of it anybody has read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from hub.model import Document, Origin
from hub.smi import decode
from hub.testing.counterexamples import to_yaml

_CODES = re.findall(
    r"^\| `([a-z0-9.-]+)`", (Path(__file__).parents[2] / "docs/problems.md").read_text("utf-8"), re.MULTILINE
)
_LETTING_GO = "broken-object"  # whoever accepts it lets go of what is kept: nobody does here
CONFIG = f"""\
domain: {{trustDomain: cluster.local}}
sources: [{{path: manifests}}]
meshes:
- {{name: vm, adapter: vm}}
- {{name: istio, adapter: istio, sink: {{kind: directory, path: rendered}}}}
accept: {json.dumps(sorted({*_CODES} - {_LETTING_GO}))}
"""
COPY = "-copy"
RUNNING = ("workload/", "pod/", "deployment/")


class File(Struct):
    """One file of the folder: what it holds, what it held when that could last be decoded, and whether it can be parsed.

    `known` is what it held when somebody read it and could decode it: what came and went in between nobody can tell.
    """

    value: Any
    sound: Any = None
    parses: bool = True
    known: Any = None


class Ground:
    """The folder: one object a file, one folder a kind; each file can break, each folder can be out of sight."""

    def __init__(self, root: Path, config: str = CONFIG) -> None:
        self.root = root
        self.files: dict[str, File] = {}
        self.hidden: set[str] = set()
        self._unnoticed: dict[str, Any] = {}  # deleted files, as they were known, until somebody looks
        self.version = 1
        (root / "manifests").mkdir()
        (root / "smihub.yaml").write_text(config)

    # -- what is done to it

    def put(self, name: str, value: Any) -> None:
        """Write an object into its file."""
        before = self.files.get(name) or File(None, known=self._unnoticed.pop(name, self._beside(name)))
        self.files[name] = File(value, value if is_sound(value) else before.sound, known=before.known)
        self._write(name)

    def remove(self, name: str) -> None:
        """Delete a file."""
        self.version += 1
        self._path(name).unlink()
        file, copy = self.files.pop(name), self.files.get(name + COPY)
        if copy is not None:  # the object is still there
            copy.known = file.known if copy.known is None else copy.known
        elif not name.endswith(COPY):
            self._unnoticed[name] = file.known

    def _beside(self, name: str) -> Any:
        """What is known of an object by its other file."""
        other = self.files.get(name.removesuffix(COPY) if name.endswith(COPY) else name + COPY)
        return None if other is None else other.known

    def garble(self, name: str) -> None:
        """Leave the mark of a merge conflict in a file."""
        self.files[name].parses = False
        self._write(name)

    def mend(self, name: str) -> None:
        """Write what the file held when it could be read, or else what it holds."""
        file = self.files[name]
        self.put(name, file.value if file.sound is None else file.sound)

    def hide(self, folder: str) -> None:
        """Replace a folder by a link that leads out of the source, which is not followed."""
        self.version += 1
        (self.root / "elsewhere").mkdir(exist_ok=True)
        (self.root / "manifests" / folder).rename(self.root / "elsewhere" / folder)
        (self.root / "manifests" / folder).symlink_to(self.root / "elsewhere" / folder)
        self.hidden.add(folder)

    def show(self, folder: str) -> None:
        """Put the folder back."""
        self.version += 1
        (self.root / "manifests" / folder).unlink()
        (self.root / "elsewhere" / folder).rename(self.root / "manifests" / folder)
        self.hidden.discard(folder)

    def _path(self, name: str) -> Path:
        folder = name.partition("/")[0]
        return self.root / ("elsewhere" if folder in self.hidden else "manifests") / f"{name}.yaml"

    def _write(self, name: str) -> None:
        file, path = self.files[name], self._path(name)
        path.parent.mkdir(exist_ok=True)
        text = ("" if file.parses else "<<<<<<< HEAD\n") + to_yaml([file.value])
        made = self.root / "new"
        made.write_text(text, "utf-8")
        self.version += 1
        os.utime(made, (self.version, self.version))  # an old time: nobody waits until it is quiet
        made.rename(path)

    def read(self) -> None:
        """Somebody reads it."""
        for name in self.files:
            if not self._lost(name) and is_sound(self.files[name].value):
                self.files[name].known = self.files[name].value
        self._unnoticed = {name: known for name, known in self._unnoticed.items() if self._out_of_sight(name)}

    # -- what it says

    def visible(self) -> list[str]:
        """The files that are in sight; what happens to others nobody knows."""
        return sorted(name for name in self.files if name.partition("/")[0] not in self.hidden)

    @property
    def unread(self) -> bool:
        """Whether a file cannot be parsed or a folder is out of sight."""
        return bool(self.hidden) or not all(file.parses for file in self.files.values())

    @property
    def broken(self) -> bool:
        """Whether an object that can be parsed cannot be decoded, or is defined twice."""
        return bool(self._doubled()) or not all(is_sound(file.value) for file in self.files.values())

    def readable(self) -> tuple[Document, ...]:
        """What a reader sees now who never saw anything before."""
        return _documents({name: file.value for name, file in self.files.items() if not self._lost(name)})

    def meant(self) -> tuple[tuple[Document, ...], ...]:
        """The folder with the last known version of all that cannot be read now; where objects are doubled, either copy.

        What was never read as sound is left out: it grants nothing, and what stood beside it may stay.
        """
        values = {name: known for name in self.files if (known := self._meaning(name)) is not None}
        values |= {name: one for name, one in self._unnoticed.items() if one is not None and self._out_of_sight(name)}
        doubled = {name for name in self._doubled() if name + COPY in values}
        second = {name: values[name + COPY] if name in doubled else value for name, value in values.items()}
        copies = {name + COPY for name in self._doubled()}
        return tuple(
            _documents({name: one[name] for name in one.keys() - copies})
            for one in ((values, second) if doubled else (values,))
        )

    def certain(self) -> bool:
        """Whether every copy of a doubled object can be read; what runs somewhere is not what one of two copies says."""
        doubled = self._doubled()
        return not any(self._lost(one) for name in doubled for one in (name, name + COPY)) and not any(
            name.startswith(RUNNING) for name in doubled
        )

    def _doubled(self) -> set[str]:
        return {name for name in self.files if name + COPY in self.files}

    def _meaning(self, name: str) -> Any:
        file = self.files[name]
        return file.known if self._lost(name) or not is_sound(file.value) else file.value

    def _lost(self, name: str) -> bool:
        return not self.files[name].parses or self._out_of_sight(name)

    def _out_of_sight(self, name: str) -> bool:
        return name.partition("/")[0] in self.hidden


def is_sound(value: Any) -> bool:
    """Whether an object can be decoded."""
    read = decode(Document(value, Origin("ground", "file"), 0))
    return read.ref is not None and read.object is not None


def _documents(values: Mapping[str, Any]) -> tuple[Document, ...]:
    return tuple(Document(values[name], Origin("manifests", name, 1), 0) for name in sorted(values))
