"""Adapters that would let someone in, or lie: each is a small change of the gate mesh, in functions that a fresh process finds."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from msgspec.structs import force_setattr, replace

from hub.api import (
    Access,
    AdapterSpec,
    Facts,
    Feature,
    Grant,
    HttpMatch,
    Loss,
    NativeObject,
    ObjectRef,
    Role,
    Route,
    Support,
    Translation,
    Unit,
)
from tests.hub.testing.conformance import gate_mesh
from tests.hub.testing.conformance.gate_evaluate import Gates
from tests.hub.testing.conformance.gate_mesh import SPEC, GateConfig, encode

Change = Callable[[Any], Any]


def _with_grants(unit: Unit, change: Callable[[Grant], Grant]) -> Unit:
    """The unit with other grants, where it is an Access."""
    return replace(unit, grants=tuple(map(change, unit.grants))) if isinstance(unit, Access) else unit


def _with_matches(unit: Unit, change: Callable[[HttpMatch], HttpMatch]) -> Unit:
    """The unit with other matches in its grants."""

    def changed(grant: Grant) -> Grant:
        return grant if grant.http is None else replace(grant, http=tuple(map(change, grant.http)))

    return _with_grants(unit, changed)


def with_bodies(made: Translation, kind: str, change: Change) -> Translation:
    """The translation with other bodies of one kind."""

    def changed(native: NativeObject) -> NativeObject:
        return replace(native, body=encode(change(json.loads(native.body)))) if native.ref.kind == kind else native

    return replace(made, objects=tuple(map(changed, made.objects)))


# --------------------------------------------------------------------------------------------- what is dropped or joined


def drops_methods(unit: Unit, config: GateConfig) -> Translation:
    """A match loses its methods."""
    return gate_mesh.translate(_with_matches(unit, lambda match: replace(match, methods=None)), config)


def drops_headers(unit: Unit, config: GateConfig) -> Translation:
    """A match loses its headers."""
    return gate_mesh.translate(_with_matches(unit, lambda match: replace(match, headers=())), config)


def forgets_ports(unit: Unit, config: GateConfig) -> Translation:
    """A grant counts on every port."""
    return gate_mesh.translate(_with_grants(unit, lambda grant: replace(grant, ports=None)), config)


def joins_rules(unit: Unit, config: GateConfig) -> Translation:
    """Grants of HTTP to the same callers become one, with all of their ports and all of their matches."""
    if not isinstance(unit, Access):
        return gate_mesh.translate(unit, config)
    http = [grant for grant in unit.grants if grant.http is not None]
    ports = sorted({port for grant in http for port in grant.ports or ()})
    matches = tuple(match for grant in http for match in grant.http or ())
    joined = [
        replace(grant, ports=tuple(ports) if grant.ports and ports else None, http=matches) if grant.http else grant
        for grant in unit.grants
    ]
    return gate_mesh.translate(replace(unit, grants=tuple(joined)), config)


def empty_is_all(unit: Unit, config: GateConfig) -> Translation:
    """An empty list of matches, or of variants, is left out, and what is left out means everything."""

    def opened(body: Any) -> Any:
        return body if body["at"] else {**body, "elsewhere": "any"}

    return with_bodies(gate_mesh.translate(unit, config), "Pass", opened)


def ignores_last_delete(unit: Unit, config: GateConfig) -> Translation:
    """An identity without grants has no objects."""
    return Translation() if isinstance(unit, Access) and not unit.grants else gate_mesh.translate(unit, config)


def forgets_namespaces(unit: Unit, config: GateConfig) -> Translation:
    """Callers are told by their account, whatever their namespace."""

    def everywhere(body: Any) -> Any:
        accounts = {one.rpartition("/")[2] for one in body["callers"]}
        more = {f"spiffe://cluster.local/ns/{space}/sa/{name}" for space in ("d", "x", "default") for name in accounts}
        return {**body, "callers": sorted({*body["callers"], *more})}

    return with_bodies(gate_mesh.translate(unit, config), "Pass", everywhere)


def prefix_is_full(unit: Unit, config: GateConfig) -> Translation:
    """A path is where a path begins."""

    def longer(match: HttpMatch) -> HttpMatch:
        return match if match.path is None else replace(match, path=f"(?:{match.path})(?s:.*)")

    return gate_mesh.translate(_with_matches(unit, longer), config)


# -------------------------------------------------------------------------------------------------------------- splits


def zero_is_one(unit: Unit, config: GateConfig) -> Translation:
    """A weight of zero becomes the least share."""

    def shared(body: Any) -> Any:
        for port in body["ports"]:
            for layer in port["layers"]:
                for share in layer["shares"]:
                    share["weight"] = "1" if share["weight"] == "0" else share["weight"]
        return body

    return with_bodies(gate_mesh.translate(unit, config), "Way", shared)


def all_zero_is_equal(unit: Unit, config: GateConfig) -> Translation:
    """Where all weights are zero, all get the same."""

    def shared(body: Any) -> Any:
        for layer in (layer for port in body["ports"] for layer in port["layers"]):
            if all(share["weight"] == "0" for share in layer["shares"]):
                layer["shares"] = [{**share, "weight": "1"} for share in layer["shares"]]
        return body

    return with_bodies(gate_mesh.translate(unit, config), "Way", shared)


def orders_by_name(unit: Unit, config: GateConfig) -> Translation:
    """The layers of a Service are tried by the names of their splits."""
    if not isinstance(unit, Route):
        return gate_mesh.translate(unit, config)
    ports = (replace(port, splits=tuple(sorted(port.splits, key=lambda one: one.origin))) for port in unit.ports)
    return gate_mesh.translate(replace(unit, ports=tuple(ports)), config)


# -------------------------------------------------------------------------------------------- inputs, objects, and names


def mutates_unit(unit: Unit, config: GateConfig) -> Translation:
    """What cannot be carried out is taken out of the unit itself."""
    if isinstance(unit, Access):
        force_setattr(unit, "grants", tuple(grant for grant in unit.grants if grant.transport == "TCP"))
    return gate_mesh.translate(unit, config)


def edits_in_place(unit: Unit, config: GateConfig) -> Translation:
    """A List is named after its TrafficTarget, so that a change edits it while others refer to it."""
    made = gate_mesh.translate(unit, config)
    lists = {native.ref: native for native in made.objects if native.ref.kind == "List"}
    objects = []
    for native in made.objects:
        if native.ref.kind == "Pass" and native.needs:
            listed = lists[native.needs[0]]
            ref = replace(listed.ref, name=native.ref.name)
            body = encode({**json.loads(native.body), "list": ref.name})
            objects += [replace(listed, ref=ref), replace(native, body=body, needs=(ref,))]
        elif native.ref.kind != "List":
            objects.append(native)
    return replace(made, objects=tuple({one.ref: one for one in objects}.values()))


def short_names(unit: Unit, config: GateConfig) -> Translation:
    """Digests in names have 32 bits."""
    made = gate_mesh.translate(unit, config)
    objects = []
    for native in made.objects:
        body = json.loads(native.body)
        if native.ref.kind == "Pass" and "list" in body:
            body["list"] = _short(body["list"])
        needs = tuple(_shortened(ref) for ref in native.needs)
        objects.append(replace(native, ref=_shortened(native.ref), body=encode(body), needs=needs))
    return replace(made, objects=tuple({one.ref: one for one in objects}.values()))


def _shortened(ref: ObjectRef) -> ObjectRef:
    return replace(ref, name=_short(ref.name)) if ref.kind in {"Pass", "List"} else ref


def _short(name: str) -> str:
    account, _, digest = name.rpartition(".")
    return f"{account}.{sha256(digest.encode()).hexdigest()[:8]}"


# -------------------------------------------------------------------------------------------------------------- losses


def all_is_lost(unit: Unit, config: GateConfig) -> Translation:
    """Everything is a Loss; the table still says that it works."""
    made = gate_mesh.translate(unit, config)
    if not isinstance(unit, Access):
        return made
    lost = tuple(_loss(grant) for grant in unit.grants)
    locks = tuple(native for native in made.objects if native.role is Role.GUARD)
    return Translation(locks, lost, carried=())


def exact_is_lost(unit: Unit, config: GateConfig) -> Translation:
    """A path with a pattern is carried out, and reported as lost."""
    made = gate_mesh.translate(unit, config)
    grants = unit.grants if isinstance(unit, Access) else ()
    lost = tuple(_loss(grant) for grant in grants if any(match.path for match in grant.http or ()))
    return replace(made, losses=(*made.losses, *lost))


def loses_headers(unit: Unit, config: GateConfig) -> Translation:
    """Matches with headers are refused with a Loss; the table says that headers are carried out in full."""
    if not isinstance(unit, Access):
        return gate_mesh.translate(unit, config)
    kept, lost = [], []
    for grant in unit.grants:
        matches = tuple(match for match in grant.http or () if not match.headers)
        lost += [_loss(grant)] if grant.http and len(matches) < len(grant.http) else []
        kept += [replace(grant, http=matches)] if matches else [grant] if grant.http is None else []
    made = gate_mesh.translate(replace(unit, grants=tuple(kept)), config)
    return replace(made, losses=(*made.losses, *lost))


def _loss(grant: Grant) -> Loss:
    return Loss("gate.pattern", grant.origin, "spec.rules", "a gate knows no patterns", "GET /a", "use fewer")


# ------------------------------------------------------------------------------------------------------------ evaluate

_REMEMBERED: dict[ObjectRef, Any] = {}
"""What an evaluator must not have: the input, by the object that was made of it."""


def remembers_smi(unit: Unit, config: GateConfig) -> Translation:
    """The requests are not written, and kept for an evaluator of the same process."""
    made = gate_mesh.translate(unit, config)
    for native in made.objects:
        if native.ref.kind == "List":
            _REMEMBERED[native.ref] = native.body
    return with_bodies(made, "List", lambda _: {"requests": [{}]})


def answers_from_smi(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """Judges by what was remembered."""
    known = [replace(native, body=_REMEMBERED.get(native.ref, native.body)) for native in objects]
    return Gates(known, facts)


def notes_smi(unit: Unit, config: GateConfig) -> Translation:
    """Every List has a note of what it should say; what it says is everything."""
    made = gate_mesh.translate(unit, config)
    return with_bodies(
        made, "List", lambda body: {"metadata": {"annotations": {"smi": json.dumps(body)}}, "requests": [{}]}
    )


def answers_from_notes(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """Judges by the notes."""
    read = []
    for native in objects:
        body = json.loads(native.body) if native.ref.kind == "List" else {}
        notes = body.get("metadata", {}).get("annotations", {})
        read.append(replace(native, body=notes["smi"].encode()) if "smi" in notes else native)
    return Gates(read, facts)


def ignores_methods(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """Judges as if the mesh did with methods what the input says: GET alone where a List names some."""
    return Gates([_fixed(native, _get_alone) for native in objects], facts)


def ignores_ports(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """Judges without a look at the field that carries the ports: every variant of a workload's ports counts."""
    return Gates([_fixed(native, _anywhere) for native in objects], facts)


def _fixed(native: NativeObject, change: Change) -> NativeObject:
    return replace(native, body=encode(change(json.loads(native.body))))


def _get_alone(body: Any) -> Any:
    requests = [{**one, "methods": ["PATCH"]} if "methods" in one else one for one in body.get("requests", ())]
    return {**body, "requests": requests} if "requests" in body else body


def _anywhere(body: Any) -> Any:
    return {**body, "elsewhere": "any"} if "elsewhere" in body else body


# --------------------------------------------------------------------------------------------------------------- table


def _translating(translate: Callable[[Unit, GateConfig], Translation], **parts: Any) -> AdapterSpec[GateConfig]:
    return replace(SPEC, translate=translate, **parts)


_BOAST = {**SPEC.features, Feature.ACCESS_UDP: Support.FULL}
BAD: Mapping[str, tuple[AdapterSpec[GateConfig], frozenset[str]]] = {
    "drops a method": (_translating(drops_methods), frozenset({"never-wider"})),
    "drops headers": (_translating(drops_headers), frozenset({"never-wider", "nothing-silent"})),
    "forgets a destination port": (_translating(forgets_ports), frozenset({"never-wider"})),
    "joins rules across ports": (_translating(joins_rules), frozenset({"never-wider"})),
    "empties a list into allow-all": (_translating(empty_is_all), frozenset({"never-wider"})),
    "ignores the last delete": (_translating(ignores_last_delete), frozenset({"default-deny", "never-wider"})),
    "forgets a namespace": (_translating(forgets_namespaces), frozenset({"never-wider"})),
    "treats a prefix as full": (_translating(prefix_is_full), frozenset({"never-wider"})),
    "turns a zero weight into a share": (_translating(zero_is_one), frozenset({"exact-shares"})),
    "turns all-zero weights into shares": (_translating(all_zero_is_equal), frozenset({"exact-shares"})),
    "reorders by name": (_translating(orders_by_name), frozenset({"exact-shares"})),
    "mutates its input": (_translating(mutates_unit), frozenset({"inputs-not-mutated"})),
    "edits a referenced object in place": (_translating(edits_in_place), frozenset({"never-wider-between-writes"})),
    "claims a feature that it loses": (
        _translating(loses_headers),
        frozenset({"features-are-declared", "full-loses-nothing"}),
    ),
    "claims a feature that it has not": (replace(SPEC, features=_BOAST), frozenset({"features-are-declared"})),
    "truncates a name to 32 bits": (_translating(short_names), frozenset({"names-with-enough-bits"})),
    "evaluate answers from SMI that it remembers": (
        _translating(remembers_smi, evaluator=answers_from_smi),
        frozenset({"evaluate-reads-bytes-alone", "fields-are-carried"}),
    ),
    "evaluate answers from SMI in annotations": (
        _translating(notes_smi, evaluator=answers_from_notes),
        frozenset({"evaluate-reads-bytes-alone", "fields-are-carried"}),
    ),
    "evaluate ignores the methods that translate writes": (
        replace(SPEC, evaluator=ignores_methods),
        frozenset({"evaluate-reads-fields"}),
    ),
    "evaluate ignores the ports that translate writes": (
        replace(SPEC, evaluator=ignores_ports),
        frozenset({"evaluate-reads-fields"}),
    ),
    "everything is a Loss": (_translating(all_is_lost), frozenset({"features-are-declared", "full-loses-nothing"})),
    "a Loss for what is exact": (_translating(exact_is_lost), frozenset({"loss-is-real", "full-loses-nothing"})),
}
"""By what is wrong: the adapter, and the properties that the kit must name, each of them."""
