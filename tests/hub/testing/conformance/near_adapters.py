"""More bad adapters of the kinds that are known, each near another one; functions that a fresh process finds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from msgspec.structs import force_setattr, replace

from hub.api import (
    AdapterSpec,
    Answer,
    Facts,
    Feature,
    Grant,
    HttpMatch,
    NativeObject,
    ObjectRef,
    Observed,
    Request,
    Route,
    Split,
    Support,
    Translation,
    Unit,
)
from tests.hub.testing.conformance import gate_mesh
from tests.hub.testing.conformance.bad_adapters import with_bodies
from tests.hub.testing.conformance.changing import OfGrants, OfMatches, OfSplits
from tests.hub.testing.conformance.gate_evaluate import Gates
from tests.hub.testing.conformance.gate_mesh import SPEC, GateConfig, encode

_NAMES = ("api", "default", "nobody", "pay", "peer", "web")


# -------------------------------------------------------------------------------------------------- matches, and grants


def joins_methods(grant: Grant) -> Grant:
    """Each match has the methods of all."""
    if not grant.http or any(match.methods is None for match in grant.http):
        return grant
    methods = tuple(sorted({method for match in grant.http for method in match.methods or ()}))
    return replace(grant, http=tuple(replace(match, methods=methods) for match in grant.http))


def joins_headers_by_or(grant: Grant) -> Grant:
    """Of two conditions on headers one is enough."""
    matches = (
        [replace(match, headers=(one,)) for one in match.headers] if len(match.headers) > 1 else [match]
        for match in grant.http or ()
    )
    return grant if grant.http is None else replace(grant, http=tuple(one for each in matches for one in each))


def first_caller(grant: Grant) -> Grant:
    """The first source counts alone."""
    return replace(grant, sources=grant.sources[:1])


def folds_domains(grant: Grant) -> Grant:
    """Callers of other trust domains are taken for ours."""
    ours = {f"spiffe://cluster.local/{one.split('/', 3)[3]}" for one in grant.sources if one.count("/") > 2}
    return replace(grant, sources=tuple(sorted(ours)) or grant.sources)


def without_last_port(grant: Grant) -> Grant:
    """Of several ports the last one is forgotten."""
    return replace(grant, ports=grant.ports[:-1]) if grant.ports and len(grant.ports) > 1 else grant


def as_a_range(grant: Grant) -> Grant:
    """Several ports become all from the first to the last."""
    return replace(grant, ports=tuple(range(grant.ports[0], grant.ports[-1] + 1))) if grant.ports else grant


def few_callers(grant: Grant) -> Grant:
    """There is room for ten callers."""
    return replace(grant, sources=grant.sources[:10])


def few_matches(grant: Grant) -> Grant:
    """There is room for eight matches."""
    return grant if grant.http is None else replace(grant, http=grant.http[:8])


def many_ports_are_all(grant: Grant) -> Grant:
    """More than 16 ports become every port."""
    return replace(grant, ports=None) if grant.ports and len(grant.ports) > 16 else grant


def few_headers(match: HttpMatch) -> HttpMatch:
    """There is room for eight conditions on headers."""
    return replace(match, headers=match.headers[:8])


def many_methods_are_all(match: HttpMatch) -> HttpMatch:
    """Eight methods become every method."""
    return replace(match, methods=None) if match.methods and len(match.methods) > 7 else match


def long_paths_are_any(match: HttpMatch) -> HttpMatch:
    """A path of more than 255 characters is left out."""
    return replace(match, path=None) if len(match.path or "") > 255 else match


def long_values_are_cut(match: HttpMatch) -> HttpMatch:
    """A value is compared up to its 255th character."""
    return replace(
        match, headers=tuple((name, value if len(value) < 256 else f"{value[:255]}.*") for name, value in match.headers)
    )


def unanchored(match: HttpMatch) -> HttpMatch:
    """A path may stand at the end of another one."""
    return match if match.path is None else replace(match, path=f"(?s:.*)(?:{match.path})")


def slash_at_end(match: HttpMatch) -> HttpMatch:
    """A path may end in one slash more."""
    return match if match.path is None else replace(match, path=f"(?:{match.path})/?")


def head_is_get(match: HttpMatch) -> HttpMatch:
    """Whoever may GET may HEAD."""
    methods = match.methods or ()
    return replace(match, methods=(*methods, "HEAD")) if "GET" in methods else match


def namespace_is_let_in(unit: Unit, config: GateConfig) -> Translation:
    """Whoever shares a namespace with a caller is let in."""

    def all_of(body: Any) -> Any:
        more = {f"{one.rpartition('/')[0]}/{name}" for one in body["callers"] for name in _NAMES}
        return {**body, "callers": sorted({*body["callers"], *more})}

    return with_bodies(gate_mesh.translate(unit, config), "Pass", all_of)


# -------------------------------------------------------------------------------------------------------------- splits


def in_percent(split: Split) -> Split:
    """Shares are whole percents."""
    total = sum(one.weight for one in split.backends)
    shares = (replace(one, weight=Fraction(round(one.weight * 100 / total))) for one in split.backends if total)
    return replace(split, backends=tuple(shares)) if total else split


def in_32_bits(split: Split) -> Split:
    """Weights wrap at 2^32."""
    weights = (Fraction(one.weight.numerator % 2**32, one.weight.denominator) for one in split.backends)
    return replace(
        split, backends=tuple(replace(one, weight=new) for one, new in zip(split.backends, weights, strict=True))
    )


def few_backends(split: Split) -> Split:
    """There is room for 16 backends."""
    return replace(split, backends=split.backends[:16])


def unconditional(split: Split) -> Split:
    """Conditions are left out."""
    return replace(split, matches=None)


def unavailable_is_root(unit: Unit, config: GateConfig) -> Translation:
    """A split without shares is left out, so that the root serves."""
    if isinstance(unit, Route):
        kept = (
            replace(port, splits=tuple(one for one in port.splits if any(each.weight for each in one.backends)))
            for port in unit.ports
        )
        unit = replace(unit, ports=tuple(kept))
    return gate_mesh.translate(unit, config)


def mutates_split(unit: Unit, config: GateConfig) -> Translation:
    """Backends without a share are taken out of the split itself."""
    for port in unit.ports if isinstance(unit, Route) else ():
        for split in port.splits:
            force_setattr(split, "backends", tuple(one for one in split.backends if one.weight))
    return gate_mesh.translate(unit, config)


# --------------------------------------------------------------------------------------- what stands, and what is beyond


def keeps_until_next(
    desired: Sequence[NativeObject], observed: Mapping[ObjectRef, Observed]
) -> tuple[NativeObject, ...]:
    """Where something is new, what is revoked stays until the next change."""
    known = {native.ref for native in desired}
    gone = (one for one in observed.values() if one.ref not in known)
    kept = (NativeObject(one.ref, one.role, one.owned, (), one.needs) for one in gone)
    return (*desired, *kept) if known - observed.keys() else tuple(desired)


def orders_by_hash(unit: Unit, config: GateConfig) -> Translation:
    """Objects come in the order of a set."""
    return replace(made := gate_mesh.translate(unit, config), objects=tuple({*made.objects}))


def reads_a_file(unit: Unit, config: GateConfig) -> Translation:
    """The name of the machine is looked up, and not used yet."""
    Path("/etc/hosts").read_bytes()
    return gate_mesh.translate(unit, config)


# ------------------------------------------------------------------------------------------------------------ evaluate


def opens_everything(unit: Unit, config: GateConfig) -> Translation:
    """A Pass has a field by which a mesh would let in everybody."""
    return with_bodies(gate_mesh.translate(unit, config), "Pass", lambda body: {**body, "insecure": True})


def skips_insecure(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """Judges without a look at that field."""

    def known(body: Any) -> Any:
        return {key: value for key, value in body.items() if key != "insecure"}

    return Gates([replace(one, body=encode(known(json.loads(one.body)))) for one in objects], facts)


def refers_nowhere(unit: Unit, config: GateConfig) -> Translation:
    """A Pass names a List that is not there; what it needs is told to the hub alone."""
    made = gate_mesh.translate(unit, config)
    return with_bodies(made, "Pass", lambda body: {**body, "list": "nowhere"} if "list" in body else body)


def follows_needs(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """Judges by what an object needs, not by what it says."""

    def meant(native: NativeObject) -> NativeObject:
        if native.ref.kind != "Pass" or not native.needs:
            return native
        return replace(native, body=encode({**json.loads(native.body), "list": native.needs[0].name}))

    return Gates(list(map(meant, objects)), facts)


def labels_tell(unit: Unit, config: GateConfig) -> Translation:
    """What a List should say is in its labels; what it says is everything."""
    made = gate_mesh.translate(unit, config)
    return with_bodies(made, "List", lambda body: {"metadata": {"labels": {"smi": json.dumps(body)}}, "requests": [{}]})


def reads_labels(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """Judges by the labels."""
    read = []
    for native in objects:
        labels = json.loads(native.body).get("metadata", {}).get("labels", {})
        read.append(replace(native, body=labels["smi"].encode()) if "smi" in labels else native)
    return Gates(read, facts)


class Forgetful(Gates):
    """Forgets a workload that it was asked about."""

    def judge(self, request: Request) -> Answer:
        """See hub.api.Evaluator."""
        answer = super().judge(request)
        placements: Any = self._facts.placements
        for ref in [one for one in placements if f"{one.namespace}/{one.name}" == request.dst.pod]:
            del placements[ref]
        return answer


def forgets_workloads(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """See Forgetful."""
    return Forgetful(objects, facts)


def asks_the_clock(objects: Sequence[NativeObject], facts: Facts) -> Gates:
    """Passes may be dated one day."""
    time.time()
    return Gates(objects, facts)


_GRANTS: Mapping[str, tuple[Callable[[Grant], Grant], str]] = {
    "joins methods across matches": (joins_methods, "never-wider"),
    "takes one header for two": (joins_headers_by_or, "never-wider"),
    "drops one of two callers": (first_caller, "exact"),
    "folds trust domains": (folds_domains, "never-wider"),
    "forgets the last port": (without_last_port, "exact"),
    "takes ports for a range": (as_a_range, "never-wider"),
    "has room for ten callers": (few_callers, "exact"),
    "has room for eight matches": (few_matches, "exact"),
    "takes many ports for all": (many_ports_are_all, "never-wider"),
}
_MATCHES: Mapping[str, tuple[Callable[[HttpMatch], HttpMatch], str]] = {
    "has room for eight headers": (few_headers, "never-wider"),
    "takes many methods for all": (many_methods_are_all, "never-wider"),
    "takes a long path for any": (long_paths_are_any, "never-wider"),
    "cuts a long value": (long_values_are_cut, "never-wider"),
    "takes an end for the whole": (unanchored, "never-wider"),
    "allows one slash more": (slash_at_end, "never-wider"),
    "takes HEAD for GET": (head_is_get, "never-wider"),
}
_SPLITS: Mapping[str, tuple[Callable[[Split], Split], str]] = {
    "rounds shares": (in_percent, "exact-shares"),
    "wraps weights": (in_32_bits, "exact-shares"),
    "has room for 16 backends": (few_backends, "exact-shares"),
    "leaves out the conditions of splits": (unconditional, "exact-shares"),
}
_TRANSLATES: Mapping[str, tuple[Callable[[Unit, GateConfig], Translation], str]] = {
    **{name: (OfGrants(change), wanted) for name, (change, wanted) in _GRANTS.items()},
    **{name: (OfMatches(change), wanted) for name, (change, wanted) in _MATCHES.items()},
    **{name: (OfSplits(change), wanted) for name, (change, wanted) in _SPLITS.items()},
    "lets in a namespace": (namespace_is_let_in, "never-wider"),
    "serves by the root what is unavailable": (unavailable_is_root, "exact-shares"),
    "mutates a split": (mutates_split, "inputs-not-mutated"),
    "orders by hash": (orders_by_hash, "determinism"),
    "reads a file": (reads_a_file, "determinism"),
}
FEW_FIT = frozenset(
    {
        "cuts a long value",
        "joins methods across matches",
        "has room for 16 backends",
        "has room for eight headers",
        "has room for eight matches",
        "has room for ten callers",
        "takes a long path for any",
        "takes many methods for all",
        "takes many ports for all",
        "wraps weights",
    }
)
"""Those that go wrong where there are many of a thing, where one is long, or where parts are crossed."""
_CLAIMS_LESS = {**SPEC.features, Feature.ACCESS_HTTP_HEADER: Support.NEVER}
NEAR: Mapping[str, tuple[AdapterSpec[GateConfig], frozenset[str]]] = {
    **{
        name: (replace(SPEC, translate=translate), frozenset({wanted}))
        for name, (translate, wanted) in _TRANSLATES.items()
    },
    "keeps what is revoked until the next change": (
        replace(SPEC, carry_over=keeps_until_next),
        frozenset({"nothing-left-over"}),
    ),
    "claims less than it does": (replace(SPEC, features=_CLAIMS_LESS), frozenset({"features-are-declared"})),
    "writes a field that evaluate does not read": (
        replace(SPEC, translate=opens_everything, evaluator=skips_insecure),
        frozenset({"evaluate-reads-fields"}),
    ),
    "evaluate follows needs": (
        replace(SPEC, translate=refers_nowhere, evaluator=follows_needs),
        frozenset({"evaluate-reads-fields"}),
    ),
    "evaluate reads labels of objects": (
        replace(SPEC, translate=labels_tell, evaluator=reads_labels),
        frozenset({"fields-are-carried"}),
    ),
    "judge changes facts": (replace(SPEC, evaluator=forgets_workloads), frozenset({"inputs-not-mutated"})),
    "evaluate asks the clock": (replace(SPEC, evaluator=asks_the_clock), frozenset({"determinism"})),
}
"""By what is wrong: the adapter, and the properties that the kit must name, each of them."""
