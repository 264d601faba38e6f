"""Adapters that are bad in rare worlds alone, or lie in small things: the kit took most of them once; functions that a fresh process finds."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256

from msgspec.structs import replace

from hub.api import (
    Access,
    AdapterSpec,
    Answer,
    Facts,
    Grant,
    HttpMatch,
    Loss,
    NativeObject,
    ObjectRef,
    Observed,
    Request,
    Role,
    Route,
    Translation,
    Unit,
)
from tests.hub.testing.conformance import gate_mesh
from tests.hub.testing.conformance.changing import OfGrants, OfMatches
from tests.hub.testing.conformance.gate_evaluate import Gates
from tests.hub.testing.conformance.gate_mesh import SPEC, GateConfig, digest, encode

# ------------------------------------------------------------------------------------------------- grants, and matches


def one_label(grant: Grant) -> Grant:
    """Of several labels of the receiver the first counts."""
    return replace(grant, labels=grant.labels[:1]) if grant.labels else grant


def one_port_less(grant: Grant) -> Grant:
    """Of several ports that a grant leaves out the last is forgotten."""
    return replace(grant, not_ports=grant.not_ports[:-1]) if len(grant.not_ports) > 1 else grant


def loose_anchors(match: HttpMatch) -> HttpMatch:
    """Anchors stand around the patterns of values, without parentheses."""
    return replace(match, headers=tuple((name, f"(?s:.*)(?:^{value}$)(?s:.*)") for name, value in match.headers))


def line_break_at_end(match: HttpMatch) -> HttpMatch:
    """A dollar of another engine takes a line break."""
    return match if match.path is None else replace(match, path=f"(?:{match.path})\\n?")


def dot_takes_all(match: HttpMatch) -> HttpMatch:
    """A dot takes a line break."""
    path = match.path
    return match if path is None or path.startswith("(?") else replace(match, path=f"(?s:{path})")


def escaped_is_plain(match: HttpMatch) -> HttpMatch:
    """An escaped slash is one."""
    return match if match.path is None else replace(match, path=match.path.replace("%2F", "(?:%2F|/)"))


def no_cookies(match: HttpMatch) -> HttpMatch:
    """Cookies are not compared."""
    return replace(match, headers=tuple(one for one in match.headers if one[0] != "cookie"))


def set_of_matches(grant: Grant) -> Grant:
    """More than five matches come in the order of a set."""
    return replace(grant, http=tuple({*grant.http})) if grant.http and len(grant.http) > 5 else grant


# ------------------------------------------------------------------------------------------------------------- history


def tells_three_grants(unit: Unit, config: GateConfig) -> Translation:
    """Plans are told of the first three grants."""
    made = gate_mesh.translate(unit, config)
    return replace(made, carried=made.carried[:3]) if made.carried else made


def tells_of_all_labels(unit: Unit, config: GateConfig) -> Translation:
    """Plans are told that whoever has the account receives."""
    made = gate_mesh.translate(unit, config)
    return made if made.carried is None else replace(made, carried=tuple(replace(g, labels=None) for g in made.carried))


def tells_of_no_split(unit: Unit, config: GateConfig) -> Translation:
    """Plans are told that nothing is split."""
    made = gate_mesh.translate(unit, config)
    return replace(made, routed=()) if isinstance(unit, Route) else made


def keeps_routes(desired: Sequence[NativeObject], observed: Mapping[ObjectRef, Observed]) -> tuple[NativeObject, ...]:
    """A Way that stands stays as it is."""
    old = {ref: one.owned for ref, one in observed.items() if ref.kind == "Way"}
    return tuple(replace(one, body=old.get(one.ref, one.body)) for one in desired)


def names_lists_without_methods(unit: Unit, config: GateConfig) -> Translation:
    """The name of a List does not follow its methods: where they change, it is edited while others refer to it."""
    made = gate_mesh.translate(unit, config)
    names = {one.ref.name: _without_methods(one) for one in made.objects if one.ref.kind == "List"}

    def changed(native: NativeObject) -> NativeObject:
        body = json.loads(native.body)
        body |= {"list": names[body["list"]]} if "list" in body else {}
        needs = tuple(replace(ref, name=names[ref.name]) for ref in native.needs)
        name = names.get(native.ref.name, native.ref.name) if native.ref.kind == "List" else native.ref.name
        return replace(native, ref=replace(native.ref, name=name), body=encode(body), needs=needs)

    return replace(made, objects=tuple({one.ref: one for one in map(changed, made.objects)}.values()))


def _without_methods(native: NativeObject) -> str:
    requests = [{**one, "methods": []} for one in json.loads(native.body)["requests"]]
    return f"{native.ref.name.rpartition('.')[0]}.{digest(requests)}"


def grants_by_name(unit: Unit, config: GateConfig) -> Translation:
    """A List is a grant like the Pass, which does not say that it needs it."""
    made = gate_mesh.translate(unit, config)
    roles = {"List": Role.GRANT}
    return replace(
        made, objects=tuple(replace(one, needs=(), role=roles.get(one.ref.kind, one.role)) for one in made.objects)
    )


def opens_without_list(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """In this mesh a Pass whose List is not there lets in every request."""
    there = {(one.ref.namespace, one.ref.name) for one in objects if one.ref.kind == "List"}

    def opened(native: NativeObject) -> NativeObject:
        body = json.loads(native.body)
        if native.ref.kind != "Pass" or "list" not in body or (native.ref.namespace, body["list"]) in there:
            return native
        return replace(native, body=encode({key: value for key, value in body.items() if key != "list"}))

    return Gates(list(map(opened, objects)), facts)


# --------------------------------------------------------------------------------------------- what is beyond the input


def opens_for_debugging(unit: Unit, config: GateConfig) -> Translation:
    """A variable that nobody sets opens everything."""
    return Translation() if "GATE_IS_OPEN" in os.environ else gate_mesh.translate(unit, config)


def throws_dice(unit: Unit, config: GateConfig) -> Translation:
    """Once in a life nothing is written."""
    return Translation() if random.random() < 1e-12 else gate_mesh.translate(unit, config)


# --------------------------------------------------------------------------------------------------------------- names


def cuts_long_names(unit: Unit, config: GateConfig) -> Translation:
    """Names of more than 100 characters end in 32 bits."""
    return _renamed(gate_mesh.translate(unit, config), "Lock", _cut)


def _cut(name: str) -> str:
    return name if len(name) <= 100 else f"{name[:92]}{sha256(name.encode()).hexdigest()[:8]}"


def names_ways_by_condition(unit: Unit, config: GateConfig) -> Translation:
    """A Way has 32 bits of its conditions in its name."""
    when = [split.matches for port in unit.ports for split in port.splits] if isinstance(unit, Route) else []
    short = sha256(repr(when).encode()).hexdigest()[:8]
    return _renamed(gate_mesh.translate(unit, config), "Way", lambda name: f"{name}.{short}")


def reads_such_names(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """Ways of such names."""
    made = _renamed(Translation(tuple(objects)), "Way", lambda name: name.partition(".")[0])
    return Gates(made.objects, facts)


def _renamed(made: Translation, kind: str, name: Callable[[str], str]) -> Translation:
    def changed(native: NativeObject) -> NativeObject:
        ref = native.ref
        return replace(native, ref=replace(ref, name=name(ref.name))) if ref.kind == kind else native

    return replace(made, objects=tuple(map(changed, made.objects)))


# -------------------------------------------------------------------------------------------------------------- losses


def blames_another_code(unit: Unit, config: GateConfig) -> Translation:
    """Datagrams are lost under the code of something else."""
    made = gate_mesh.translate(unit, config)
    codes = {gate_mesh.UDP: gate_mesh.LABELS}
    return replace(made, losses=tuple(replace(loss, code=codes.get(loss.code, loss.code)) for loss in made.losses))


def drops_two_headers(unit: Unit, config: GateConfig) -> Translation:
    """Matches with two headers are left out, and nothing is told."""
    return _without(unit, config, "")


def loses_many_headers(unit: Unit, config: GateConfig) -> Translation:
    """Matches with more than 16 headers are lost; the table says that headers are carried out in full."""
    return _without(unit, config, "gate.many-headers", most=16)


def _without(unit: Unit, config: GateConfig, code: str, most: int = 1) -> Translation:
    if not isinstance(unit, Access):
        return gate_mesh.translate(unit, config)
    kept, lost = [], []
    for grant in unit.grants:
        matches = tuple(match for match in grant.http or () if len(match.headers) <= most)
        if grant.http and len(matches) < len(grant.http) and code:
            lost.append(Loss(code, grant.origin, "spec.rules", "too many headers", "GET /a", "use fewer"))
        kept += [replace(grant, http=matches)] if matches else [grant] if grant.http is None else []
    made = gate_mesh.translate(replace(unit, grants=tuple(kept)), config)
    return replace(made, losses=(*made.losses, *lost))


class Excuses(Gates):
    """Whatever is refused is refused for a port that is in doubt."""

    def judge(self, request: Request) -> Answer:
        """See hub.api.Evaluator."""
        answer = super().judge(request)
        return replace(answer, losses=("gate.doubtful-port",)) if answer.verdict == "deny" else answer


def excuses_all(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """See Excuses."""
    return Excuses(objects, facts)


# ------------------------------------------------------------------------------------------------------------ evaluate


def lenient_within(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """Fields of requests that are not known are skipped."""
    known = {"path", "methods", "headers"}

    def cleaned(native: NativeObject) -> NativeObject:
        try:
            body = json.loads(native.body)
            requests = [{key: value for key, value in one.items() if key in known} for one in body["requests"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            return native
        return replace(native, body=encode({**body, "requests": requests}))

    return Gates(list(map(cleaned, objects)), facts)


_TRANSLATES: Mapping[str, tuple[Callable[[Unit, GateConfig], Translation], str]] = {
    "takes one label for several": (OfGrants(one_label), "never-wider"),
    "leaves out one port of several": (OfGrants(one_port_less), "waiting-gains-open-nothing"),
    "anchors two of four ends": (OfMatches(loose_anchors), "never-wider"),
    "takes a line break at the end": (OfMatches(line_break_at_end), "never-wider"),
    "takes a line break for a character": (OfMatches(dot_takes_all), "never-wider"),
    "takes an escaped slash for a slash": (OfMatches(escaped_is_plain), "never-wider"),
    "does not compare cookies": (OfMatches(no_cookies), "never-wider"),
    "lists a set of many": (OfGrants(set_of_matches), "determinism"),
    "tells of three grants": (tells_three_grants, "truthful-gains"),
    "tells of all workloads": (tells_of_all_labels, "truthful-gains"),
    "tells of no split": (tells_of_no_split, "truthful-routes"),
    "names Lists without their methods": (names_lists_without_methods, "never-wider-between-writes"),
    "opens for debugging": (opens_for_debugging, "determinism"),
    "throws dice": (throws_dice, "determinism"),
    "cuts long names": (cuts_long_names, "names-with-enough-bits"),
    "blames another code": (blames_another_code, "loss-is-declared"),
    "loses many headers, and claims headers": (loses_many_headers, "full-loses-nothing"),
}
RARE: Mapping[str, tuple[AdapterSpec[GateConfig], frozenset[str]]] = {
    **{
        name: (replace(SPEC, translate=translate), frozenset({wanted}))
        for name, (translate, wanted) in _TRANSLATES.items()
    },
    "leaves routes as they were": (replace(SPEC, carry_over=keeps_routes), frozenset({"nothing-left-over"})),
    "refers to a grant that may not be there": (
        replace(SPEC, translate=grants_by_name, evaluator=opens_without_list),
        frozenset({"never-wider-between-writes"}),
    ),
    "names Ways by 32 bits": (
        replace(SPEC, translate=names_ways_by_condition, evaluator=reads_such_names),
        frozenset({"names-with-enough-bits"}),
    ),
    "excuses all that it leaves out": (
        replace(SPEC, translate=drops_two_headers, evaluator=excuses_all),
        frozenset({"plain-grants-are-exact"}),
    ),
    "is lenient within": (replace(SPEC, evaluator=lenient_within), frozenset({"evaluate-guesses-nothing"})),
}
"""By what is wrong: the adapter, and the properties that the kit must name, each of them."""
