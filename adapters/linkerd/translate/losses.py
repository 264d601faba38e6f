"""What Linkerd cannot say: the field of a TrafficTarget that says it, and how its words are shown."""

from __future__ import annotations

from hub.api import Loss, Objection, ObjectRef

_SHOWN = 60
LABELLED = "linkerd.labelled-destination"


def access_loss(objection: Objection, origin: ObjectRef) -> Loss:
    """The loss of a TrafficTarget."""
    field = "spec.sources" if objection.code.startswith("source.") else "spec.rules"
    return objection.loss(origin, "spec.destination" if objection.code == LABELLED else field)


def short(text: str) -> str:
    """A text as a message shows it."""
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
