"""How the answers of `smihub explain` look to people. Pure text building."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from hub.cli.context import Part, line
from hub.model import Answer, NearMiss, Request

_COLOURS = {"allow": "green", "deny": "red"}
NEAREST = 4
"""Most near misses that are shown to people."""
_OPENNESS = {"deny": 0, "mixed": 1, "allow": 2, "ungoverned": 3}


def verdict_lines(who: str, request: Request, answer: Answer) -> Iterator[Text]:
    """A verdict, what decides it, and for a Service where calls go and what happens there."""
    yield line((who, "bold"), ": ", _word(answer.verdict))
    for name in answer.by:
        yield line(f"  by {name}")
    if not answer.by and answer.verdict == "deny":
        yield line("  nothing grants it")
    if answer.route is not None:
        yield line(f"  {_route(request, answer)}")
    for backend, share in sorted((answer.weights or {}).items()):
        yield line(f"    {share}  {backend}  ", _word((answer.backends or {}).get(backend, "")))


def near_lines(near: Sequence[NearMiss]) -> Iterator[Text]:
    """What nearly grants a denied request, the nearest few."""
    for one in near[:NEAREST]:
        yield line(f"  {near_text(one)}")
    if (more := len(near) - NEAREST) > 0:
        yield line(f"  ... and {more} more as near (-o json)")


def near_text(one: NearMiss) -> str:
    """What would grant a request, and what stands between."""
    between = ", and for ".join(hurdle.message for hurdle in one.between)
    if not one.object.startswith("TrafficTarget/"):
        return f"{one.object}: {between}"
    via = f" by {one.via}" if one.via else ""
    return f"{one.object}{via} would, except for {between}"


def _word(word: str) -> Part:
    return (word, _COLOURS.get(word, "yellow"))


def _route(request: Request, answer: Answer) -> str:
    service = request.dst.service
    return {
        "split": "a TrafficSplit distributes the calls:",
        "root": "no TrafficSplit applies; the Service itself is called:",
        "unavailable": "a TrafficSplit applies, but none of its backends has a share",
        "no-service": f'Service "{service}" does not exist',
        "no-port": f'Service "{service}" has no port {request.port} for {request.protocol}',
    }[answer.route or "root"]


def compared(smi: Answer, mesh: Answer, reasons: Sequence[str], *, opened: bool = False) -> Text:
    """Whether a mesh does what SMI says, and if not in what it differs and why; `opened`: its settings let the request in."""
    differences = [
        f"{what} {theirs or 'nothing'} instead of {ours or 'nothing'}"
        for what, ours, theirs in (
            ("verdict", smi.verdict, mesh.verdict),
            ("route", smi.route, mesh.route),
            ("shares", _shares(smi), _shares(mesh)),
            ("backends", _backends(smi), _backends(mesh)),
        )
        if ours != theirs
    ]
    if not differences:
        return line("  ", ("the same as SMI", "green"))
    if mesh.verdict == "ungoverned" != smi.verdict:
        return line(
            "  ",
            ("not governed", "yellow"),
            ': outside of "governed" in smihub.yaml, so every caller that can reach it is accepted',
        )
    because = "; ".join(reasons) or "the reason is unknown, please report it"
    wider = _OPENNESS[mesh.verdict] > _OPENNESS[smi.verdict]
    if wider and opened:
        return line("  ", ("opened by smihub.yaml", "yellow"), f": {'; '.join(differences)}: {because}")
    if wider:
        return line(
            "  ",
            ("WIDER THAN SMI", "bold red"),
            f": {'; '.join(differences)}; this must never happen, please report it",
        )
    return line("  ", ("differs from SMI", "yellow"), f": {'; '.join(differences)}: {because}")


def _shares(answer: Answer) -> str:
    return ", ".join(f"{name} {share}" for name, share in sorted((answer.weights or {}).items()))


def _backends(answer: Answer) -> str:
    return ", ".join(f"{name} {word}" for name, word in sorted((answer.backends or {}).items()))
