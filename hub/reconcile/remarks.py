"""What is told beside the plans of a domain's meshes, as warnings about lines of smihub.yaml. Pure but for the line numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hub.config.accepts import Accept, without_effect
from hub.config.file import Config
from hub.config.own import line_of, place_in, shown
from hub.mirror import Mirror
from hub.model import ObjectRef, Observed, Origin, Problem, Severity
from hub.plan.guards import OWNER
from hub.planner import Reviewed

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


def _unused_accept(config: Config, accept: Accept, why: str) -> Problem:
    message = f'accepting "{accept.word}" has no effect: {why}'
    return _warning(config, "config.accept-unused", f"accept[{accept.place}]", message, "remove it")


def _unseen(config: Config, one: Reviewed) -> Iterator[Problem]:
    mesh = one.mesh
    index = next(index for index, written in enumerate(config.meshes) if written.name == mesh.name)
    for each in mesh.spec.unseen(mesh.settings, _others(mesh.mirror)):
        field = f"meshes[{index}].config" + (f".{each.setting}" if each.setting else "")
        yield _warning(config, each.code, field, f"mesh {mesh.name}: {each.message}", each.remedy)


def _others(mirror: Mirror | None) -> Sequence[Observed]:
    return [] if mirror is None else [one for one in mirror.whole().objects.values() if one.owner is None]


def _is_ours(one: Reviewed) -> bool:
    return OWNER not in {refusal.code for refusal in one.refusals}


def _warning(config: Config, code: str, field: str, message: str, remedy: str) -> Problem:
    place = place_in(config, field)
    origin = Origin(str(shown(config.file).parent), config.file.name, line_of(config, place))
    return Problem(code, _NOTHING, place, message, remedy, origin, Severity.WARNING)
