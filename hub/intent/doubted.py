"""What the declared protocols of an identity's ports are worth while objects cannot be read (docs/smi.md, 6.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from hub.intent.ports import Certainty
from hub.intent.view import ProblemCollector, View, WorkloadProfile
from hub.model import Declared, Grant, Identity, InboundPort, ObjectRef, Problem
from hub.smi.types import Doubt

_SHOWN = 3


class Certainties(Struct, frozen=True, gc=False):
    """How far the declarations of each profile can be trusted, the same for the identity itself, and what takes it away."""

    profiles: Mapping[WorkloadProfile, Certainty]
    itself: Certainty
    because: tuple[ObjectRef, ...]

    def beyond(self) -> tuple[Declared, ...]:
        """What ports that no fact names declare: of Pods and templates, or of the identity if there are none."""
        pods = {found for profile, found in self.profiles.items() if profile.standing != "workload"}
        return tuple(sorted({"none" if found == "all" else "unknown" for found in pods or {self.itself}}))


def certainties(view: View, identity: Identity, selecting: Mapping[WorkloadProfile, Iterable[object]]) -> Certainties:
    """What broken Services that may select these profiles, and broken workloads that may run under the identity, leave open."""
    general = view.doubts(identity.namespace)
    others = [each for each in general if each.kind == "workload" and each.account in {None, identity.service_account}]
    anyone = [each for each in general if each.kind == "service"]
    doubting = {
        profile: [*anyone, *(each for each in found if isinstance(each, Doubt))] for profile, found in selecting.items()
    }
    # A broken workload may declare any protocol for any port of
    # the identity, so what the others declare is worth nothing.
    if others:
        certain: dict[WorkloadProfile, Certainty] = dict.fromkeys(doubting, "none")
    else:
        certain = {profile: "http" if doubts else "all" for profile, doubts in doubting.items()}
    because = {each.ref for doubts in (others, *doubting.values()) for each in doubts}
    return Certainties(certain, "none" if others else "all", tuple(sorted(because)))


def unknown_ports(
    view: View, grants: Iterable[Grant], ports: Iterable[InboundPort], known: Certainties
) -> tuple[Problem, ...]:
    """A Problem if some of a TrafficTarget's TCP grants mean nothing on a port because of what cannot be read."""
    if not known.because:
        return ()
    beyond = "unknown" in known.beyond()
    for grant in grants:
        if grant.transport == "TCP" and (beyond or any(_is_unknown_to(port, grant) for port in ports)):
            notes = ProblemCollector(grant.origin)
            more = f", and {len(known.because) - _SHOWN} more" if len(known.because) > _SHOWN else ""
            why = ", ".join(view.fault(ref) for ref in known.because[:_SHOWN])
            message = f"{why}{more}, so the protocols of the destination's ports may be unknown; where they are, no raw TCP is granted"
            notes.error("target.unknown-port", "spec.destination", message, "fix what cannot be read")
            return notes.problems
    return ()


def _is_unknown_to(port: InboundPort, grant: Grant) -> bool:
    return port.declared == "unknown" and (grant.ports is None or port.port in grant.ports)
