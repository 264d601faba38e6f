"""Hostile input within budgets: what users may write must not cost minutes, or gigabytes, or raise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from time import process_time
from typing import Any

from hub.explain import Compiled
from hub.model import Destination, Request, Source
from hub.testing.conformance.smallest import Trial, first_failure, first_failures
from hub.testing.conformance.subject import AdapterUnderTest, PropertyCheck, PropertyFailure, bodies_of
from hub.testing.counterexamples import Budget
from hub.testing.damage import damaged
from hub.testing.documents import Scope, compile_documents, translate_units
from hub.testing.search import raised
from hub.testing.worlds import documents_of, make_values

BUDGET, RAISED = "within-budgets", "hostile-input-raises-nothing"
TRANSLATE_S, JUDGE_S, MOST_BYTES = 10.0, 1.0, 32 * 2**20
"""Processor seconds for the units of one hostile world, and for one request; bytes of all its native objects."""
_SHOWN = 3
"""Units of a hostile world that are named."""
_META = {"namespace": "d"}


def _object(api: str, kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": api, "kind": kind, "metadata": {**_META, "name": name}, "spec": spec}


def _granted(matches: list[Any], sources: int = 1) -> list[Any]:
    """A receiver, and a TrafficTarget with these matches for so many sources."""
    account = {"kind": "ServiceAccount", "namespace": "d"}
    ports = [{"containerPort": port} for port in (8080, 9000)]
    named = [{"name": f"m{number}", **match} for number, match in enumerate(matches)]
    return [
        _object("v1", "Pod", "api", {"serviceAccountName": "api", "containers": [{"name": "a", "ports": ports}]}),
        _object("specs.smi-spec.io/v1alpha4", "HTTPRouteGroup", "r", {"matches": named}),
        _object(
            "access.smi-spec.io/v1alpha4",
            "TrafficTarget",
            "t",
            {
                "destination": {**account, "name": "api"},
                "sources": [{**account, "name": f"web-{number}"} for number in range(sources)],
                "rules": [{"kind": "HTTPRouteGroup", "name": "r"}],
            },
        ),
    ]


def _split() -> list[Any]:
    names = [f"b{number}" for number in range(256)]
    ports = [{"name": "http", "port": 80}]
    services = [
        _object("v1", "Service", name, {"selector": {"app": name}, "ports": ports}) for name in ("root", *names)
    ]
    backends = [{"service": name, "weight": 2**61 - number} for number, name in enumerate(names)]
    api = "split.smi-spec.io/v1alpha4"
    return [*services, _object(api, "TrafficSplit", "s", {"service": "root", "backends": backends})]


def _worlds() -> Mapping[str, list[Any]]:
    """By what is hostile: the objects."""
    return {
        "300 patterns that grow when they are taken apart": _granted(
            [{"pathRegex": f"/a?.*b.{{{n % 9}}}{n}"} for n in range(300)]
        ),
        "patterns of nested repetitions": _granted(
            [{"pathRegex": f"(/{chr(97 + n)}?){{{n + 1},20}}(a|b|ab)*"} for n in range(20)]
        ),
        "a pattern of 4 000 characters": _granted([{"pathRegex": "/" + "[ab]?" * 780}]),
        "a long list of alternatives": _granted([{"pathRegex": "/(" + "|".join(f"x{n}" for n in range(700)) + ")"}]),
        "2 000 matches": _granted([{"pathRegex": f"/x{n}", "methods": ["GET", "POST"]} for n in range(2000)]),
        "20 conditions on headers": _granted([{"headers": {f"x-{n}": ".*a.*|b+" for n in range(20)}}]),
        "500 sources": _granted([{"methods": ["*"]}], 500),
        "characters of several bytes": _granted(
            [{"pathRegex": "/[^\u212a]*(?i)k\u017f|\U0001f600+"}, {"headers": {"x-a": "[^é]*"}}]
        ),
        "names at their limits": [
            *_granted([{"methods": ["*"]}]),
            _object("v1", "Service", "s" * 63, {"ports": [{"port": 1}]}),
        ],
        "a split of 256 backends with weights near 2^61": _split(),
    }


_SRC, _DST = Source(identity="d/web-0"), Destination(pod="d/api")
_REQUESTS = (
    Request(_SRC, _DST, 8080, path="/" + "a" * 65_000),
    Request(_SRC, _DST, 8080, path="/" + "x/../" * 13_000),
    Request(_SRC, _DST, 8080, path="\udcff" * 1000),
    Request(_SRC, _DST, 8080, method="X" * 5000, path=""),
    Request(_SRC, _DST, 8080, headers=tuple((f"x-{n}", "a" * 100) for n in range(512))),
    Request(_SRC, _DST, 8080, headers=(("x-1", "ab" * 30_000), ("", ""), (":path", "/"), ("x\n", "\r\n"))),
    Request(Source(spiffe="spiffe://" + "a" * 60_000), _DST, 8080),
    Request(Source(identity="///"), Destination(identity="a/b/c"), 65_535),
    Request(Source(), Destination(), 0),
    Request(Source(pod="x"), Destination(service="x"), -1, "udp"),
)


def budgets(subject: AdapterUnderTest) -> Iterator[PropertyFailure]:
    """Each hostile world, and hostile requests to it, in time and without an exception."""
    hostile = (Trial(tuple(values), requests=_REQUESTS, about=name) for name, values in _worlds().items())
    # What is slow is slow each time that it is tried.
    budget = Budget(cpu_s=2 * TRANSLATE_S * subject.sizes.patience)
    failures = list(first_failures(subject, hostile, _held, budget=budget))
    yield from failures
    if RAISED not in {failure.property for failure in failures}:
        yield from first_failure(subject, _damaged(subject), _explained)


def _held(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    made, name = compile_documents(documents_of(trial.world), Scope()), trial.about
    begun = process_time()
    try:
        objects = bodies_of(translate_units(made.units, subject.mesh))
        took = process_time() - begun
        judge = subject.spec.evaluator(objects, made.facts)
    except Exception as error:  # noqa: BLE001 - the property is that nothing raises
        yield PropertyFailure(RAISED, f"{name}: raised {raised(error)}", by=_units(made))
        return
    size = sum(len(one.body) for one in objects)
    if took > TRANSLATE_S * subject.sizes.patience or size > MOST_BYTES:
        why = f"{name}: translate took {took:.1f} s and made {size} bytes"
        yield PropertyFailure(BUDGET, why, by=_units(made))
    for request in trial.requests:
        begun = process_time()
        try:
            judge.judge(request)
        except Exception as error:  # noqa: BLE001 - the same
            why = f"{name}: evaluate raised {raised(error)}"
            yield PropertyFailure(RAISED, why, request=request, by=_units(made))
        took = process_time() - begun
        if took > JUDGE_S * subject.sizes.patience:
            why = f"{name}: evaluate took {took:.1f} s for one request"
            yield PropertyFailure(BUDGET, why, request=request, by=_units(made))


def _units(made: Compiled) -> tuple[str, ...]:
    return tuple(map(str, made.units))[:_SHOWN]


def _damaged(subject: AdapterUnderTest) -> Iterator[Trial]:
    """Worlds of which every second object is spoiled."""
    for number in range(subject.sizes.few):
        rng = Random(f"{subject.sizes.seed}/damaged/{number}")
        values = [damaged(rng, one) if isinstance(one, dict) and rng.randrange(2) else one for one in _sound(rng)]
        yield Trial(tuple(values))


def _explained(subject: AdapterUnderTest, trial: Trial) -> Iterator[PropertyFailure]:
    try:
        subject.explained(documents_of(trial.world))
    except Exception as error:  # noqa: BLE001 - the same
        yield PropertyFailure(RAISED, f"a damaged object: raised {raised(error)}")


def _sound(rng: Random) -> list[Any]:
    return [one for one in make_values(rng) if isinstance(one, dict) and isinstance(one.get("apiVersion"), str)]


CHECKS = (
    PropertyCheck(
        "hostile",
        {
            BUDGET: f"hostile input costs at most {TRANSLATE_S:.0f} s to translate and {JUDGE_S:.0f} s to judge",
            RAISED: "hostile input raises nothing",
        },
        budgets,
    ),
)
