"""Random worlds on real Envoys: never wider on the wire, and equal where the mesh reports no loss.

Five Workloads with one Envoy each stand the whole time; world after world is written into the folder, goes the whole
way (files, hub, plan, state file, xDS) and is called over the wire. A world that fails is written to `found/` beside
this file, and is run again for ever.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from itertools import count
from pathlib import Path
from random import SystemRandom

import msgspec
import pytest
from msgspec import Struct

from hub.testing.grammar import FEATURES, LEAST
from tests.servers.judging import Judge
from tests.servers.vm_calls import Call, Meant
from tests.servers.vm_field import Dice, Field, Trial, standing
from tests.servers.vm_worlds import Plant

pytestmark = pytest.mark.envoy
FOUND = Path(__file__).parent / "found"
FEW, MANY = 10, 20_000
"""Worlds of the short test, whose seed gives some with splits that callers may follow; requests over HTTP in the long one."""
_NOT_ON_A_WIRE = frozenset({"udp", "to an account", "a sidecar container"})
"""A sidecar takes TCP alone; a connection is to one workload, not to an account; containers are those of Pods, which have
no sidecar of ours."""
MET = tuple(name for name in FEATURES if name not in _NOT_ON_A_WIRE)


class Kept(Struct, frozen=True):
    """A case file: a world, the one that stood there before, and calls that failed."""

    before: Plant
    world: Plant
    calls: tuple[Call, ...]


def keep(case: Kept) -> Path:
    """Write a case file, in ASCII: bytes that are no text stand in requests as lone surrogates."""
    body = json.dumps(msgspec.to_builtins(case), indent=1).encode()
    FOUND.mkdir(exist_ok=True)
    path = FOUND / f"found-{sha256(body).hexdigest()[:32]}.json"
    path.write_bytes(body + b"\n")
    return path


def kept(path: Path) -> Kept:
    """Read a case file."""
    return msgspec.convert(json.loads(path.read_bytes()), Kept)


async def obeyed(field: Field, dice: Dice, numbers: Iterable[int], requests: int) -> list[str]:
    """Bring one world after another into force and make its calls, until so many requests were made; what was wrong."""
    wrong: list[str] = []
    trial = field.write(dice, 0)
    for number in numbers:
        before, trial = trial, field.write(dice, number)
        faults = await field.cross(before, trial)
        faults += await field.trial(trial)
        faults += await field.divide(trial)
        if faults:
            case = Kept(before.world, trial.world, tuple(fault.call for fault in faults))
            wrong += [f"world {number}, written to {keep(case)}", *map(str, faults[:5])]
        if field.made("http", "http2") >= requests:
            break
    return wrong


async def test_random_worlds_are_obeyed_on_the_wire(tmp_path: Path) -> None:
    """More than 2 000 requests in a row of worlds: none that SMI denies reaches an application, none is lost."""
    dice = Dice("w9", 202)
    async with standing(tmp_path, dice.world(0)) as field:
        wrong = await obeyed(field, dice, range(1, 1 + FEW), MANY)
    print(field.told())  # noqa: T201 - what was measured
    assert not wrong, "\n".join(wrong)
    assert field.made() >= 2000, field.told()
    assert not list(field.met.faults(features=())), field.met.table()
    assert field.tally["splits"], field.told()


@pytest.mark.slow
async def test_twenty_thousand_requests_are_obeyed_on_the_wire(tmp_path: Path) -> None:
    """The same with new seeds, and every call over both versions of HTTP; counted by features."""
    dice = Dice(f"wire/{SystemRandom().randrange(2**48)}", 120, both=True)
    print(dice.seed)  # noqa: T201 - with it the worlds can be made again
    async with standing(tmp_path, dice.world(0)) as field:
        wrong = await obeyed(field, dice, count(1), MANY)
    print(f"{field.told()}\n{field.met.table()}")  # noqa: T201 - what was met
    assert not wrong, "\n".join([dice.seed, *wrong])
    assert abs(field.made("http") - field.made("http2")) < field.made("http", "http2") / 10, field.told()
    assert not (few := list(field.met.faults(LEAST, MET))), "\n".join([dice.seed, *few])
    assert field.tally["splits"], field.told()


@pytest.mark.parametrize("path", sorted(FOUND.glob("*.json")), ids=lambda path: str(path.stem))
async def test_what_failed_before_is_obeyed_on_the_wire(path: Path, tmp_path: Path) -> None:
    """Worlds that once failed, after the one before them, with the calls that did."""
    found = kept(path)
    async with standing(tmp_path, found.before) as field:
        await field.mesh.settled()
        field.mesh.replace(found.world.texts(field.octet))
        await field.bring()
        judge = Judge(field.mesh.folder)
        meant = tuple(Meant(call, judge.smi(call.request)) for call in found.calls)
        faults = await field.trial(Trial(found.world, judge, meant))
    assert not faults, "\n".join(map(str, faults))
