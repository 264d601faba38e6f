"""What Linkerd cannot say: the field of a TrafficTarget that says it, and how its words are shown."""

from __future__ import annotations

from collections.abc import Collection

from hub.api import Loss, Objection, ObjectRef, short

MAX_HEADERS = 16
"""Most headers of one match (the schema of HTTPRoute)."""
LABELLED = "linkerd.labelled-destination"
OPENED = "linkerd.opened-network"
"""What settings open to networks, beyond SMI: the one Loss by which a mesh allows more."""


def access_loss(objection: Objection, origin: ObjectRef) -> Loss:
    """The loss of a TrafficTarget, or of a probe of an account."""
    if origin.kind == "ServiceAccount":
        return objection.loss(origin, "", access=objection.code != OPENED)
    field = "spec.sources" if objection.code.startswith("source.") else "spec.rules"
    return objection.loss(origin, "spec.destination" if objection.code == LABELLED else field)


def headers_refused(headers: Collection[tuple[str, str]]) -> Objection | None:
    """Why a match with these conditions on headers (name, pattern; no pair twice) is not written; None if it can be."""
    names = [name for name, _ in headers]
    if len(set(names)) < len(names):
        return _repeated_header(min(name for name in names if names.count(name) > 1))
    return _TOO_MANY_HEADERS if len(names) > MAX_HEADERS else None


def _repeated_header(name: str) -> Objection:
    message = f'a route allows one condition on the header "{short(name)}", but there are two'
    example = f'a request whose "{short(name)}" matches both'
    return Objection("linkerd.header-not-expressible", message, example, "combine them in one pattern")


def nonstandard_method(method: str) -> Objection:
    """Why a method is not written."""
    message = f'"{short(method)}" is not one of the methods that a route can name'
    return Objection("linkerd.method-nonstandard", message, f'a request "{short(method)}"', "use another method")


_TOO_MANY_HEADERS = Objection(
    "limit.exceeded",
    f"a route allows conditions on {MAX_HEADERS} headers, but there are more",
    "a request that meets all of them",
    "use fewer headers",
)
