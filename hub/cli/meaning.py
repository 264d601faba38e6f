"""What a plan means, in lines for people: who comes to be governed, who gains and loses, why, and where calls go. Pure text building."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

from msgspec import Struct
from rich.text import Text

from hub.cli.context import line
from hub.cli.places import Locations
from hub.memory.permits import Permit, line_of
from hub.model import ObjectRef
from hub.plan.causes import ChangeCause, InputChange
from hub.plan.lines import Rerouted
from hub.plan.plan import Plan

Detail = Literal["short", "all"]
"""`short` keeps what a person can read: of a long plan the units, of an object some fields. `all` keeps everything."""
_LINES_SHOWN = 100
_GOVERNED_SHOWN = 8
_CHANGES_SHOWN = 3
_GOVERNED = ": callers without a TrafficTarget will be refused"
MORE = "(-v shows all)"


class Causes(Struct, frozen=True):
    """Why the permits and routes of a plan change; routes by `namespace/name`."""

    places: Locations
    targets: Mapping[tuple[str, ObjectRef], tuple[InputChange, ...]]
    routes: Mapping[str, tuple[InputChange, ...]]

    @classmethod
    def of(cls, plan: Plan, places: Locations) -> Causes:
        """Those of a plan."""
        targets = {(_unit(each), each.origin): each.changes for each in plan.because if each.origin is not None}
        return cls(places, targets, {_unit(each): each.changes for each in plan.because if each.origin is None})

    def of_permit(self, permit: Permit) -> tuple[InputChange, ...]:
        """The objects whose change brought or took a permit."""
        found = (self.targets.get((str(permit.receiver), origin), ()) for origin in permit.origins)
        return tuple(dict.fromkeys(change for changes in found for change in changes))

    def reason(self, permit: Permit) -> str:
        """The same in words; where no object changed, whose permit it is."""
        if changes := self.of_permit(permit):
            return self.reason_of(changes)
        names = ", ".join(self._placed(str(origin), InputChange(origin, "changed")) for origin in permit.origins)
        return f"because this mesh implements {names} differently than before" if names else "for another reason"

    def reason_of(self, changes: Sequence[InputChange]) -> str:
        """`because TrafficTarget/shop/x was removed (smi/targets.yaml)`."""
        more = f" and {len(changes) - _CHANGES_SHOWN} more" if len(changes) > _CHANGES_SHOWN else ""
        return f"because {' and '.join(map(self._change_text, changes[:_CHANGES_SHOWN]))}{more}" if changes else ""

    def _change_text(self, change: InputChange) -> str:
        if change.how == "ports":
            return f"the ports of {change.ref} or their protocols changed"
        return self._placed(f"{change.ref} was {change.how}", change)

    def _placed(self, text: str, change: InputChange) -> str:
        place = self.places.at(change).place
        return f"{text} ({place})" if place else text


def _unit(each: ChangeCause) -> str:
    return f"{each.unit.namespace}/{each.unit.name}"


def meaning_lines(plan: Plan, causes: Causes, drain: str, detail: Detail) -> Iterator[Text]:
    """Newly governed identities, gains, losses, and where calls go, in this order."""
    governed = [line((f"    ! {each.namespace}/{each.name}", "yellow"), _GOVERNED) for each in plan.governs]
    yield from _section("newly governed", governed, len(governed), _most(detail, _GOVERNED_SHOWN))
    gains = [(line((f"      + {line_of(one)}", "green")), causes.reason(one)) for one in plan.gained]
    yield from _caused("newly allowed", gains, detail)
    losses = [(line((f"      - {text}", "red")), "") for text in plan.lost_lines]
    losses += [(line((f"      - {line_of(one)}", "red")), causes.reason(one)) for one in plan.lost]
    yield from _caused("newly denied", losses, detail)
    if losses and drain:
        yield line("  ", ("open connections until", "bold"), f" {drain}")
    yield from first(_most(detail, _LINES_SHOWN), _split_lines(plan, causes), "  ", _is_split)


def _most(detail: Detail, most: int) -> int | None:
    return None if detail == "all" else most


def _caused(title: str, rows: Sequence[tuple[Text, str]], detail: Detail) -> Iterator[Text]:
    """Rows under their causes, each cause once."""
    groups = dict[str, list[Text]]()
    for row, cause in rows:
        groups.setdefault(cause, []).append(row)
    shown = (text for cause, mine in groups.items() for text in _group(cause, mine))
    yield from _section(title, shown, len(rows), _most(detail, _LINES_SHOWN), counts=_is_row)


def _group(cause: str, rows: Iterable[Text]) -> Iterator[Text]:
    if cause:
        yield line((f"    {cause}", "dim"))
    yield from rows


def _is_row(text: Text) -> bool:
    return text.plain.startswith("      ")


def _is_split(text: Text) -> bool:
    return not text.plain.startswith("    ")


def _split_lines(plan: Plan, causes: Causes) -> Iterator[Text]:
    for route in map(Rerouted.of, plan.rerouted):
        yield line(("  traffic split", "bold"), f" {route.head}: {route.before}", (" -> ", "bold"), route.after)
        if why := causes.reason_of(causes.routes.get(route.service, ())):
            yield line((f"    {why}", "dim"))


def _section(
    title: str,
    rows: Iterable[Text],
    number: int,
    most: int | None,
    counts: Callable[[Text], bool] = lambda _: True,
) -> Iterator[Text]:
    if number:
        yield line((f"  {title}", "bold"), f" ({number})")
        yield from first(most, rows, "    ", counts)


def first(
    most: int | None, rows: Iterable[Text], indent: str, counts: Callable[[Text], bool] = lambda _: True
) -> Iterator[Text]:
    """So many rows (None: all) and what comes between them, then how many are left out; `counts` says what is a row."""
    seen = 0
    for row in rows:
        seen += counts(row)
        if most is None or seen + (not counts(row)) <= most:
            yield row
    if most is not None and seen > most:
        yield line((f"{indent}... {seen - most} more {MORE}", "dim"))
