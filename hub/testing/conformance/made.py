"""What an adapter makes of one world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from hub.explain import Compiled
from hub.model import Document, Loss, Translation, UnitKey
from hub.testing.conformance.subject import AdapterUnderTest
from hub.testing.documents import Scope, compile_documents, translate_units


class Made(Struct, frozen=True):
    """A world: its objects, their units, and the adapter's translation of each."""

    values: tuple[Any, ...]
    compiled: Compiled
    translations: Mapping[UnitKey, Translation]

    @property
    def told(self) -> tuple[Loss, ...]:
        """All losses."""
        return tuple(loss for each in self.translations.values() for loss in each.losses)

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Those for which the mesh does something else than SMI says of what it governs."""
        return tuple(loss for loss in self.told if not loss.is_unenforced)


def make(subject: AdapterUnderTest, documents: Sequence[Document]) -> Made:
    """Have an adapter translate a world."""
    made = compile_documents(documents, Scope())
    return Made(tuple(one.value for one in documents), made, translate_units(made.units, subject.mesh))
