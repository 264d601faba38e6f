"""Saved plans on disk, and the way from one back to what `apply` writes."""

from __future__ import annotations

import datetime as dt
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from secrets import token_hex

from msgspec.structs import replace

from hub.cli.context import progress
from hub.cli.places import Locations
from hub.cli.reported import moment
from hub.config.file import Config
from hub.errors import ConfigError, RefusedError
from hub.meshes import Mesh
from hub.plan import saved as plans
from hub.plan.moved import Fingerprint, MovedError, joined, of_mesh
from hub.plan.saved import Saved, SavedMesh
from hub.reconcile.domains import Domains
from hub.reconcile.hub import Hub, Reviewed
from hub.sources.files import SUFFIXES
from hub.status.record import history

_MOST_BYTES = 1 << 30
_NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.EMLINK}
"""What a file system answers that knows no hard links (link(2))."""


def version() -> str:
    """The version of this smihub."""
    return metadata.version("smihub")


# --------------------------------------------------------------------------- from a review to a file


def check_place(path: Path, configs: Sequence[Config]) -> None:
    """Raise ConfigError unless a plan may be saved there: a new file, or a saved plan, and none that a source reads."""
    place = path.resolve()
    for source in (source for config in configs for source in config.sources):
        read = source.path is not None and place.is_relative_to(source.path.resolve())
        if read and path.suffix in SUFFIXES:
            raise ConfigError(
                f'"{path}" is inside source "{source.name}", which would read it; use a name that ends in .plan'
            )
    with _explained(path):
        _check_replaceable(path)


def check_meshes(domains: Domains, chosen: Sequence[str]) -> None:
    """Raise ConfigError where some meshes are chosen of several domains, of which a saved plan has all."""
    if chosen and any(hub.config.title for hub in domains.hubs):
        raise ConfigError("--save is for all meshes of all domains; remove --mesh")


def save(path: Path, found: Sequence[tuple[Hub, Sequence[Reviewed]]]) -> None:
    """Write the review of every domain, for this user only, whole or not at all. Raises ConfigError where there is something else."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
    raw = plans.encode_all(_saved(hub, reviewed, now) for hub, reviewed in found)
    if len(raw) > _MOST_BYTES:
        raise ConfigError(f"this plan has more than {_MOST_BYTES} bytes; run smihub apply instead")
    with _explained(path):
        _replace(path, raw)


def _saved(hub: Hub, reviewed: Sequence[Reviewed], now: str) -> Saved:
    by_name = sorted(reviewed, key=lambda each: each.mesh.name)
    meshes = tuple(_saved_mesh(hub, each) for each in by_name)
    problems = (*hub.intake.problems(), *hub.remarks(reviewed))
    return Saved(hub.setup(version()), hub.inputs(), now, meshes, hub.fingerprints(), problems)


def _saved_mesh(hub: Hub, each: Reviewed) -> SavedMesh:
    spots = Locations.of(hub, each.mesh, each.plan.losses, each.decided.places)
    named = {change.ref for one in each.plan.because for change in one.changes}
    named |= {origin for permit in (*each.plan.gained, *each.plan.lost) for origin in permit.origins}
    places = tuple(sorted((ref, origin) for ref, origin in spots.objects.items() if ref in named))
    accepted, stands = tuple(sorted(each.lifted)), _standing(each.mesh)
    return SavedMesh(each.plan, each.refusals, accepted, stands, places, tuple(sorted(spots.losses.items())))


def _standing(mesh: Mesh) -> tuple[Fingerprint, ...]:
    return () if mesh.mirror is None else of_mesh(mesh.mirror.whole().objects.values())


def _check_replaceable(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        path.parent.stat()  # a folder that is missing is told before anything is planned
        return
    if not stat.S_ISREG(found.st_mode):
        raise ConfigError(f'"{path}" is not a file; choose another one')
    with path.open("rb") as file:
        if file.read(len(plans.PREFIX)) != plans.PREFIX:
            raise ConfigError(f'"{path}" exists and is not a saved plan, so it is not overwritten; choose another file')


def _replace(path: Path, raw: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{token_hex(8)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        _put(temporary, path)
        # The folder too, or the new name may be lost in a crash although the file's content is on disk.
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _put(temporary: Path, path: Path) -> None:
    """Give a file its name; what somebody else put there in the meantime stays."""
    _check_replaceable(path)
    if not path.exists():
        try:
            # A link fails where the name is taken, a rename would replace what somebody put there since the check.
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        else:
            return
    temporary.replace(path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or "unusable").lower()
        raise ConfigError(f'"{path}" cannot be used for a plan: {reason}; choose another file') from None


# --------------------------------------------------------------------------- from a file to a review


def read(path: Path) -> tuple[Saved, ...]:
    """The plans in a file, by domain. Raises ConfigError if it cannot be read, RefusedError if it is not as it was saved."""
    with _explained(path):
        if not stat.S_ISREG(path.stat().st_mode):
            raise ConfigError(f'"{path}" is not a file; use one written by smihub plan --save')
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    if len(raw) > _MOST_BYTES:
        raise RefusedError(f'"{path}" has more than {_MOST_BYTES} bytes; plan again')
    try:
        return plans.decode_all(raw)
    except RefusedError as error:
        raise RefusedError(f'"{path}" {error}') from None


def open_for(config: Path, saved: Sequence[Saved]) -> Domains:
    """The domains of a configuration; where some meshes of one domain were planned, these alone. Raises ConfigError."""
    domains = Domains.open(config)
    there = {mesh.title for mesh in domains.meshes}
    planned = there & {each.plan.mesh for one in saved for each in one.meshes}
    return Domains.open(config, meshes=sorted(planned)) if planned and planned < there else domains


async def resume(domains: Domains, saved: Sequence[Saved]) -> list[tuple[Hub, list[Reviewed]]]:
    """The saved plan of every mesh, by domain in the order of smihub.yaml, after everything that it presumes was found to hold.

    Raises RefusedError with the first thing that does not; writes nothing.
    """
    for each in saved:
        plans.check_verdict(each)
    plans.check_setups(saved, [hub.setup(version()) for hub in domains.hubs])
    with progress("reading the sources") as say:
        return [(hub, await _resumed(hub, each, say)) for hub, each in zip(domains.hubs, saved, strict=True)]


async def _resumed(hub: Hub, saved: Saved, say: Callable[[str], None]) -> list[Reviewed]:
    hub.read()
    found = {each.plan.mesh: each for each in saved.meshes}
    errors = list[MovedError]()
    for mesh in hub.meshes:
        mesh.mirror = None  # somebody may have written since it was read
        token = (await mesh.observed()).token
        with _collected(errors):
            plans.check_token(found[mesh.name], token, _standing(mesh), _who(hub, mesh.name, saved.saved_at))
    await hub.recall([code for each in saved.meshes for code in each.accepted])
    with _collected(errors):
        plans.check_inputs(saved, hub.inputs(), hub.fingerprints())
    if errors:
        raise joined(errors)
    reviewed = []
    for mesh in hub.meshes:
        say(f"planning {mesh.title}")
        replanned = await hub.plan(mesh, found[mesh.name].accepted)
        plans.check_plan(found[mesh.name], replanned.plan, replanned.refusals)
        lifted = frozenset(found[mesh.name].accepted)
        reviewed.append(replace(replanned, plan=found[mesh.name].plan, lifted=lifted))
    return reviewed


@contextmanager
def _collected(errors: list[MovedError]) -> Iterator[None]:
    try:
        yield
    except MovedError as error:
        errors.append(error)


def _who(hub: Hub, mesh: str, since: str) -> str:
    """Who wrote a mesh since then, as far as the record of this state folder knows."""
    at = dt.datetime.fromisoformat(since).timestamp()
    found = [each for each in history(hub.config.state, [mesh], 20) if each.action == "apply" and each.at >= at]
    if not found:
        return "by whom is not on record here"
    last = found[-1]
    return f"written by {last.actor.user}@{last.actor.host} with smihub {last.actor.verb} at {moment(last.at)}"
