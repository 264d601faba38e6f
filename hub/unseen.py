"""What smihub cannot see of a mesh, by which it may allow more than SMI, and which workloads it cannot protect there: said by its adapter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from hub.model import Observed


class Unseen(Struct, frozen=True):
    """What others may have set up in a mesh, and smihub cannot look at: a warning of every plan, which refuses nothing.

    `setting` is the one in `config` by which somebody can tell smihub instead ("": there is none).
    """

    code: str
    message: str
    remedy: str
    setting: str = ""


def all_seen(settings: Any, others: Sequence[Observed]) -> tuple[Unseen, ...]:
    """The `unseen` of an adapter that knows of nothing of that kind."""
    return ()


class Excluded(Struct, frozen=True):
    """A label, on Pods and templates, by which a workload is outside of what a mesh can enforce; `message` says what that means."""

    label: str
    value: str
    code: str
    message: str
