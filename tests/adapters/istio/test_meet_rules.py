"""Rules of policies that somebody edited: what two of them both allow, many of them, and random ones."""

from __future__ import annotations

import time
from random import Random

import msgspec
import pytest

from adapters.istio.config import IstioConfig
from adapters.istio.evaluate.match import Call, Http
from adapters.istio.evaluate.rule import Setting, rule_of
from adapters.istio.plugin import SPEC
from adapters.istio.translate import met_rules
from adapters.istio.translate.meet import meet
from adapters.istio.translate.read_rules import both, read_rule, rule_json
from hub.model import HttpMatch
from hub.testing.conformance.meeting import CHECKS
from hub.testing.conformance.subject import AdapterUnderTest, Sizes
from tests.adapters.istio.test_meet import ODD, PATTERNS, A, Json, Objects, caller, made
from tests.servers.units import TRUST_DOMAIN, http_grant

pytestmark = pytest.mark.thorough

# --------------------------------------------------------------------------- many rules


def shifted(count: int) -> tuple[Objects, Objects]:
    """So many callers of one path, of which the first is revoked, so that all others move."""
    names = [f"c{number:05}" for number in range(count)]
    return made(http_grant("h", names, A)), made(http_grant("h", names[1:], A))


def test_callers_of_whom_the_first_is_revoked_stay_as_they_are_wanted() -> None:
    """They stand in other rules then."""
    before, after = shifted(600)
    assert {*meet(before, after)} == {*after}
    more = [
        http_grant("h", ["web"], *(HttpMatch(path=f"/{number:04}") for number in range(start, 700))) for start in (0, 1)
    ]
    assert {*meet(made(more[0]), made(more[1]))} == {*made(more[1])}


def test_ten_thousand_rules_take_seconds_and_what_differs_too_much_is_not_compared(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Equal ones are not held against each other."""
    grants = [http_grant(f"g{number}", [f"c{number}"], HttpMatch(path=f"/{number}")) for number in range(10_000)]
    before, after = made(*grants), made(*grants[1:])
    monkeypatch.setattr(met_rules, "MAX_WORK", 0)
    began = time.process_time()
    assert {*meet(before, after)} == {*after}
    assert time.process_time() - began < 20
    one, other = made(http_grant("h", ["pay", "web"], A), ODD), made(http_grant("h", ["web"], A), ODD)
    assert {*meet(one, other)} != {*other}


# --------------------------------------------------------------------------- searches

_CALLERS = [caller("web"), caller("evil"), "*", f"{TRUST_DOMAIN}/*", "*/sa/web"]
_VALUES = {
    "ports": ["80", "81", "90"],
    "methods": ["GET", "POST", "*", "G*"],
    "paths": ["/x", "/y", "/x*", "*", "*x", "/*", "/{*}", "/x/{**}", "/x/y"],
}


def any_rule(rng: Random) -> Json:
    """A rule as somebody may write it."""

    def some(values: list[str]) -> list[str]:
        return rng.sample(values, rng.randrange(1, 3))

    def operation() -> Json:
        fields = {name: some(values) for name, values in _VALUES.items() if rng.random() < 0.45}
        excluded = {f"not{name.title()}": some(values[:3]) for name, values in _VALUES.items() if rng.random() < 0.2}
        wrong = {"ports": [rng.choice(["080", "8x"])]} if rng.random() < 0.05 else {}
        return {"operation": {**fields, **excluded, **wrong} or {"ports": ["80"]}}

    def source() -> Json:
        fields = {"principals": _CALLERS, "notPrincipals": _CALLERS[:2], "namespaces": ["d"]}
        shares = {"principals": 0.9, "notPrincipals": 0.2, "namespaces": 0.15}
        return {
            "source": {
                name: some(fields[name])[: len(fields[name])] if len(fields[name]) > 1 else fields[name]
                for name in fields
                if rng.random() < shares[name]
            }
            or {"principals": ["*"]}
        }

    rule = {
        "from": [source() for _ in range(rng.choice((0, 1, 1, 1, 2)))],
        "to": [operation() for _ in range(rng.choice((0, 1, 1, 2, 3)))],
        "when": [
            {"key": "request.headers[x-t]", rng.choice(("values", "notValues")): some(["1", "2"])}
            for _ in range(rng.choice((0, 0, 1, 2)))
        ],
    }
    return {name: value for name, value in rule.items() if value}


def any_calls() -> list[tuple[Call, bool]]:
    """Calls, and whether they are requests."""
    found = []
    for name in ("web", "evil", "db", None):
        uri = f"spiffe://{caller(name)}".encode() if name else None
        for port in (80, 81, 90):
            found.append((Call(uri, port), False))
            for path in (b"/x", b"/y", b"/x/y", b"/xx"):
                for method, values in ((b"GET", ()), (b"POST", (b"1",)), (b"GET", (b"2",))):
                    found.append((Call(uri, port, Http(method, path, path, {"x-t": values} if values else {})), True))
    return found


def holds(rule: Json) -> list[bool]:
    """For which of these calls a rule holds."""
    compiled = rule_of(rule, Setting("rule", "d", "ALLOW", TRUST_DOMAIN))
    tests = ((compiled.http if http else compiled.tcp, call) for call, http in any_calls())
    return [test is not None and test(call) for test, call in tests]


def test_two_rules_allow_what_both_do() -> None:
    """Rules of any shape: what they both allow is no more than that, and mostly all of it."""
    exact = some = 0
    for number in range(600):
        rng = Random(f"rules/{number}")
        rules = [any_rule(rng), any_rule(rng)]
        if rng.random() < 0.3:
            rules[1]["to"] = [*rules[0].get("to", [{"operation": {"ports": ["80"]}}]), *rules[1].get("to", [])]
        read = [read_rule(one) for one in rules]
        if read[0] is None or read[1] is None:
            continue
        found = both(read[0], read[1])
        here = (
            holds(msgspec.json.decode(msgspec.json.encode(rule_json(found)))) if found else [False] * len(any_calls())
        )
        there = [one and other for one, other in zip(*map(holds, rules), strict=True)]
        assert all(other or not one for one, other in zip(here, there, strict=True)), rules
        exact, some = exact + (here == there), some + any(there)
    assert some > 150
    assert exact > 480


@pytest.mark.parametrize("config", [IstioConfig(), PATTERNS], ids=["plain", "patterns"])
def test_nothing_is_gained_by_edits_of_random_worlds(config: IstioConfig) -> None:
    """The checks of the conformance kit, with filters too."""
    subject = AdapterUnderTest(SPEC, config, sizes=Sizes(few=40, seed="meet"))
    assert [failure for check in CHECKS for failure in check.run(subject)] == []
