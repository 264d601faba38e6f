"""The native objects of a mesh, indexed by kind and name, parsed when they are first needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from adapters.vm import names, wire
from adapters.vm.evaluate.fields import resource
from hub.api import NativeObject, ObjectRef, UnmodelledError

WORKLOAD = "Workload"
_KINDS = frozenset(("Listener", "RouteConfiguration", "Cluster", "Secret", "TypedExtensionConfig", WORKLOAD))


class Resources:
    """Every object of a mesh. Raises UnmodelledError for a kind or a listener name that is not ours, or for a double."""

    def __init__(self, objects: Sequence[NativeObject]) -> None:
        self._objects: dict[ObjectRef, NativeObject] = {}
        self._parsed: dict[ObjectRef, wire.Message] = {}
        for item in objects:
            _require_known(item.ref)
            if item.ref in self._objects:
                raise UnmodelledError(f'two objects are named "{item.ref}"')
            self._objects[item.ref] = item

    def find(self, kind: str, name: str) -> wire.Message | None:
        """The parsed resource, or None if there is none of that name."""
        ref = names.ref(kind, name)
        if ref not in self._objects:
            return None
        if ref not in self._parsed:
            self._parsed[ref] = resource(kind, name, self._objects[ref].body)
        return self._parsed[ref]

    def receives(self, workload: ObjectRef, listener: str) -> bool:
        """Whether that workload's Envoy is sent that listener. Pods are sent what stands; a Workload what it needs."""
        if workload.kind != WORKLOAD:
            return True
        node = self._objects.get(names.ref(WORKLOAD, f"{workload.namespace}/{workload.name}"))
        return node is not None and names.ref("Listener", listener) in node.needs

    def service_names(self) -> frozenset[tuple[str, str]]:
        """The (namespace, service) pairs that any outbound cluster or listener speaks of."""
        parts = (ref.name.partition("@")[0].split("/") for ref in self._objects if ref.name.startswith("out/"))
        return frozenset((part[1], part[2]) for part in parts if len(part) == 4)

    def client_listeners(self) -> Iterator[tuple[str, wire.Message]]:
        """The listeners at which single workloads call out, by name; whoever reaches one calls as that workload."""
        for ref in self._objects:
            if ref.kind == "Listener" and ref.name.startswith("out/") and "@" in ref.name:
                message = self.find(ref.kind, ref.name)
                if message is not None:
                    yield ref.name, message


def _require_known(ref: ObjectRef) -> None:
    if ref.group != names.GROUP or ref.kind not in _KINDS:
        raise UnmodelledError(f'the meaning of "{ref}" (group "{ref.group}") is not modelled')
    if ref.kind == "Listener" and not ref.name.startswith(("in/", "out/")):
        raise UnmodelledError(
            f'listener "{ref.name}" does not have a name that smihub uses, so it is unknown what it opens'
        )
