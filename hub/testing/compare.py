"""Holds what a mesh answers against what SMI says: never wider, and equal where the mesh reports no loss."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from math import lcm

from hub.model import Answer, Request

_RANK: Mapping[str, int] = {"no-endpoint": 0, "deny": 0, "mixed": 1, "allow": 2, "ungoverned": 2}


NEAREST = "split.weights-too-large"
"""The loss of shares that are the nearest that there are."""
_UNITS, _LEAST = 4, 10**4
"""The nearest whole numbers are at most so many units of their sum from the share of any of a few backends; the least sum of a mesh."""


def disagreement(request: Request, smi: Answer, mesh: Answer) -> str:
    """Why these two answers must not stand together; "" if they may. Widening is told first."""
    return _wider(smi, mesh) or _misrouted(smi, mesh) or _unequal(request, smi, mesh)


def widening(smi: Answer, mesh: Answer) -> str:
    """What the mesh allows although SMI does not, or where it sends what SMI sends elsewhere; "" if nothing."""
    return _wider(smi, mesh) or _misrouted(smi, mesh)


def _wider(smi: Answer, mesh: Answer) -> str:
    if _RANK[mesh.verdict] > _RANK[smi.verdict]:
        return f"wider: the mesh says {mesh.verdict}, SMI says {smi.verdict}"
    ours = smi.backends or {}
    for name, word in (mesh.backends or {}).items():
        if _RANK[word] > _RANK[ours.get(name, "deny")]:
            return f'wider: backend "{name}" is {word} in the mesh, {ours.get(name)} by SMI'
    return ""


def _misrouted(smi: Answer, mesh: Answer) -> str:
    """Shares are exact wherever the mesh lets anything pass, or the nearest where it says that it has no numbers for them."""
    if mesh.verdict == "deny" and mesh.losses:
        return ""
    shares, wanted = ({name: Fraction(share) for name, share in (one.weights or {}).items()} for one in (mesh, smi))
    most = Fraction(_UNITS, max(_LEAST, lcm(*(share.denominator for share in shares.values()))))
    most = most if NEAREST in mesh.losses else Fraction(0)
    near = shares.keys() == wanted.keys() and all(abs(shares[name] - wanted[name]) <= most for name in wanted)
    # A mesh need not tell a Service's own endpoints from a split that names the root alone: calls go the same way.
    alike = smi.route == mesh.route or ({smi.route, mesh.route} == {"root", "split"} and shares == wanted)
    if not alike or not near:
        return f"misrouted: the mesh says {mesh.route} {mesh.weights}, SMI says {smi.route} {smi.weights}"
    return ""


def _unequal(request: Request, smi: Answer, mesh: Answer) -> str:
    if excuses(request, mesh):
        return ""
    verdicts = (mesh.verdict, dict(mesh.backends or {}))
    wanted = (smi.verdict, dict(smi.backends or {}))
    return "" if verdicts == wanted else f"unequal without a loss: the mesh says {verdicts}, SMI says {wanted}"


def excuses(request: Request, mesh: Answer) -> tuple[str, ...]:
    """The losses that can explain why this request is denied: those of UDP explain nothing about TCP."""
    return tuple(code for code in mesh.losses if not code.startswith("proto.udp") or request.protocol == "udp")
