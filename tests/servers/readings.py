"""SMI's reading and the VM mesh side by side, for the tests that hold them against each other."""

from __future__ import annotations

from adapters.vm.plugin import SPEC
from hub.explain import Explainer, Mesh, Scope
from hub.model import Document, Reading
from hub.testing.search import Explain

VM = Mesh("vm", SPEC)


def compiling(documents: tuple[Document, ...], reading: Reading) -> Explain:
    """Both sides of some documents."""
    return Explainer(documents, (VM,), Scope(reading=reading)).explain
