"""Files beside those that are read: which hold nothing of ours, and how they are told of, in a line for each source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from hub.model import ObjectRef, Origin, Problem, Severity
from hub.sources.foreign import is_known_by_name

_SHOWN = 3
Looks = Literal["helm", "text"]


class Unrelated:
    """Keeps, by source and part, what is no object: Helm templates, and everything else."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Looks] = {}

    def put(self, source: str, part: str, kind: Looks | None) -> None:
        """The part is this from now on (None: it is read, or gone); what everybody knows by its name is not told of."""
        if kind is None or (kind == "text" and is_known_by_name(part)):
            self._kept.pop((source, part), None)
        else:
            self._kept[source, part] = kind

    def templates(self) -> Iterator[Problem]:
        """A warning for each source with Helm templates: the Pods that they become may be open."""
        for source, parts in self._of("helm"):
            many = len(parts) > 1
            message = (
                f"{_listed(parts)} {'look like Helm templates' if many else 'looks like a Helm template'}, and "
                f"{'are' if many else 'is'} not read; templates are not checked for their label"
            )
            remedy = 'render what they are ("helm template") and name the result as the source, or leave them out ("exclude")'
            yield _problem("file.template", source, parts, message, remedy)

    def rest(self) -> Iterator[Problem]:
        """A warning for each source with other files that hold no object."""
        for source, parts in self._of("text"):
            message = f"{_listed(parts)} {'hold' if len(parts) > 1 else 'holds'} nothing that is read"
            remedy = 'if that is as it should be, "exclude" or a .smihubignore leaves them out'
            yield _problem("file.unrelated", source, parts, message, remedy)

    def _of(self, kind: Looks) -> Iterator[tuple[str, list[str]]]:
        for source in sorted({source for (source, _), found in self._kept.items() if found == kind}):
            yield source, sorted(part for (of, part), found in self._kept.items() if (of, found) == (source, kind))


def _listed(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    shown, more = parts[:_SHOWN], len(parts) - _SHOWN
    return f"{len(parts)} files ({', '.join(shown)}{f' and {more} more' if more > 0 else ''})"


def _problem(code: str, source: str, parts: Sequence[str], message: str, remedy: str) -> Problem:
    ref = ObjectRef("", "Source", "", source)
    return Problem(code, ref, "", message, remedy, Origin(source), Severity.WARNING)
