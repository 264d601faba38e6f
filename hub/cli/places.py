"""Where things stand in the files, as paths that one can open from where the configuration is. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from hub.blame import written
from hub.meshes import Mesh
from hub.model import Loss, ObjectRef, Origin
from hub.plan.causes import FieldLocation, InputChange
from hub.reconcile.hub import Hub


class Locations(Struct, frozen=True):
    """Where objects stand as they are read now, and what a mesh cannot say of them; `sources` are the names of the sources."""

    objects: Mapping[ObjectRef, Origin] = {}
    losses: Mapping[Loss, FieldLocation] = {}
    sources: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, hub: Hub, mesh: Mesh, losses: Sequence[Loss], objects: Mapping[ObjectRef, Origin] | None = None
    ) -> Locations:
        """Where these Losses of a mesh stand in the files as they were just read; `objects` are those that are known already."""
        found = written(hub.cluster(mesh).store, mesh, losses, hub.intake.located) if losses else {}
        return cls(objects or {}, found, tuple(hub.intake.sources))

    def at(self, change: InputChange) -> Origin:
        """Where an object stands; of one that went, the file in which it stood."""
        if change.how != "removed" and change.ref in self.objects:
            return self.objects[change.ref]
        return self._file(change.files[0]) if change.files else Origin()

    def written(self, loss: Loss) -> FieldLocation:
        """Where a Loss is written."""
        return self.losses.get(loss) or FieldLocation(
            loss.origin, loss.field, origin=self.objects.get(loss.origin, Origin())
        )

    def _file(self, file: str) -> Origin:
        source = next((name for name in self.sources if file.startswith(f"{name}:")), file.partition(":")[0])
        return Origin(source, file[len(source) + 1 :])


NOWHERE = Locations()
