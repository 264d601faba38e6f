"""A folder as it is after any step of a write, and what must hold of it then."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hub.memory.states import State, decode
from hub.model import Change, UnitKey
from hub.sinks.ledger import decode_memory
from tests.hub.sinks.small_mesh import content, file_name

WRITES = ("open", "fsync", "link", "unlink", "rename", "mkdir")
Files = Mapping[str, bytes]
"""Content by path, as `content` gives it."""


def objects(files: Files) -> dict[str, bytes]:
    """What `kubectl apply -f objects` reads."""
    return {
        path.removeprefix("objects/"): data
        for path, data in files.items()
        if path.startswith("objects/") and path.endswith((".yaml", ".yml", ".json"))
    }


def listed(files: Files) -> dict[str, bytes]:
    """What `kubectl apply -k` reads. A KeyError is a file that is listed and not there."""
    text = files.get("kustomization.yaml", b"").decode()
    return {name: files[f"objects/{name}"] for name in re.findall(r"^- objects/(\S+)", text, re.MULTILINE)}


def must_be_a_prefix(view: Files, before: Files, after: Files, changes: Sequence[Change]) -> None:
    """All waves up to one are carried out, none after it, and of that one some changes; no file is anything between."""
    waves = {file_name(change.ref): change.wave for change in changes}
    assert all(view.get(file) == before.get(file) for file in {*view, *before} - waves.keys())
    assert all(view.get(file) in {before.get(file), after.get(file)} for file in waves)
    done = [wave for file, wave in waves.items() if before.get(file) != after.get(file) == view.get(file)]
    left = [wave for file, wave in waves.items() if after.get(file) != before.get(file) == view.get(file)]
    assert not done or not left or max(done) <= min(left)


def must_be_sound(files: Files, before: Files, after: Files, changes: Sequence[Change]) -> None:
    """Both ways to apply the folder see a prefix of the plan, and whatever may stand is remembered."""
    for view in (objects, listed):
        must_be_a_prefix(view(files), view(before), view(after), changes)
    memories = [each.get(".smihub.json") for each in (files, before, after)]
    found, old, new = (remembered_states(each) for each in memories)
    if memories[0] == memories[2] != memories[1]:
        assert (objects(files), listed(files)) == (objects(after), listed(after))
    elif (objects(files), listed(files)) != (objects(before), listed(before)):
        assert all(new[key] <= found.get(key, set()) for key in new)
        assert all(old[key] <= found.get(key, set()) for key in old)


def remembered_states(memory: bytes | None) -> dict[UnitKey, set[State]]:
    """The states that may stand, by unit."""
    raws = decode_memory(memory, "istio").memory if memory is not None else {}
    found = {key: decode(raw) for key, raw in raws.items()}
    return {key: set(each.states) for key, each in found.items() if each is not None}


@contextmanager
def each_write(act: Callable[[], None], calls: Sequence[str] = WRITES) -> Iterator[None]:
    """Do something before each call that changes the file system (or before these of them)."""
    real = {name: getattr(os, name) for name in calls}
    busy: list[bool] = []

    def wrapped(name: str) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            changes = name != "open" or (len(args) > 1 and args[1] & os.O_CREAT)
            if changes and not busy:
                busy.append(True)
                act()
                busy.pop()
            return real[name](*args, **more)

        return call

    try:
        for name in calls:
            setattr(os, name, wrapped(name))
        yield
    finally:
        for name, function in real.items():
            setattr(os, name, function)


def copy(files: Files, path: Path) -> Path:
    """A folder with this content."""
    shutil.rmtree(path, ignore_errors=True)
    for name, data in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def taken(path: Path, into: list[Files]) -> Callable[[], None]:
    """Something that notes the content of a folder."""
    return lambda: into.append(content(path) if path.exists() else {})
