"""What is asked of this package: a request that somebody denies."""

from __future__ import annotations

from msgspec import Struct

from hub.model import Request
from hub.semantics.conditions import Http
from hub.semantics.identities import SubjectKey
from hub.semantics.world import Situation


class Denied(Struct, frozen=True):
    """A request with what the judge knows of it, the receivers that deny it, and the Services behind which nobody is."""

    request: Request
    callers: frozenset[SubjectKey]
    http: Http
    receivers: frozenset[Situation]
    empty: tuple[str, ...] = ()
