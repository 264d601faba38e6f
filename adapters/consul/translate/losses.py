"""What Consul cannot say, the field of the SMI object that says it, and how its words are shown."""

from __future__ import annotations

from hub.api import Loss, Objection, ObjectRef

LABELLED, NO_SERVICE = "consul.labelled-destination", "consul.name"


def access_loss(objection: Objection, origin: ObjectRef) -> Loss:
    """The loss of a TrafficTarget."""
    if objection.code.startswith("source."):
        return objection.loss(origin, "spec.sources")
    return objection.loss(origin, "spec.destination" if objection.code in {LABELLED, NO_SERVICE} else "spec.rules")
