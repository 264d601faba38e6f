"""One TrafficSplit by itself: its condition, and its backends with their summed weights.

Source: SMI specification, traffic-split v1alpha1 to v1alpha4: backends are Services of the split's own namespace, and
the root is none of them ("Tradeoffs"); `matches` are HTTPRouteGroups, merged (v1alpha3, v1alpha4).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import islice

from msgspec import Struct

from hub.intent.names import is_foreign, local_service
from hub.intent.targets import MAX_MATCHES, read_match, route_group, sorted_matches
from hub.intent.view import SPECS, ProblemCollector, View, remedy_if_absent, why_absent
from hub.model import Backend, HttpMatch, ObjectRef, Problem, Split
from hub.smi.types import HTTPRouteGroup, Service, TrafficSplit

MAX_BACKENDS = 256
"""Most backends of one TrafficSplit; each of them is looked at for each port of the root."""


class ReadSplit(Struct, frozen=True):
    """A valid TrafficSplit, before it is known which ports its backends have; without condition left its `matches` are ().

    `created` (seconds of the Unix epoch) is its age; `fields` are where each backend is named first, `groups` the
    HTTPRouteGroups of the condition.
    """

    split: Split
    created: float
    fields: tuple[tuple[str, str], ...]
    groups: tuple[ObjectRef, ...]

    @property
    def age(self) -> tuple[float, str]:
        """Sorts the oldest first, then by name."""
        return self.created, self.split.origin.name


def root_of(split: TrafficSplit, trust_domain: str) -> str | None:
    """The Service of its own namespace that a split is about; None if it names another namespace's."""
    return local_service(split.service, split.ref.namespace, trust_domain)


def read_split(view: View, split: TrafficSplit) -> tuple[ReadSplit | None, tuple[Problem, ...]]:
    """The split; None if it is invalid, and its root is then served unsplit."""
    notes = ProblemCollector(split.ref)
    backends = _backends(view, split, notes)
    if backends is None:
        return None, notes.problems
    sums, fields = backends
    groups: set[ObjectRef] = set()
    matches = None if split.matches is None else _merged(view, split, notes, groups)
    if matches == ():
        message = "no valid condition is left, so this split applies to no request and the root Service answers them"
        notes.error(
            "split.no-condition",
            "spec.matches",
            message,
            "use an HTTPRouteGroup in this namespace that has valid matches",
        )
    if not any(backend.weight for backend in split.backends):
        message = "every weight is 0, so requests that this split applies to fail"
        notes.error("split.no-weight", "spec.backends", message, "give at least one backend a positive weight")
    shares = tuple(Backend(name, weight) for name, weight in sorted(sums.items()))
    read = Split(split.ref, matches, shares)
    return ReadSplit(read, split.created, tuple(sorted(fields.items())), tuple(sorted(groups))), notes.problems


def _merged(view: View, split: TrafficSplit, notes: ProblemCollector, groups: set[ObjectRef]) -> tuple[HttpMatch, ...]:
    """The matches of the condition, sorted; none of them if there are too many."""
    # One more than allowed is enough to know; the full product of groups and matches is never built.
    found = list(islice(_condition(view, split, notes, groups), MAX_MATCHES + 1))
    if len(found) <= MAX_MATCHES:
        return sorted_matches(found)
    message = f"the condition has more than {MAX_MATCHES} matches"
    notes.error("limit.exceeded", "spec.matches", message, "use fewer or smaller HTTPRouteGroups")
    return ()


def _backends(
    view: View, split: TrafficSplit, notes: ProblemCollector
) -> tuple[dict[str, Fraction], dict[str, str]] | None:
    """Weight and field of each backend; None if one of them voids the split."""
    root = root_of(split, view.trust_domain)
    sums: dict[str, Fraction] = {}
    fields: dict[str, str] = {}
    void = not split.backends
    if void:
        notes.error(
            "split.no-backend",
            "spec.backends",
            "no backend is listed, so the root Service answers all requests",
            "list the backends",
        )
    if len(split.backends) > MAX_BACKENDS:
        message = f"more than {MAX_BACKENDS} backends are listed, so the whole split is ignored"
        notes.error("limit.exceeded", "spec.backends", message, "list fewer backends")
        return None
    for index, backend in enumerate(split.backends):
        field = f"spec.backends[{index}].service"
        name = local_service(backend.service, split.ref.namespace, view.trust_domain)
        if name is None and not is_foreign(backend.service):
            message = f'"{backend.service}" is not a valid Service name, so its share goes to the other backends'
            notes.error("split.backend-name", field, message, "use the plain name of a Service in this namespace")
            continue
        # A backend in another namespace would send this root's traffic to owners who never agreed. Leaving out only
        # its share would shift the others' percentages to something that nobody wrote, so the whole split falls.
        if name is None:
            message = f'backend "{backend.service}" is not a Service in namespace "{split.ref.namespace}", so the whole split is ignored'
            notes.error("split.backend-namespace", field, message, "use the plain name of a Service in this namespace")
            void = True
            continue
        if name == root and view.reading.root_backend == "reject":
            message = f'the root "{root}" is also a backend, so the whole split is ignored'
            remedy = "use a separate Service for the backend, or set reading.rootBackend: endpoints in smihub.yaml"
            notes.error("split.root-backend", field, message, f"{remedy} if the root's own endpoints are intended")
            void = True
        elif name == root and name not in sums:
            _own_endpoints(view, split, field, notes)
        sums[name] = sums.get(name, Fraction(0)) + backend.weight
        fields.setdefault(name, field)
    return None if void else (sums, fields)


def _own_endpoints(view: View, split: TrafficSplit, field: str, notes: ProblemCollector) -> None:
    """Warn of a root among its backends; and where its own endpoints are those of another backend too."""
    root = root_of(split, view.trust_domain)
    message = f'the root "{root}" is also a backend, which SMI does not allow; the endpoints of the root Service are used for it'
    remedy = "use a separate Service for them; with reading.rootBackend: reject in smihub.yaml such a split is ignored"
    notes.warning("split.own-endpoints", field, message, remedy)
    for name in sorted(
        {local_service(each.service, split.ref.namespace, view.trust_domain) or "" for each in split.backends}
    ):
        if name not in {"", root} and _covers(view, split.ref.namespace, root or "", name):
            message = f'"{root}" also selects the Pods of backend "{name}", so they also receive part of the share of "{root}"'
            notes.warning("split.root-overlaps", field, message, "use a separate Service for the root's other Pods")


def _covers(view: View, namespace: str, root: str, backend: str) -> bool:
    """Whether every Pod that one Service selects is one of the other's."""
    one, other = (view.get(ObjectRef("", "Service", namespace, name)) for name in (root, backend))
    if not isinstance(one, Service) or not isinstance(other, Service):
        return False
    return bool(one.selector) and {*(one.selector or ())} <= {*(other.selector or ())}


def _condition(view: View, split: TrafficSplit, notes: ProblemCollector, groups: set[ObjectRef]) -> Iterator[HttpMatch]:
    """Every usable match of the groups that the condition names."""
    for index, (kind, name) in enumerate(split.matches or ()):
        field = f"spec.matches[{index}]"
        if not kind:
            continue  # of another API group, as the decoder has said
        if kind != "HTTPRouteGroup":
            message = f'a condition of kind "{kind}" matches no request'
            notes.error("split.condition-kind", f"{field}.kind", message, 'use "HTTPRouteGroup"')
            continue
        group = route_group(view, split.ref.namespace, name)
        if group is None:
            ref = ObjectRef(SPECS, "HTTPRouteGroup", split.ref.namespace, name)
            message = f"{why_absent(view, ref)}, so it matches no request"
            remedy = remedy_if_absent(view, ref, "create it, or remove the condition")
            notes.error("split.condition-missing", f"{field}.name", message, remedy)
            continue
        groups.add(group.ref)
        yield from _matches(view, group, field, notes)


def _matches(view: View, group: HTTPRouteGroup, field: str, notes: ProblemCollector) -> Iterator[HttpMatch]:
    for match in group.matches:
        if match.match is not None:
            yield read_match(match.match, view.reading)
            continue
        message = f'match "{match.name}" of HTTPRouteGroup "{group.ref.name}" is invalid, so it matches no request'
        notes.error("split.match-void", f"{field}.name", message, "fix the match; the error of its group says how")
