"""`evaluate` in a fresh process: on the emitted bytes alone, with all taken away that a mesh does not have.

There the objects come in another order, without roles, needs and origins; digests in names and annotations are other ones. The process
has another folder, other environment variables and another hash seed, and watches whether anything asks for the time, or for files and
sockets of the machine. What is run is
this module: it reads a job from stdin and writes the answers to stdout, both between two processes of one user.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, Self

from msgspec import Struct
from msgspec.structs import replace

from hub.errors import SmihubError
from hub.family import FamilySpec
from hub.model import Answer, Facts, NativeObject, Request, Role, service_account_label
from hub.semantics import Semantics
from hub.testing.close import row
from hub.testing.conformance.many import many_worlds
from hub.testing.conformance.subject import AdapterUnderTest, PropertyCheck, PropertyFailure, bodies_of
from hub.testing.documents import Scope, compile_documents, translate_units
from hub.testing.kit import read_documents
from hub.testing.random_requests import Hints
from hub.testing.worlds import documents_of, make_values

FRESH, DETERMINED = "evaluate-reads-bytes-alone", "determinism"
_DIGEST = re.compile(rb"[0-9a-f]{8,}")
_HEX = b"0123456789abcdef"
_DEADLINE_S = 300
_KEPT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""The environment variables without which a process may not start."""
_CLOCKS = (
    *(time.time, time.time_ns, time.localtime, time.gmtime, time.strftime, time.ctime, time.asctime),
    *(time.monotonic, time.perf_counter, time.process_time, os.getcwd, os.getpid, os.uname, os.urandom),
)
"""What has another answer at another time, in another process or on another machine."""
_ENVIRONMENT = frozenset(getattr(type(os.environ), name).__code__ for name in ("__getitem__", "__iter__", "__len__"))
_WATCHED = 4
"""Worlds in which it is watched what is asked for: that makes each call slower."""
_MACHINE = ("open", "os.listdir", "os.scandir", "os.system", "socket.", "subprocess.", "urllib.")
"""How the audit events of files, sockets and processes begin (https://docs.python.org/3/library/audit_events.html)."""


_MANY = """\
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: d, labels: {app: api, tier: a, zone: b, size: c}}
spec: {serviceAccountName: api, containers: [{name: a, ports: [{containerPort: 8080}, {containerPort: 8081}, {containerPort: 8082}]}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: HTTPRouteGroup
metadata: {name: r, namespace: d}
spec: {matches: [{name: m, methods: [GET, PUT, POST, HEAD, PATCH], headers: {x-a: a, x-b: b, x-c: c, x-d: d}}]}
---
apiVersion: specs.smi-spec.io/v1alpha4
kind: TCPRoute
metadata: {name: t, namespace: d}
spec: {matches: {ports: [8080, 8081, 8082]}}
---
apiVersion: access.smi-spec.io/v1alpha4
kind: TrafficTarget
metadata: {name: g, namespace: d}
spec:
  destination: {kind: ServiceAccount, name: api, namespace: d}
  sources:
  - {kind: ServiceAccount, name: web-0, namespace: d}
  - {kind: ServiceAccount, name: web-1, namespace: d}
  - {kind: ServiceAccount, name: web-2, namespace: d}
  - {kind: ServiceAccount, name: web-3, namespace: d}
  - {kind: ServiceAccount, name: web-4, namespace: d}
  rules: [{kind: TCPRoute, name: t}, {kind: HTTPRouteGroup, name: r}]
"""
"""A world in which everything that can be several is: an order that comes from a set shows here."""


class Errand(Struct, frozen=True):
    """One world for a fresh process: objects and facts to judge requests by, and units to translate."""

    objects: tuple[NativeObject, ...]
    facts: Facts
    requests: tuple[Request, ...]
    units: tuple[Any, ...]


class Report(Struct, frozen=True):
    """What a fresh process gave: an answer (or the error, as text) for each request, and the objects of each unit.

    `beyond` is what asked for the time, or for a file, socket or process, while they were made ("": nothing).
    """

    answers: tuple[Any, ...]
    translations: tuple[Any, ...]
    beyond: str = ""


# ------------------------------------------------------------------------------------------------------ in this process


def fresh(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """The same answers, and the same objects, in a process that knows nothing else."""
    here = [_world(subject, number) for number in range(max(subject.sizes.few // 2, 10))]
    here += [Errand((), Facts(""), (), _units(world.values)) for world in many_worlds()]
    asked = [replace(one, objects=_stripped(one, subject.family, Random(number))) for number, one in enumerate(here)]
    try:
        told = _run(subject, asked)
    except (pickle.PicklingError, AttributeError, TypeError, ValueError, OSError, subprocess.SubprocessError) as error:
        why = f"{error}: evaluator, translate and settings must be found by name in a fresh process, in a module of their own"
        yield PropertyFailure(FRESH, f"evaluate cannot be run there: {why}")
        return
    yield from _compared(subject, here, told)


def _world(subject: AdapterUnderTest, number: int) -> Errand:
    rng = Random(f"{subject.sizes.seed}/fresh/{number}")
    documents = documents_of(make_values(rng)) if number else read_documents(_MANY)
    values = [one.value for one in documents]
    made = compile_documents(documents, Scope())
    judge = Semantics(documents).judge
    asked = tuple(one.request for one in row(rng, Hints.of(values), judge, 20, 20))
    objects = tuple(bodies_of(translate_units(made.units, subject.mesh)))
    return Errand(objects, made.facts, asked, tuple(made.units.values()))


def _units(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(compile_documents(documents_of(values), Scope()).units.values())


def _compared(subject: AdapterUnderTest, here: Sequence[Errand], told: Sequence[Report]) -> Iterator[PropertyFailure]:
    found: set[str] = set()
    for errand, report in zip(here, told, strict=True):
        judge = subject.spec.evaluator(errand.objects, errand.facts)
        for request, there in zip(errand.requests, report.answers, strict=True):
            answer = judge.judge(request)
            if FRESH not in found and (not isinstance(there, Answer) or _decision(there) != _decision(answer)):
                found.add(FRESH)
                why = (
                    f"in a fresh process, on the bytes alone, evaluate says {_said(there)}: it knows what no mesh knows"
                )
                yield PropertyFailure(FRESH, why, (), request, None, answer, answer.by)
        translations = tuple(subject.spec.translate(unit, subject.settings) for unit in errand.units)
        if DETERMINED not in found and translations != report.translations:
            found.add(DETERMINED)
            why = "a fresh process makes other objects of the same units (hash seed, environment, folder or memory)"
            yield PropertyFailure(DETERMINED, why)
        if DETERMINED not in found and report.beyond:
            found.add(DETERMINED)
            why = f"translate or evaluate asks for more than it is given, the time or the machine: {report.beyond}"
            yield PropertyFailure(DETERMINED, why)


def _decision(answer: Answer) -> tuple[object, ...]:
    return answer.verdict, answer.route, answer.weights, answer.backends, answer.received


def _said(there: object) -> str:
    return there.verdict if isinstance(there, Answer) else str(there)


# --------------------------------------------------------------------------------------------- what a mesh does not have


def _stripped(errand: Errand, family: FamilySpec, rng: Random) -> tuple[NativeObject, ...]:
    """The objects in another order, with other digests in names, without annotations of their own.

    Digests that the facts have too mean something (labels of Pods, variants of ports) and stay.
    """
    known = set(_DIGEST.findall(pickle.dumps(errand.facts)))
    known.update(
        found
        for one in errand.facts.placements.values()
        for found in _DIGEST.findall(service_account_label(one.identity.service_account).encode())
    )
    named = {found for native in errand.objects for found in _DIGEST.findall(native.ref.name.encode())}
    table = bytes.maketrans(_HEX, bytes(rng.sample(_HEX, len(_HEX))))
    digests = {digest: digest.translate(table) for digest in named - known if any(c in b"0123456789" for c in digest)}
    objects = [_anonymous(native, digests, family) for native in errand.objects]
    return tuple(rng.sample(objects, len(objects)))


def _anonymous(native: NativeObject, digests: dict[bytes, bytes], family: FamilySpec) -> NativeObject:
    def other(raw: bytes) -> bytes:
        return _DIGEST.sub(lambda hit: digests.get(hit.group(), hit.group()), raw)

    def renamed(ref: Any) -> Any:
        return replace(ref, name=other(ref.name.encode()).decode())

    # What an object needs is the hub's to know, and a mesh's only where its own names tell; these are told by order.
    needs = tuple(map(renamed, native.needs))
    body = other(_unannotated(native, family))
    return NativeObject(renamed(native.ref), Role.GRANT, body, (), needs)


def _unannotated(native: NativeObject, family: FamilySpec) -> bytes:
    """The body with other values of its annotations; as it is where it has none."""
    try:
        value = family.view(native.body, native.ref.kind)
        notes = value["metadata"]["annotations"]
    except (SmihubError, ValueError, KeyError, TypeError):
        return native.body
    value["metadata"]["annotations"] = {f"x-{number}": "x" for number, _ in enumerate(notes)}
    return family.body(value, native.ref.kind)


# ------------------------------------------------------------------------------------------------------- the process


def _run(subject: AdapterUnderTest, errands: Sequence[Errand]) -> list[Report]:
    functions = pickle.dumps((subject.spec.evaluator, subject.spec.translate, subject.settings))
    searched = [str(Path(each).absolute()) for each in sys.path]
    job = pickle.dumps((searched, functions, pickle.dumps(list(errands))))
    command = [sys.executable, "-m", "hub.testing.conformance.fresh"]
    with TemporaryDirectory(prefix="smihub-") as elsewhere:
        own = {
            "PYTHONHASHSEED": "4711",
            "PYTHONPATH": os.pathsep.join(searched),
            "TZ": "Asia/Kathmandu",
        }
        place: dict[str, Any] = {
            "cwd": elsewhere,
            "env": {name: os.environ[name] for name in _KEPT if name in os.environ} | own,
        }
        done = subprocess.run(command, input=job, capture_output=True, timeout=_DEADLINE_S, check=False, **place)  # noqa: S603 - our own interpreter
    if done.returncode:
        raise OSError(done.stderr.decode(errors="replace").strip().rpartition("\n")[2])
    found: list[Report] = pickle.loads(done.stdout)  # noqa: S301 - from the process that was started here
    return found


def _answer(judge: Any, request: Request) -> Any:
    try:
        return judge.judge(request)
    except SmihubError as error:
        return repr(error)


class _Watch:
    """Notes who asks for the time or the machine within a `with`."""

    def __init__(self) -> None:
        self.asked = ""
        self._watching = False
        sys.addaudithook(self._hear)

    def __enter__(self) -> Self:
        self.asked, self._watching = "", True
        sys.setprofile(self._see)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        self._watching = False

    def _see(self, frame: FrameType, event: str, called: Any) -> None:
        asks = called.__name__ if event == "c_call" and _is_clock(called) else ""
        if event == "call" and frame.f_code in _ENVIRONMENT:
            asks = "the environment"
        if asks:
            self.asked = f"{asks} in {frame.f_code.co_qualname}, {Path(frame.f_code.co_filename).name}:{frame.f_lineno}"

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if self._watching and event.startswith(_MACHINE):
            self.asked = f"{event}({', '.join(map(repr, args[:1]))})"


def _is_clock(called: Any) -> bool:
    of = getattr(called, "__self__", None)
    whole = isinstance(of, type) and issubclass(of, date) and called.__name__ in {"now", "utcnow", "today"}
    return whole or isinstance(of, Random) or any(called is one for one in _CLOCKS)


def main() -> None:
    """Read a job, judge and translate, write the reports."""
    path, functions, raw = pickle.loads(sys.stdin.buffer.read())  # noqa: S301 - from the process that started this one
    sys.path[:] = path
    evaluator, translate, settings = pickle.loads(functions)  # noqa: S301 - the same
    errands: list[Errand] = pickle.loads(raw)  # noqa: S301 - the same
    reports = []
    for errand in errands:  # judged first: what translate leaves in memory must not help
        judge = evaluator(errand.objects, errand.facts)
        reports.append(Report(tuple(_answer(judge, request) for request in errand.requests), ()))
    told = [
        replace(report, translations=tuple(translate(unit, settings) for unit in errand.units))
        for errand, report in zip(errands, reports, strict=True)
    ]
    watch = _Watch()  # only now: what is imported late is there
    for number, errand in enumerate(errands[:_WATCHED]):
        with watch:
            judge = evaluator(errand.objects, errand.facts)
            for request in errand.requests:
                _answer(judge, request)
            for unit in errand.units:
                translate(unit, settings)
        told[number] = replace(told[number], beyond=watch.asked)
    sys.stdout.buffer.write(pickle.dumps(told))


CHECKS = (
    PropertyCheck(
        "fresh-process",
        {
            FRESH: "evaluate knows the emitted bytes and the facts, and nothing else",
            DETERMINED: "the same units give the same objects in every process, in any environment, at any time; no file is read",
        },
        fresh,
    ),
)

if __name__ == "__main__":
    # Under its own name, by which the values that it is sent are pickled.
    from hub.testing.conformance.fresh import main as run

    run()
