"""What an adapter tells of a Service's splits (`Translation.routed`), held against where the mesh then sends single calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from hub.model import Answer, Request, Route, RoutePort, Split, Translation, Unit, UnitKey
from hub.testing.compare import NEAREST

Shares = Mapping[str, Fraction]


def untold(
    request: Request, smi: Answer, mesh: Answer, made: tuple[Mapping[UnitKey, Unit], Mapping[UnitKey, Translation]]
) -> str:
    """Why the splits that are told of a Service are not those by which this call is sent; "" if they may be."""
    namespace, _, service = (request.dst.service or "").partition("/")
    units, translations = made
    key = UnitKey("route", namespace, service)
    unit, translation = units.get(key), translations.get(key)
    if not isinstance(unit, Route) or translation is None or NEAREST in mesh.losses:
        return ""
    if {*mesh.losses} - {loss.code for loss in translation.losses}:
        return ""  # a narrowing is in the way of this call, whatever is told
    told = _splits(unit.ports if translation.routed is None else translation.routed, request.port)
    shares = {name: Fraction(share) for name, share in (mesh.weights or {}).items()}
    if mesh.route == "split" and not any(shares_of(split) == shares for split in told):
        return f"the mesh sends {_words(shares)}, and no split with these shares is told"
    if smi.route == "split" and mesh.route == "root":
        for split in told:
            whole = split.matches is None or split in _splits(unit.ports, request.port)
            if str(split.origin) in smi.by and whole and shares_of(split) != shares:
                return f"{split.origin} is told as carried out, and the mesh sends {_words(shares)}"
    return ""


def _splits(ports: Sequence[RoutePort], number: int) -> tuple[Split, ...]:
    return next((port.splits for port in ports if (port.port, port.transport) == (number, "TCP")), ())


def shares_of(split: Split) -> Shares:
    """The share of each Service that gets any."""
    weights: dict[str, Fraction] = {}
    for backend in split.backends:
        weights[backend.service] = weights.get(backend.service, Fraction(0)) + backend.weight
    total = sum(weights.values(), Fraction(0))
    return {name: weight / total for name, weight in weights.items() if weight}


def _words(shares: Shares) -> str:
    return ", ".join(f"{share} to {name}" for name, share in sorted(shares.items())) or "nothing anywhere"
