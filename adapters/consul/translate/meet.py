"""What two states of an intention both allow, source by source: what stands, whoever wrote it last, and what is wanted. Pure.

Whoever either of them names is named: where Consul denies by default, it lets in whom an intention of somebody else allows to every
destination and this one does not name (observed on Consul 1.22). A denial by name that is not for good says so, or `overrides.learned`
would take it for one of such services. An intention that stands stays, and one that has gone comes back, for without one the default
decides, which may be to allow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from adapters.consul.config import ConsulConfig
from adapters.consul.names import EVERY, GROUP, KINDS
from adapters.consul.translate.objects import Form
from adapters.consul.translate.standing import INTENTION, Json, StandingIntention, Who, Word, read
from adapters.consul.vocabulary import UNTIL_KNOWN
from hub.api import NativeObject, ObjectRef, Role

_FORMS = {resources: Form(ConsulConfig(), resources=resources) for resources in (False, True)}
_EVERYBODY: Who = (("Name", EVERY),)


def meet(standing: Sequence[NativeObject], wanted: Sequence[NativeObject]) -> tuple[NativeObject, ...]:
    """The intentions of an Access unit, which has nothing else, each with what it allows both as it stands and as it is wanted.

    What else stands of the unit stays as it is, and nothing is allowed then: it may change what an intention means. Nor is anything
    where two intentions are for one service, of which Consul has the one that was written last.
    """
    asked = {one.ref: one for one in wanted if _is_intention(one.ref)}
    there = {one.ref: read(one) for one in standing if _is_intention(one.ref)}
    others = [one for one in standing if one.ref not in there]
    named = Counter(said.destination.lower() for said in there.values())
    sure = {ref for ref, said in there.items() if not others and named[said.destination.lower()] == 1}
    gone = {ref: read(one) for ref, one in asked.items() if ref not in there}
    return (
        *others,
        *(_met(ref, said, asked.get(ref), sure=ref in sure) for ref, said in there.items()),
        *(
            _met(ref, _without(said), asked[ref], sure=True)
            for ref, said in gone.items()
            if said.destination not in named
        ),
    )


def _without(said: StandingIntention) -> StandingIntention:
    """The same of a service that has none."""
    return StandingIntention(said.destination, {})


def _is_intention(ref: ObjectRef) -> bool:
    return ref.kind in {INTENTION, KINDS[INTENTION]}


def _met(ref: ObjectRef, stands: StandingIntention, wanted: NativeObject | None, *, sure: bool) -> NativeObject:
    """An intention for whom the standing one is for, which consul-k8s does not let change."""
    asked = _without(stands) if wanted is None else read(wanted)
    sure = sure and stands.certain and asked.certain and asked.destination == stands.destination
    words = {
        who: _both(stands.sources.get(who, ()), asked.sources.get(who, ())) if sure else ()
        for who in sorted({*stands.sources, *asked.sources})
        if who != _EVERYBODY
    }
    for_good = {_EVERYBODY} | stands.denied | asked.denied
    listed = [_source(who, word, for_good=who in for_good) for who, word in {**words, _EVERYBODY: ()}.items()]
    # Only permissions need a protocol, and those that are left are wanted.
    needs = wanted.needs if wanted is not None and any(words.values()) else ()
    form = _FORMS[ref.group == GROUP]
    named: Json = {"Destination": {"Name": stands.destination}} if form.resources else {"Name": stands.destination}
    return form.native(ref, INTENTION, {**named, "Sources": listed}, Role.GRANT, needs)


def _source(who: Who, word: Word, *, for_good: bool) -> Json:
    if word is None:
        return {**dict(who), "Action": "allow"}
    if word:
        return {**dict(who), "Permissions": list(word)}
    return {**dict(who), "Action": "deny"} | ({} if for_good else {"Description": UNTIL_KNOWN})


def _both(stands: Word, wanted: Word) -> Word:
    """What a source may send by both words.

    Where any bytes are wanted the service is not to speak HTTP, and Consul would not let its protocol go while permissions stand.
    """
    if stands is None or wanted is None:
        return wanted if stands is None else ()
    return _permissions(stands, wanted)


def _permissions(stands: Sequence[Json], wanted: Sequence[Json]) -> tuple[Json, ...]:
    """The permissions to allow that are in both lists, each after every denial that is before it in either."""
    first: dict[bytes, int] = {}
    for at, one in enumerate(stands):
        first.setdefault(_key(one), at)
    met = {_key(one): one for one in _in_order(stands, first, wanted)}  # of equal ones the first counts
    return tuple(met.values()) if any(map(_allows, met.values())) else ()


def _in_order(stands: Sequence[Json], first: Mapping[bytes, int], wanted: Sequence[Json]) -> Iterator[Json]:
    passed = 0
    for one in wanted:
        if not _allows(one):
            yield one
        elif (at := first.get(_key(one))) is not None:
            yield from (each for each in stands[passed:at] if not _allows(each))
            passed = max(passed, at)
            yield one


def _allows(permission: Json) -> bool:
    return bool(permission["Action"] == "allow")


def _key(permission: Json) -> bytes:
    return msgspec.json.encode(permission, order="sorted")
