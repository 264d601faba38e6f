"""What stands between a TrafficTarget and those who call and receive: accounts, kinds, namespaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

from hub.model import Hurdle, HurdleWord, Source
from hub.semantics.access import destination_of
from hub.semantics.decoded import DecodedDocuments
from hub.semantics.identities import SubjectKey, key_of
from hub.semantics.near.names import accounts_in, alike, listed, meant, of_account, of_subject
from hub.semantics.types import Target, TargetSubject
from hub.semantics.world import ReceiverIndex, Situation

End = Literal["source", "destination"]
_WHAT: Mapping[End, HurdleWord] = {"source": "caller", "destination": "destination"}
_KINDS = ("ServiceAccount", "IdentityBinding")


class Caller(Struct, frozen=True):
    """Who calls: the subjects that it satisfies, and how it is told."""

    keys: frozenset[SubjectKey]
    words: str


def caller_of(source: Source, keys: frozenset[SubjectKey]) -> Caller:
    """Say who calls."""
    named = next(iter(accounts_in(keys)), None) or source.identity or source.spiffe or source.pod
    return Caller(keys, named or "an unknown caller")


class Parties:
    """Compares the two ends of a TrafficTarget with those of a request."""

    def __init__(self, decoded: DecodedDocuments, world: ReceiverIndex) -> None:
        self._world = world
        self._bindings = {(one.namespace, one.name) for one in decoded.bindings}

    def receives(self, target: Target, at: Situation) -> bool:
        """Tell whether a TrafficTarget concerns a receiver."""
        subject = destination_of(target)
        key = key_of(subject)
        return key is not None and subject.namespace == target.namespace and key in at.keys

    def calls(self, target: Target, caller: Caller) -> bool:
        """Tell whether a source of a TrafficTarget is the caller."""
        return any(key_of(subject) in caller.keys for subject in target.sources)

    def destination(self, target: Target, at: Situation) -> Hurdle | None:
        """Say why a TrafficTarget does not concern a receiver, None if it does."""
        subject = destination_of(target)
        key = key_of(subject)
        if key is None:
            return self._nobody("destination", subject)
        if subject.namespace != target.namespace:
            message = f"its destination in namespace {subject.namespace}: a TrafficTarget only applies to its own namespace, {target.namespace}"
            return Hurdle("namespace", message)
        if key in at.keys:
            return None
        unknown = self._unknown("destination", subject, "" if at.account is None else at.account[1])
        receiver = "an unknown workload" if at.account is None else of_account(at.account)
        return unknown or Hurdle("destination", f"its destination: {of_subject(subject)}; the receiver is {receiver}")

    def concerns(self, target: Target, at: Situation) -> bool:
        """Tell whether a destination may be meant to be a receiver: it has its name, or nearly so."""
        subject = destination_of(target)
        if at.account is None or at.account[0] not in {target.namespace, subject.namespace}:
            return False
        return subject.name == at.account[1] or (self._is_unknown(subject) and alike(subject.name, at.account[1]))

    def source(self, target: Target, caller: Caller) -> Hurdle | None:
        """Say why no source of a TrafficTarget is the caller, None if one is."""
        if self.calls(target, caller):
            return None
        hurdles = (one for subject in target.sources for one in self._near_source(subject, caller))
        sources = listed(of_subject(subject) for subject in target.sources)
        return next(hurdles, Hurdle("caller", f"its sources: {sources}; the caller is {caller.words}"))

    def _near_source(self, subject: TargetSubject, caller: Caller) -> Iterator[Hurdle]:
        """Yield why a source that may be meant to be the caller is not: it has the same name, or nearly that of one who runs."""
        name = caller.words.rpartition("/")[2]
        wanted = name if any(key[1:] in self._world.accounts() for key in caller.keys) else ""
        found = self._nobody("source", subject) if key_of(subject) is None else self._unknown("source", subject, wanted)
        if found is not None and (found.what == "account" or subject.name == name):
            yield found

    def _nobody(self, end: End, subject: TargetSubject) -> Hurdle:
        """Say why a subject can match nobody."""
        if subject.kind not in _KINDS:
            return Hurdle("kind", f'its {end} of kind "{subject.kind}", which is not supported; use ServiceAccount')
        if not subject.namespace:
            return Hurdle("namespace", f"its {end} {subject.name} without a namespace, which matches no caller")
        if subject.group is not None:
            return Hurdle("kind", f'its {end} {of_subject(subject)} of group "{subject.group}", which is not supported')
        return Hurdle(_WHAT[end], f"its {end} {of_subject(subject)}, which is not a valid name; SMI has no wildcards")

    def _unknown(self, end: End, subject: TargetSubject, wanted: str) -> Hurdle | None:
        """Say that a subject stands for nobody who runs, if it may be meant to be another one."""
        if not self._is_unknown(subject) or not (subject.kind == "IdentityBinding" or alike(subject.name, wanted)):
            return None
        lack = "which does not exist" if subject.kind == "IdentityBinding" else "which no workload runs as"
        return Hurdle("account", f"its {end} {of_subject(subject)}, {lack}{meant(subject.name, [wanted])}")

    def _is_unknown(self, subject: TargetSubject) -> bool:
        """Tell whether the documents show who runs, and nobody who runs is this one."""
        named = (subject.namespace, subject.name)
        if subject.kind == "IdentityBinding":
            return named not in self._bindings
        return self._world.shows_workloads and named not in self._world.accounts()
