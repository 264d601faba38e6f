"""What is told beside the plans of a domain's meshes, as warnings about lines of smihub.yaml. Pure but for the line numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from hub.config.accepts import Accept, without_effect
from hub.config.file import Config
from hub.config.own import line_of, place_in, shown
from hub.model import ObjectRef, Origin, Problem, Severity
from hub.plan.guards import OWNER
from hub.planner import Reviewed
from hub.sources.overriding import CODE as OVERRIDES

_MOVE = "correct it, or move it out of the folder; it is unknown what it declares"
_NOTHING = ObjectRef("", "", "", "")


def unused_accepts(config: Config, reviewed: Sequence[Reviewed], now: float) -> tuple[Problem, ...]:
    """A warning for each accept of smihub.yaml that lifts nothing in these plans; nothing, if they are not of all meshes."""
    if len(reviewed) < len(config.meshes) or not all(map(_is_ours, reviewed)):
        return ()  # what is not planned asks for nothing, and may tomorrow
    lifted = [(one.mesh.name, one.lifted) for one in reviewed]
    return tuple(_unused_accept(config, *each) for each in without_effect(config.accept, lifted, now))


def unseen(config: Config, reviewed: Sequence[Reviewed]) -> tuple[Problem, ...]:
    """A warning for each thing that the settings of a planned mesh leave unseen (AdapterSpec.unseen)."""
    return tuple(problem for one in reviewed if _is_ours(one) for problem in _unseen(config, one))


def beside(config: Config, reviewed: Sequence[Reviewed]) -> Iterator[Problem]:
    """Warnings of files of others where a mesh is written: those that cannot be read, and objects that change what ours do there."""
    for one in filter(_is_ours, reviewed):
        mesh, field = one.mesh, f"meshes[{_index(config, one)}].sink"
        unread, others = (mesh.mirror.unread, mesh.mirror.others) if mesh.mirror else ({}, {})
        for file, reason in sorted(unread.items()):
            yield _warning(
                config, "object.unread", field, f'mesh {mesh.name}: "{file}" cannot be read: {reason}', _MOVE
            )
        for other in (other for _, found in sorted(others.items()) for other in found):
            manifest = mesh.manifest(other)
            if manifest and (said := mesh.spec.overrides(manifest)):
                warning = _warning(config, OVERRIDES, field, said, "remove it, unless it is meant to do so")
                yield replace(warning, ref=other.ref)


def _unused_accept(config: Config, accept: Accept, why: str) -> Problem:
    message = f'accepting "{accept.word}" has no effect: {why}'
    return _warning(config, "config.accept-unused", f"accept[{accept.place}]", message, "remove it")


def _unseen(config: Config, one: Reviewed) -> Iterator[Problem]:
    mesh = one.mesh
    for each in mesh.spec.unseen(mesh.settings, mesh.mirror.foreign if mesh.mirror else ()):
        field = f"meshes[{_index(config, one)}].config" + (f".{each.setting}" if each.setting else "")
        yield _warning(config, each.code, field, f"mesh {mesh.name}: {each.message}", each.remedy)


def _index(config: Config, one: Reviewed) -> int:
    return next(index for index, written in enumerate(config.meshes) if written.name == one.mesh.name)


def _is_ours(one: Reviewed) -> bool:
    return OWNER not in {refusal.code for refusal in one.refusals}


def _warning(config: Config, code: str, field: str, message: str, remedy: str) -> Problem:
    place = place_in(config, field)
    origin = Origin(str(shown(config.file).parent), config.file.name, line_of(config, place))
    return Problem(code, _NOTHING, place, message, remedy, origin, Severity.WARNING)
