"""The store: which objects count, who refers to whom, which units are dirty. Pure: no clock, no I/O, no threads."""

from hub.store.moves import Moves
from hub.store.store import Store

__all__ = ["Moves", "Store"]
