"""What Istio cannot say, in words: an objection is a Loss without its owner."""

from __future__ import annotations

from msgspec import Struct

from hub.api import Loss, ObjectRef

_SHOWN = 60


class Objection(Struct, frozen=True, order=True, gc=False):
    """Why something cannot be carried out, a request that is refused for it, and what to do about it."""

    code: str
    message: str
    example: str
    remedy: str


def access_loss(objection: Objection, origin: ObjectRef) -> Loss:
    """The loss of a TrafficTarget."""
    field = "spec.sources" if objection.code.startswith("source.") else "spec.rules"
    if objection.code == "istio.selector-not-expressible":
        field = "spec.destination"
    return Loss(objection.code, origin, field, objection.message, objection.example, objection.remedy)


def split_loss(objection: Objection, origin: ObjectRef, field: str) -> Loss:
    """The loss of a TrafficSplit."""
    said = (objection.message, objection.example, objection.remedy)
    return Loss(objection.code, origin, field, *said, access=False)


def short(text: str) -> str:
    """A text as a message shows it."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
