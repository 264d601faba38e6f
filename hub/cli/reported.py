"""Outcomes as lines for people and as JSON-like data (schema 2, described in docs/cli.md). Pure text building."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec.structs import asdict
from rich.text import Text

from hub.cli.context import line
from hub.cli.show import counted, smi_first
from hub.model import UnitKey
from hub.plan.conditions import Condition
from hub.status.outcomes import Cause, Outcome, Summary, summary_of

_CAUSES_SHOWN = 4
_UNITS_SHOWN = 100
_NOTHING = Condition("Unknown", "unrecorded")


def moment(seconds: float) -> str:
    """A time of day in UTC."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _age(seconds: float) -> str:
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {name}"
    return f"{max(int(seconds), 0)} s"


def _since(seconds: float, now: float | None) -> str:
    return f"since {moment(seconds)}" + ("" if now is None else f" ({_age(now - seconds)})")


# --------------------------------------------------------------------------- lines


def lines_of(
    name: str, mesh: Condition | None, units: Mapping[UnitKey, Outcome], report: Mapping[str, Any], now: float | None
) -> Iterator[Text]:
    """A mesh: one line that sums it up, then everything that is not as it should be. Without `now`, no ages."""
    summary = summary_of(units)
    parts = ([] if mesh is None and not units else [_summed(summary)]) + ([_accepted(report)] if report else [])
    yield line((f"mesh {name}", "bold"), f": {'; '.join(parts)}")
    if mesh is not None and mesh.status == "False":
        yield line("  ", (mesh.reason, "red"), f" {_since(mesh.since, now)}: {mesh.message}")
    shown = [(key, each) for key, each in sorted(units.items()) if _is_shown(each)]
    for key, each in shown[:_UNITS_SHOWN]:
        yield from _unit_lines(key, each, mesh or _NOTHING, now)
    if len(shown) > _UNITS_SHOWN:
        yield line((f"  ... {len(shown) - _UNITS_SHOWN} more units (-o json shows all)", "dim"))
    yield from _workload_lines(report)


def _is_shown(outcome: Outcome) -> bool:
    """Whether to tell of a unit: where anything is bad but Programmed, which is told by workload, or a revocation waits."""
    return outcome.losing_since is not None or any(kind != "Programmed" for kind in outcome.bad)


def _summed(summary: Summary) -> str:
    numbers = {
        "refused": summary.refused,
        "in conflict": summary.conflicts,
        "waiting": summary.waiting,
        "frozen": summary.frozen,
        "failed": summary.failed,
    }
    counts = [f"{number} {word}" for word, number in numbers.items() if number]
    applied = f"{summary.applied} of {counted(summary.units, 'unit')} applied"
    return ", ".join([f"{counted(summary.governed, 'identity')} governed", applied, *counts])


def _accepted(report: Mapping[str, Any]) -> str:
    done = sum(bool(row["programmed"]) for row in report.values())
    return f"{done} of {counted(len(report), 'workload')} have accepted everything"


def _unit_lines(key: UnitKey, outcome: Outcome, mesh: Condition, now: float | None) -> Iterator[Text]:
    shown: set[str] = set()
    yield line(("  " + str(key), "bold"))
    for kind in outcome.bad:
        each = outcome.condition(kind)
        with_mesh = mesh.status == "False" and (mesh.reason, mesh.since) == (each.reason, each.since)
        text = "" if with_mesh or each.message in shown else f": {each.message}"
        shown.add(each.message)
        if kind != "Programmed":
            yield line("    ", (each.reason, "red"), f" ({kind}) {_since(each.since, now)}{text}")
    if outcome.losing_since is not None:
        yield line("    ", ("a revocation is waiting", "red"), f" {_since(outcome.losing_since, now)}")
    yield from _cause_lines(outcome.causes)


def _cause_lines(causes: Sequence[Cause]) -> Iterator[Text]:
    found = sorted(causes, key=lambda cause: smi_first(cause.ref))
    smi = [each for each in found if smi_first(each.ref)[0] < 2] or found
    for each in smi[:_CAUSES_SHOWN]:
        place = each.origin.place
        yield line((f"    {place} {each.ref}" if place else f"    {each.ref}", "dim"))
    if len(smi) > _CAUSES_SHOWN:
        yield line((f"    and {len(smi) - _CAUSES_SHOWN} more", "dim"))


def _workload_lines(report: Mapping[str, Any]) -> Iterator[Text]:
    width = max(map(len, report), default=0)
    for workload, row in sorted(report.items()):
        first, *others = _workload_state(row)
        yield line(f"  {workload:{width}}  ", first)
        if not row.get("enrolled", True):
            others.append((f"no valid token; run smihub bootstrap {workload}", "red"))
        yield from (line(f"  {'':{width}}  ", other) for other in others)


def _workload_state(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What is to be said of one workload, with its colour."""
    since = row["connected_since"]
    connected = f"connected since {since}" if since else "not connected"
    if row["programmed"]:
        yield f"everything accepted, {connected}", "green" if since else "yellow"
    else:
        yield connected, "yellow" if since else "red"
    for kind, names in row["pending"].items():
        yield f"waiting for {kind} {', '.join(names)}", "yellow"
    for each in row["refused"]:
        yield f"refused {each['kind']} {each['name']}: {each['detail']}", "red"
    if row["open_until"]:
        yield f"open connections until {row['open_until']}", "yellow"


# --------------------------------------------------------------------------- data


def mesh_data(
    name: str, mesh: Condition | None, units: Mapping[UnitKey, Outcome], report: Mapping[str, Any]
) -> dict[str, Any]:
    """A mesh with every unit, and its workloads as its sink reports them."""
    summary = asdict(summary_of(units))
    oldest = summary.pop("oldest")
    return {
        "mesh": name,
        **_condition_data(mesh or _NOTHING),
        "summary": {**summary, "losingSince": None if oldest is None else moment(oldest)},
        "units": [_unit_data(key, each) for key, each in sorted(units.items())],
        "workloads": dict(report),
    }


def _unit_data(key: UnitKey, outcome: Outcome) -> dict[str, Any]:
    since = outcome.losing_since
    return {
        "unit": str(key),
        "bad": list(outcome.bad),
        "generation": outcome.generation,
        "losingSince": None if since is None else moment(since),
        "conditions": {
            kind: {**_condition_data(each), "generation": each.generation} for kind, each in outcome.conditions.items()
        },
        "objects": [
            {"object": str(each.ref), "source": each.origin.source, "file": each.origin.file, "line": each.origin.line}
            for each in outcome.causes
        ],
    }


def _condition_data(condition: Condition) -> dict[str, Any]:
    return {
        "status": condition.status,
        "reason": condition.reason,
        "message": condition.message,
        "since": moment(condition.since) if condition.since else None,
    }
