"""Objects of others in the sources are named while they are there, and those that smihub wrote are not."""

from __future__ import annotations

from hub.model import Document, Origin
from hub.sources.overriding import Overriding


def document(value: object) -> Document:
    """An object of a file."""
    return Document(value, Origin("src", "a.yaml", 3))


def test_each_is_named_until_it_is_gone() -> None:
    """With its place; what is no object at all is passed over, and so is what a sink of ours wrote."""
    found = Overriding([lambda manifest: "does it" if manifest["kind"] == "X" else ""])
    meta = {"name": "a", "namespace": "shop"}
    ours = {**meta, "labels": {"app.kubernetes.io/managed-by": "smihub"}}
    values = [
        *({"apiVersion": "g/v1", "kind": kind, "metadata": meta} for kind in ("X", "Y", 7)),
        {"apiVersion": "g/v1", "kind": "X", "metadata": ours},
        {"apiVersion": "g/v1", "kind": "X"},
        [],
    ]
    found.put("src", "a.yaml", list(map(document, values)))
    (problem,) = found.problems()
    assert (str(problem.ref), problem.message, problem.origin.line) == ("X/shop/a", "does it", 3)
    found.put("src", "a.yaml", ())
    assert not list(found.problems())
