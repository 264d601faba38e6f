"""What the evaluators of all meshes share: who receives a call, and how the judgements of single workloads add up to an answer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from hub.model import Answer, BackendWord, Destination, Facts, ObjectRef, Placement, VerdictWord

R = TypeVar("R")


class Verdict(Struct, frozen=True):
    """A judgement at one workload; `http` says that its proxy read the call as HTTP."""

    allowed: bool
    by: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
    http: bool = False


class Receivers(Generic[R]):
    """The workloads of a mesh, each as what `make` gives for it, by object, by identity and by name.

    `without_workload` gives, for a namespace and an account as which nothing runs, who would receive there (nobody: none).
    """

    def __init__(
        self, facts: Facts, make: Callable[[Placement], R], without_workload: Callable[[str, str], Sequence[R]]
    ) -> None:
        self._trust_domain = facts.trust_domain
        self._without_workload = without_workload
        self._by_ref = {ref: make(placement) for ref, placement in sorted(facts.placements.items())}
        self._by_spiffe: dict[str, list[R]] = {}
        self._by_name: dict[str, list[Placement]] = {}
        for ref, placement in sorted(facts.placements.items()):
            self._by_spiffe.setdefault(placement.identity.spiffe, []).append(self._by_ref[ref])
            self._by_name.setdefault(f"{placement.ref.namespace}/{placement.ref.name}", []).append(placement)

    def at(self, ref: ObjectRef) -> R | None:
        """The receiver behind an endpoint, None where nobody knows it."""
        return self._by_ref.get(ref)

    def addressed(self, destination: Destination) -> Sequence[R]:
        """Those whom an identity or a pod means; nobody of that name: none."""
        if destination.pod is not None:
            placement = self.placement(destination.pod)
            return () if placement is None else (self._by_ref[placement.ref],)
        namespace, _, account = (destination.identity or "").partition("/")
        if not namespace or not account or "/" in account:
            return ()
        spiffe = f"spiffe://{self._trust_domain}/ns/{namespace}/sa/{account}"
        return self._by_spiffe.get(spiffe) or self._without_workload(namespace, account)

    def placement(self, name: str) -> Placement | None:
        """Where the workload of this name (`namespace/name`) runs: a Workload, else a Pod, else the template whose kind comes first."""
        return min(self._by_name.get(name, ()), key=_precedence, default=None)


def _precedence(placement: Placement) -> tuple[int, str, ObjectRef]:
    kind = placement.ref.kind
    return {"Workload": 0, "Pod": 1}.get(kind, 2), kind, placement.ref


def names_one(destination: Destination) -> bool:
    """Whether a destination is named in exactly one way."""
    return sum(name is not None for name in (destination.identity, destination.pod, destination.service)) == 1


def answer_of(verdicts: Sequence[Verdict], received: str | None = None) -> Answer:
    """The answer for an identity or a pod: it lets in what all of its workloads let in, and nothing where it has none."""
    refusing = [one for one in verdicts if not one.allowed]
    deciding = refusing or verdicts
    return Answer(
        "allow" if verdicts and not refusing else "deny",
        by=merged(one.by for one in deciding),
        losses=merged(one.losses for one in deciding),
        received=received,
    )


def backend_word(allowed: Iterable[bool]) -> BackendWord:
    """The word for a backend, given whether each of its endpoints lets a call in."""
    found = set(allowed)
    if not found:
        return "no-endpoint"
    return "mixed" if len(found) > 1 else "allow" if found == {True} else "deny"


def service_verdict(backends: Collection[BackendWord]) -> VerdictWord:
    """The verdict for a Service, given the words of all backends with a share."""
    if backends and all(word == "allow" for word in backends):
        return "allow"
    return "mixed" if any(word in {"allow", "mixed"} for word in backends) else "deny"


def merged(texts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    """All of these texts, sorted, each once."""
    return tuple(sorted({text for some in texts for text in some}))
