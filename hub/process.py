"""What a smihub process sets of the kernel and of Python before it does anything."""

from __future__ import annotations

import ctypes
import gc
import resource

_PR_SET_DUMPABLE = 4
_YOUNG = 10_000


def keep_memory_private() -> None:
    """No core dump, and no other process of this user that looks in: memory holds private keys.

    The limit alone does not stop dumps that the kernel pipes to a program (Linux, core(5) and prctl(2)).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def collect_seldom() -> None:
    """Look for garbage in cycles after 10 000 new objects, not after 700: a plan makes very many that stay, in no cycle.

    Source: Python, "gc", `set_threshold`. Everything else goes at once, by its count of references.
    """
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
