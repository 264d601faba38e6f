"""The store: which objects count, who refers to whom, which units are dirty. Pure: no clock, no I/O, no threads."""

from hub.store.index import EndpointChanges
from hub.store.store import Store

__all__ = ["EndpointChanges", "Store"]
