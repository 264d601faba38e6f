"""What SMI asks for and a mesh cannot do, in words: place, object, field, what is missing, effect, fix, how to accept. Pure text building."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from rich.text import Text

from hub.cli.context import Part, line
from hub.cli.meaning import Detail, first
from hub.cli.places import Locations
from hub.model import Loss
from hub.plan.causes import FieldLocation
from hub.plan.guards import Refusal
from hub.plan.plan import Plan

_LINES_SHOWN = 100


def refused_by(losses: Collection[Loss], refusals: Sequence[Refusal]) -> tuple[tuple[Loss, ...], tuple[Refusal, ...]]:
    """The Losses that nobody accepted, and the refusals that have another cause."""
    known = {(refusal.code, refusal.object) for refusal in refusals}
    refusing = tuple(loss for loss in losses if loss.access and (loss.code, str(loss.origin)) in known)
    covered = {(loss.code, str(loss.origin)) for loss in refusing}
    return refusing, tuple(one for one in refusals if (one.code, one.object) not in covered)


def loss_lines(plan: Plan, refusing: Collection[Loss], places: Locations, detail: Detail = "short") -> Iterator[Text]:
    """The Losses of a plan: those that are accepted or refuse nothing first, then those that refuse."""
    if not plan.losses:
        return
    mine, most = set(refusing), None if detail == "all" else _LINES_SHOWN
    for heading, losses in _by_kind(plan.losses):
        yield line((f"  {heading}", "bold"), f" ({len(losses)})")
        for refuses in (False, True):
            found = (loss for loss in losses if (loss in mine) is refuses)
            shown = (Text("    ") + loss_line(each, plan.mesh, places.written(each), refuses=refuses) for each in found)
            yield from first(most, shown, "    ")


def _by_kind(losses: Iterable[Loss]) -> Iterator[tuple[str, tuple[Loss, ...]]]:
    """What is let in beyond SMI, and what is not carried out, each under its heading where there is any."""
    for unenforced, heading in (
        (True, "let in, although SMI denies it"),
        (False, "asked for, but not possible in this mesh"),
    ):
        if found := tuple(loss for loss in losses if loss.is_unenforced is unenforced):
            yield heading, found


def loss_line(loss: Loss, mesh: str, at: FieldLocation, *, refuses: bool) -> Text:
    """`refused smi/routes.yaml:7 HTTPRouteGroup/shop/routes match "read": ... Effect on istio: ... Fix: ... Or accept: ...`."""
    word, colour = ("refused", "red") if refuses else ("open" if loss.is_unenforced else "loss", "yellow")
    place = at.origin.place
    accept: tuple[Part, ...] = ((" Or accept", "bold"), f": {how_to_accept(loss)}") if refuses else ()
    return line(
        (word, colour),
        f" {place} " if place else " ",
        (f"{at.object}{_field(at)}: ", "bold"),
        f"{sentence(loss.message)} ",
        ("Effect", "bold"),
        f" on {mesh}: {effect(loss, at)}. ",
        ("Fix", "bold"),
        f": {sentence(loss.remedy)}",
        *accept,
        (f" ({loss.code}{_of(loss, at)})", "dim"),
    )


def effect(loss: Loss, at: FieldLocation) -> str:
    """What becomes of a request; of one that a match of HTTP was to let in, with its status."""
    return f"{loss.effect} (403)" if loss.access and at.matches else loss.effect


def how_to_accept(loss: Loss) -> str:
    """The option, and the line of smihub.yaml."""
    return f'--accept "{loss.code}@{loss.origin}", or in smihub.yaml accept: [{{code: {loss.code}, object: {loss.origin}}}].'


def _field(at: FieldLocation) -> str:
    if at.matches:
        names = ", ".join(f'"{name}"' for name in at.matches)
        return f" {'match' if len(at.matches) == 1 else 'matches'} {names}"
    return f" {at.field}" if at.field else ""


def _of(loss: Loss, at: FieldLocation) -> str:
    return f", {loss.origin}" if loss.origin != at.object else ""


def sentence(text: str) -> str:
    """With a capital letter where the text begins with a plain word, and a full stop."""
    first = text.partition(" ")[0]
    plain = first.isalpha() and first.islower()
    return f"{text[0].upper() if plain else text[:1]}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}"
