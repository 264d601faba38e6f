"""TrafficSplits: which Services share a request that is addressed to a Service, and in which proportion.

The splits of one root are layers: the conditional ones first, oldest first, then the oldest unconditional one. The
first layer that applies decides; where none applies the root's own endpoints serve. A backend is never resolved
through splits of its own. Sources: traffic-split/v1alpha4; docs/smi.md rules on what it leaves open.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from msgspec import Struct

from hub.model import Reading, RouteWord
from hub.semantics.access import AccessRules
from hub.semantics.conditions import Http
from hub.semantics.protocols import word_of_service_port
from hub.semantics.types import WeightedSplit
from hub.semantics.world import ReceiverIndex


class Routed(Struct, frozen=True):
    """Who serves a request: exact shares by Service name, summing to 1 or empty; `split` is the deciding TrafficSplit."""

    word: RouteWord
    shares: Mapping[str, Fraction]
    split: str | None = None


class Call(Struct, frozen=True):
    """A request to a port of a Service; `http` None = its bytes are not HTTP; `meshed`: the caller is in the mesh."""

    namespace: str
    service: str
    port: int
    transport: str
    http: Http | None
    meshed: bool = True


class RouteRules:
    """All TrafficSplits, by namespace and root."""

    def __init__(
        self, splits: Iterable[WeightedSplit], reading: Reading, world: ReceiverIndex, access: AccessRules
    ) -> None:
        self._world = world
        self._access = access
        self._layers: dict[tuple[str, str], list[WeightedSplit]] = {}
        # False sorts first: conditional layers before unconditional ones, and the oldest first among each.
        for split in sorted(splits, key=lambda one: (one.groups is None, one.age)):
            names_root = any(share.service == split.root for share in split.shares)
            if not names_root or reading.root_backend == "endpoints":
                self._layers.setdefault((split.namespace, split.root), []).append(split)

    def route(self, call: Call) -> Routed:
        """Tell who serves a call; clients carry splits out, so a caller from outside reaches the root's own endpoints."""
        if not self._world.has_service(call.namespace, call.service):
            return Routed("no-service", {})
        if self._world.service_port(call.namespace, call.service, call.port, call.transport) is None:
            return Routed("no-port", {})
        layers = self._layers.get((call.namespace, call.service), ()) if call.meshed else ()
        for split in layers:
            if split.groups is None or self._condition_holds(split.groups, call):
                return self._shared(split, call)
        return Routed("root", {call.service: Fraction(1)})

    def _condition_holds(self, groups: tuple[str, ...], call: Call) -> bool:
        """Tell whether one match of one group holds; bytes, and a port declared as TCP, satisfy no condition."""
        entry = self._world.service_port(call.namespace, call.service, call.port, call.transport)
        if call.http is None or entry is None or word_of_service_port(entry) == "tcp":
            return False
        http = call.http
        return any(one.holds(http) for group in groups for one in self._access.conditions(call.namespace, group))

    def _shared(self, split: WeightedSplit, call: Call) -> Routed:
        """Share a call among the backends that exist, have this port and weigh something; nobody left = unavailable."""
        weights = {
            share.service: share.weight
            for share in split.shares
            if share.weight > 0
            and self._world.service_port(call.namespace, share.service, call.port, call.transport) is not None
        }
        total = sum(weights.values(), Fraction(0))
        shares = {service: weight / total for service, weight in weights.items()}
        return Routed("split" if shares else "unavailable", shares, f"TrafficSplit/{split.namespace}/{split.name}")
