"""Files beside those that are read: which hold nothing of ours, and how they are told of, in a line for each source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from hub.model import ObjectRef, Origin, Problem, Severity
from hub.smi import KINDS
from hub.sources.foreign import is_known_by_name

_SHOWN = 3
Looks = Literal["helm", "text"]


class Unrelated:
    """Keeps, by source and part, what is no object: Helm templates, and everything else."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Looks] = {}
        self._others: dict[tuple[str, str], Counter[tuple[str, str]]] = {}
        self._unread: dict[tuple[str, str], Counter[tuple[str, str]]] = {}

    def put(self, source: str, part: str, kind: Looks | None) -> None:
        """The part is this from now on (None: it is read, or gone); what everybody knows by its name is not told of."""
        if kind is None or (kind == "text" and is_known_by_name(part)):
            self._kept.pop((source, part), None)
        else:
            self._kept[source, part] = kind

    def count(self, source: str, part: str, values: Iterable[object]) -> None:
        """The part holds these documents: counted are those that say of another API what SMI says, and Pod templates of unread kinds."""
        documents = tuple(values)
        for kept, what in ((self._others, _other_api), (self._unread, _unread_template)):
            if found := [one for each in documents if (one := what(each)) is not _NEITHER]:
                kept[source, part] = Counter(found)
            else:
                kept.pop((source, part), None)

    def others(self) -> Iterator[Problem]:
        """A warning for each source and other API of meshes whose objects are not read."""
        sources = sorted({source for source, _ in self._others})
        for source in sources:
            parts = sorted(part for of, part in self._others if of == source)
            total = sum((self._others[source, part] for part in parts), Counter[tuple[str, str]]())
            for api in sorted({name for name, _ in total}):
                kinds = ", ".join(f"{number} {kind}" for (of, kind), number in sorted(total.items()) if of == api)
                message = f"objects of {api} are not read: {kinds}"
                yield _problem(
                    "object.other-api", source, parts, message, "they have no effect here; write the same policy in SMI"
                )

    def templates(self) -> Iterator[Problem]:
        """A warning for each source with Helm templates, or Pod templates of unread kinds: the Pods that they become may be open."""
        for source in sorted({source for source, _ in self._unread}):
            parts = sorted(part for of, part in self._unread if of == source)
            total = sum((self._unread[source, part] for part in parts), Counter[tuple[str, str]]())
            kinds = ", ".join(f"{number} {kind} of {group}" for (group, kind), number in sorted(total.items()))
            message = f"{_listed(parts)}: Pod templates of kinds that are not read ({kinds}); their labels and accounts are not checked"
            remedy = 'check that each has the label of its account, "smihub.io/sa", where a mesh selects Pods by it'
            yield _problem("object.unread-template", source, parts, message, remedy)
        for source, parts in self._of("helm"):
            many = len(parts) > 1
            message = (
                f"{_listed(parts)} {'look like Helm templates and are' if many else 'looks like a Helm template and is'} "
                f"not read; the labels of {'their' if many else 'its'} Pod templates are not checked"
            )
            it = "them" if many else "it"
            remedy = f'render {it} ("helm template") and use the result as the source, or exclude {it} ("exclude")'
            yield _problem("file.template", source, parts, message, remedy)

    def rest(self) -> Iterator[Problem]:
        """A warning for each source with other files that hold no object."""
        for source, parts in self._of("text"):
            many = len(parts) > 1
            message = f"{_listed(parts)} {'have' if many else 'has'} no object that smihub reads"
            remedy = f'if this is intended, exclude {"them" if many else "it"} with "exclude" or a .smihubignore file'
            yield _problem("file.unrelated", source, parts, message, remedy)

    def _of(self, kind: Looks) -> Iterator[tuple[str, list[str]]]:
        for source in sorted({source for (source, _), found in self._kept.items() if found == kind}):
            yield source, sorted(part for (of, part), found in self._kept.items() if (of, found) == (source, kind))


_APIS = {
    "gateway.networking.k8s.io": "Gateway API",
    "policy.openservicemesh.io": "Open Service Mesh",
    "config.openservicemesh.io": "Open Service Mesh",
}


_NEITHER = ("", "")
_DEPTH = 4


def _unread_template(value: object) -> tuple[str, str]:
    """The group and the kind of a document that has a Pod template which nobody reads, as OpenKruise's CloneSet."""
    api, kind = (value.get(key) for key in ("apiVersion", "kind")) if isinstance(value, dict) else (None, None)
    if not (isinstance(value, dict) and isinstance(api, str) and isinstance(kind, str)):
        return _NEITHER
    group = api.rpartition("/")[0]
    read = (group, kind) in KINDS or not _has_template(value.get("spec"), _DEPTH)
    return _NEITHER if read else (group, kind)


def _has_template(value: object, depth: int) -> bool:
    if not isinstance(value, dict):
        return False
    found = value.get("template")
    spec = found.get("spec") if isinstance(found, dict) else None
    if isinstance(spec, dict) and isinstance(spec.get("containers"), list):
        return True
    return depth > 0 and any(_has_template(each, depth - 1) for each in value.values())


def _other_api(value: object) -> tuple[str, str]:
    """The API and the kind of a document that another mesh would read."""
    api, kind = (value.get(key) for key in ("apiVersion", "kind")) if isinstance(value, dict) else (None, None)
    name = _APIS.get(api.partition("/")[0], "") if isinstance(api, str) else ""
    return (name, kind) if name and isinstance(kind, str) else _NEITHER


def _listed(parts: Sequence[str]) -> str:
    if len(parts) == 1:
        return parts[0]
    shown, more = parts[:_SHOWN], len(parts) - _SHOWN
    return f"{len(parts)} files ({', '.join(shown)}{f' and {more} more' if more > 0 else ''})"


def _problem(code: str, source: str, parts: Sequence[str], message: str, remedy: str) -> Problem:
    ref = ObjectRef("", "Source", "", source)
    return Problem(code, ref, "", message, remedy, Origin(source), Severity.WARNING)
