"""Intake: what the sources say into the store, and what of them cannot be read, with the scope of what that may hide.

What cannot be read counts as it was when it was applied last (`recall`); the planner lets gains wait beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address

from msgspec.structs import replace

from hub.api import SourceContext
from hub.config import Config, source_config
from hub.events import Delete, Event, Listed, ObjectSource, Unread, Upsert
from hub.memory import Kept
from hub.model import ObjectRef, Problem, Severity
from hub.plugins import Plugins
from hub.recall import Missing, Part, recalled
from hub.smi import decode
from hub.smi.types import Workload
from hub.store import Store


class Intake:
    """The sources of one domain and the store that they fill. `read` or `take` events, then `recall`."""

    def __init__(self, sources: Mapping[str, ObjectSource], store: Store) -> None:
        self.sources = sources
        self.store = store
        self.missing = Missing()
        self._unread: dict[Part, Problem] = {}
        self._known: set[Part] = set()  # parts, and scopes, of which some content was read
        self._broken: frozenset[ObjectRef] = frozenset()

    # ----------------------------------------------------------------------- events

    def read(self) -> None:
        """Read every source now. Raises SourceError if one cannot be used as a whole."""
        for name, source in self.sources.items():
            self.take(name, source.read())

    def take(self, source: str, events: Iterable[Event]) -> None:
        """Follow what a source says."""
        for event in events:
            if isinstance(event, Unread):
                self._unread[source, event.part] = event.problem
            elif isinstance(event, Delete):
                self._forget(source, event.part)
            elif isinstance(event, Upsert):
                self._learn(source, event.part)
                self.store.upsert(source, event.part, [decode(document) for document in event.documents])
            else:
                self._learn(source, event.part if isinstance(event, Listed) else "")

    def _learn(self, source: str, part: str) -> None:
        self._unread.pop((source, part), None)
        self._known.add((source, part))

    def _forget(self, source: str, part: str) -> None:
        self._unread.pop((source, part), None)
        self._known.discard((source, part))
        self.store.remove(source, part)

    # ----------------------------------------------------------------------- what cannot be read

    @property
    def unread(self) -> frozenset[Part]:
        """The parts and scopes of sources that cannot be read now."""
        return frozenset(self._unread)

    @property
    def blind(self) -> bool:
        """Whether one of them was never read by this process, so that nobody knows what it held."""
        return any(part not in self._known for part in self._unread)

    @property
    def doubtful(self) -> bool:
        """Whether anything has to be recalled: a part that is unread, or an object that is broken."""
        return bool(self._unread or self.store.broken())

    @property
    def incomplete(self) -> bool:
        """Whether some part of a source, or an object that was not given up, cannot be read now."""
        return bool(self._unread or self._broken)

    def recall(self, kept: Mapping[ObjectRef, Kept], *, give_up: bool) -> frozenset[ObjectRef]:
        """Let what cannot be read count as it was applied last, given every object that the meshes remember.

        `give_up`: broken objects do not; those of which that lets go something are given back.
        """
        broken = self.store.broken()
        found = recalled(kept, self._unread, broken, lambda ref: bool(self.store.readable(ref)))
        given_up = broken & found.keys() if give_up else frozenset()
        found = {ref: one for ref, one in found.items() if ref not in given_up}
        self._broken = frozenset() if give_up else broken
        self.missing = Missing(self.unread, found, give_up)
        self.store.recall({ref: one.object for ref, one in found.items()})
        return given_up

    # ----------------------------------------------------------------------- what is wrong

    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with any object or file, with the line of the field where the file still says the same."""
        return self._located((*self._unread.values(), *self.store.problems()))

    def warnings(self) -> tuple[Problem, ...]:
        """Ways past the mesh that the documents show: applications that listen where others can reach them."""
        access = (key for key in self.store.units() if key.kind == "access")
        workloads = (ref for key in access for ref in self.store.named(key.namespace, key.name))
        return self._located(
            replace(problem, origin=origin)
            for ref in workloads
            for problem in _bypasses(self.store.workload(ref))
            for origin in self.store.origins(ref)
        )

    def _located(self, problems: Iterable[Problem]) -> tuple[Problem, ...]:
        found = tuple(problems)
        for source in self.sources.values():
            found = source.pinpoint(found)
        return tuple(sorted(set(found), key=_by_place))


def sources_of(config: Config, plugins: Plugins) -> dict[str, ObjectSource]:
    """Every source of a configuration, by name; reads nothing. Raises ConfigError."""
    found = ((each, plugins.source(each.kind)) for each in config.sources)
    return {
        each.name: spec.open(SourceContext(each.name, config.file), source_config(each, spec.config))
        for each, spec in found
    }


def _by_place(problem: Problem) -> tuple[str, str, int, Problem]:
    return (problem.origin.source, problem.origin.file, problem.origin.line, problem)


def _bypasses(workload: Workload | None) -> Iterator[Problem]:
    if workload is None:
        return
    for index, port in enumerate(workload.ports):
        if not ip_address(port.app_address).is_loopback:
            number, where = port.app_port or port.port, f"spec.ports[{index}].appAddress"
            message = f"the application listens on {port.app_address}, port {number}, past its sidecar"
            remedy = "let it listen on 127.0.0.1, or close the port to the network by a firewall"
            yield Problem("capture.bypass", workload.ref, where, message, remedy, severity=Severity.WARNING)
