"""What Istio cannot say: the field of a TrafficTarget that says it, and how its words are shown."""

from __future__ import annotations

from hub.api import Loss, Objection, ObjectRef


def access_loss(objection: Objection, origin: ObjectRef) -> Loss:
    """The loss of a TrafficTarget."""
    field = "spec.sources" if objection.code.startswith("source.") else "spec.rules"
    if objection.code == "istio.selector-not-expressible":
        field = "spec.destination"
    return objection.loss(origin, field)
