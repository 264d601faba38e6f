"""More adapters that the kit must reject, so that every property of it rejects somebody; functions that a fresh process finds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import count

from msgspec.structs import replace

from hub.api import (
    Access,
    AdapterSpec,
    Answer,
    Facts,
    Loss,
    Narrowing,
    NativeObject,
    ObjectRef,
    Observed,
    Request,
    Role,
    Translation,
    Unit,
)
from tests.hub.testing.conformance import gate_mesh
from tests.hub.testing.conformance.gate_evaluate import Gates
from tests.hub.testing.conformance.gate_mesh import SPEC, GateConfig, encode

_COUNTER = count()
_KNOWN = {"Lock": {"receiver", "doubtful"}, "Pass": {"receiver", "callers", "at", "elsewhere", "labels", "list"}}


# ----------------------------------------------------------------------------------------------------------- translate


def refuses_silently(unit: Unit, config: GateConfig) -> Translation:
    """Paths that are patterns are left out, and not reported."""
    if not isinstance(unit, Access):
        return gate_mesh.translate(unit, config)
    grants = []
    for grant in unit.grants:
        kept = tuple(match for match in grant.http or () if not set(match.path or "") & set("[(*"))
        grants += [grant] if grant.http is None else [replace(grant, http=kept)] if kept else []
    return replace(gate_mesh.translate(replace(unit, grants=tuple(grants)), config), carried=None)


def raises_on_many(unit: Unit, config: GateConfig) -> Translation:
    """More than three grants, or many callers, are too much."""
    if isinstance(unit, Access) and (len(unit.grants) > 3 or any(len(grant.sources) > 100 for grant in unit.grants)):
        raise ValueError("too many")
    return gate_mesh.translate(unit, config)


def waits_for_nobody(unit: Unit, config: GateConfig) -> Translation:
    """The ports that a grant leaves out are not looked at."""
    if not isinstance(unit, Access):
        return gate_mesh.translate(unit, config)
    grants = tuple(replace(grant, not_ports=()) for grant in unit.grants)
    return gate_mesh.translate(replace(unit, grants=grants), config)


def counts_objects(unit: Unit, config: GateConfig) -> Translation:
    """Every Pass has a number that no other had."""
    made = gate_mesh.translate(unit, config)
    return replace(
        made, objects=tuple(_renamed(one, f"{one.ref.name}-{next(_COUNTER)}", "Pass") for one in made.objects)
    )


def hashes_names(unit: Unit, config: GateConfig) -> Translation:
    """A Pass is called by Python's own hash, which differs between processes."""
    made = gate_mesh.translate(unit, config)
    return replace(made, objects=tuple(_renamed(one, f"p{hash(one.ref.name)}", "Pass") for one in made.objects))


def flattens_names(unit: Unit, config: GateConfig) -> Translation:
    """All Locks are in one place, and dots in names are dashes."""
    made = gate_mesh.translate(unit, config)
    objects = [_renamed(one, one.ref.name.replace(".", "-"), "Lock") for one in made.objects]
    return replace(made, objects=tuple(_in_one_place(one) for one in objects))


def _in_one_place(native: NativeObject) -> NativeObject:
    return replace(native, ref=replace(native.ref, namespace="gates")) if native.ref.kind == "Lock" else native


def needs_nobody(unit: Unit, config: GateConfig) -> Translation:
    """A Pass needs an object that nobody writes."""
    made = gate_mesh.translate(unit, config)
    missing = ObjectRef("gate.example", "Wall", "gates", "wall")
    objects = (replace(one, needs=(*one.needs, missing)) if one.ref.kind == "Pass" else one for one in made.objects)
    return replace(made, objects=tuple(objects))


def carries_nothing(unit: Unit, config: GateConfig) -> Translation:
    """What is carried out is not told."""
    made = gate_mesh.translate(unit, config)
    return replace(made, carried=()) if isinstance(unit, Access) else made


def says_nothing(unit: Unit, config: GateConfig) -> Translation:
    """Its Losses have no remedy, and name an object that is not there."""
    made = gate_mesh.translate(unit, config)
    return replace(made, losses=tuple(_empty(loss) for loss in made.losses))


def _empty(loss: Loss) -> Loss:
    return replace(loss, remedy="", origin=ObjectRef("", "Nothing", "", ""))


def knows_one_domain(unit: Unit, config: GateConfig) -> Translation:
    """Callers are written with the default trust domain, whatever theirs is."""
    made = gate_mesh.translate(unit, config)
    return replace(made, objects=tuple(_in_default_domain(one) for one in made.objects))


def _in_default_domain(native: NativeObject) -> NativeObject:
    body = json.loads(native.body)
    if "callers" not in body:
        return native
    callers = [f"spiffe://cluster.local/{one.split('/', 3)[3]}" for one in body["callers"]]
    return replace(native, body=encode({**body, "callers": callers}))


def compares_all(unit: Unit, config: GateConfig) -> Translation:
    """Every match is compared with every other one, of the first 1 000: that takes seconds."""
    matches = [match for grant in (unit.grants if isinstance(unit, Access) else ()) for match in grant.http or ()]
    alike = sum(str(one) == str(other) for one in matches[:1000] for other in matches[:1000])
    return gate_mesh.translate(unit, config) if alike >= 0 else Translation()


def _renamed(native: NativeObject, name: str, kind: str) -> NativeObject:
    return replace(native, ref=replace(native.ref, name=name)) if native.ref.kind == kind else native


# ------------------------------------------------------------------------------------------- what stands, and narrowest


def keeps_grants(desired: Sequence[NativeObject], observed: Mapping[ObjectRef, Observed]) -> tuple[NativeObject, ...]:
    """What stands stays: no grant is ever deleted."""
    known = {native.ref for native in desired}
    old = (
        NativeObject(one.ref, one.role, one.owned, (), one.needs) for one in observed.values() if one.ref not in known
    )
    return (*desired, *old)


def starts_over(desired: Sequence[NativeObject], observed: Mapping[ObjectRef, Observed]) -> tuple[NativeObject, ...]:
    """Where something stands, Locks are written under other names."""
    return tuple(_renamed(one, f"{one.ref.name}-again", "Lock") for one in desired) if observed else tuple(desired)


def narrowest_is_all(body: bytes, kind: str) -> bytes | None:
    """The narrowest form of a grant is the grant."""
    return body


def meets_by_name(standing: Sequence[NativeObject], wanted: Sequence[NativeObject]) -> Sequence[NativeObject]:
    """What is wanted, where an object of that name stands, whatever is in it."""
    known = {one.ref for one in standing}
    return [one for one in wanted if one.ref in known or one.role is Role.GUARD]


def meets_half(standing: Sequence[NativeObject], wanted: Sequence[NativeObject]) -> Sequence[NativeObject]:
    """Everything stays as it stands, revoked or not."""
    return standing


def meets_never(standing: Sequence[NativeObject], wanted: Sequence[NativeObject]) -> Sequence[NativeObject]:
    """No grant stays, be it as it is wanted."""
    return [one for one in wanted if one.role is Role.GUARD]


# ------------------------------------------------------------------------------------------------------------ evaluate


class Whims(Gates):
    """Refuses POST, with a code that nobody declared."""

    def judge(self, request: Request) -> Answer:
        """See hub.api.Evaluator."""
        answer = super().judge(request)
        refused = answer.verdict == "allow" and request.method == "POST" and request.dst.service is None
        return Answer("deny", losses=("gate.whim",)) if refused else answer


class Narrows(Gates):
    """Whatever is let through is refused: the mesh is like that."""

    def judge(self, request: Request) -> Answer:
        """See hub.api.Evaluator."""
        answer = super().judge(request)
        if request.dst.service is not None or answer.verdict == "deny":
            words = dict.fromkeys(answer.backends or {}, "deny")
            return replace(answer, verdict="deny", backends=words, losses=("gate.anything",))
        return Answer("deny", losses=("gate.anything",))


def narrows_everything(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """See Narrows."""
    return Narrows(objects, facts)


def has_whims(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """See Whims."""
    return Whims(objects, facts)


def sees_the_first(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """Of the workloads of an identity the first is looked at."""
    first = {one.identity: ref for ref, one in reversed(list(facts.placements.items()))}
    placements = {ref: one for ref, one in facts.placements.items() if first[one.identity] == ref}
    return Gates(objects, replace(facts, placements=placements))


def is_lenient(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """Fields that are not known are skipped."""
    return Gates([_cleaned(native) for native in objects], facts)


def _cleaned(native: NativeObject) -> NativeObject:
    body, known = json.loads(native.body), _KNOWN.get(native.ref.kind)
    kept = body if known is None else {key: value for key, value in body.items() if key in known}
    return replace(native, body=encode(kept))


def needs_roles(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """A Lock counts where the hub says that it is a guard."""
    return Gates([one for one in objects if one.ref.kind != "Lock" or one.role is Role.GUARD], facts)


MORE: Mapping[str, tuple[AdapterSpec[GateConfig], frozenset[str]]] = {
    "refuses silently": (replace(SPEC, translate=refuses_silently), frozenset({"exact", "cases"})),
    "raises on many": (
        replace(SPEC, translate=raises_on_many),
        frozenset({"raises-nothing", "hostile-input-raises-nothing"}),
    ),
    "waits for nobody": (replace(SPEC, translate=waits_for_nobody), frozenset({"waiting-gains-open-nothing"})),
    "counts objects": (
        replace(SPEC, translate=counts_objects),
        frozenset({"unit-independence", "idempotence", "determinism"}),
    ),
    "hashes names": (replace(SPEC, translate=hashes_names), frozenset({"determinism"})),
    "flattens names": (replace(SPEC, translate=flattens_names), frozenset({"names-apart", "one-unit-per-object"})),
    "needs nobody": (replace(SPEC, translate=needs_nobody), frozenset({"needs-exist"})),
    "carries nothing": (replace(SPEC, translate=carries_nothing), frozenset({"truthful-gains"})),
    "says nothing": (replace(SPEC, translate=says_nothing), frozenset({"losses-say-what"})),
    "knows one trust domain": (replace(SPEC, translate=knows_one_domain), frozenset({"exact", "never-wider"})),
    "compares all": (replace(SPEC, translate=compares_all), frozenset({"within-budgets"})),
    "keeps grants": (replace(SPEC, carry_over=keeps_grants), frozenset({"nothing-left-over"})),
    "starts over": (replace(SPEC, carry_over=starts_over), frozenset({"nothing-to-do-where-all-stands"})),
    "narrowest is all": (replace(SPEC, narrowest=narrowest_is_all), frozenset({"narrowest-grants-nothing"})),
    "meets by name": (replace(SPEC, meet=meets_by_name), frozenset({"edited-units-gain-nothing"})),
    "meets half": (replace(SPEC, meet=meets_half), frozenset({"edited-units-gain-nothing"})),
    "meets never": (replace(SPEC, meet=meets_never), frozenset({"edited-units-settle"})),
    "narrows everything": (
        replace(
            SPEC,
            evaluator=narrows_everything,
            narrowings=(*SPEC.narrowings, Narrowing("gate.anything", "anything may be refused")),
        ),
        frozenset({"plain-grants-are-exact"}),
    ),
    "has whims": (replace(SPEC, evaluator=has_whims), frozenset({"loss-is-declared"})),
    "sees the first": (replace(SPEC, evaluator=sees_the_first), frozenset({"order-independence"})),
    "is lenient": (replace(SPEC, evaluator=is_lenient), frozenset({"evaluate-guesses-nothing"})),
    "needs roles": (replace(SPEC, evaluator=needs_roles), frozenset({"evaluate-reads-bytes-alone"})),
}
"""By what is wrong: the adapter, and the properties that the kit must name, each of them."""
