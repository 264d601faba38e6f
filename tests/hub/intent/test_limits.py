"""What many objects that name the same large ones would multiply is bounded: beyond, an object grants nothing and says so."""

from __future__ import annotations

import time

import pytest

from hub.intent.splits import MAX_BACKENDS
from hub.intent.targets import MAX_MATCHES, MAX_PAIRS
from hub.model import Access, Route, UnitKey
from hub.store import Store
from hub.testing.documents import store_of

pytestmark = pytest.mark.thorough

API, ROOT = UnitKey("access", "d", "api"), UnitKey("route", "d", "api")


def group(count: int, name: str = "g") -> str:
    """An HTTPRouteGroup with so many matches."""
    matches = "".join(f'  - {{name: m{number}, pathRegex: "/{name}/{number}"}}\n' for number in range(count))
    meta = f"{{name: {name}, namespace: d}}"
    return (
        f"apiVersion: specs.smi-spec.io/v1alpha4\nkind: HTTPRouteGroup\nmetadata: {meta}\nspec:\n  matches:\n{matches}"
    )


def target(sources: int = 1, rules: str = "{kind: HTTPRouteGroup, name: g}", name: str = "t") -> str:
    """A TrafficTarget to `api` with so many sources."""
    callers = ", ".join(f"{{kind: ServiceAccount, name: s{number}, namespace: d}}" for number in range(sources))
    spec = f"{{destination: {{kind: ServiceAccount, name: api}}, sources: [{callers}], rules: [{rules}]}}"
    meta = f"{{name: {name}, namespace: d}}"
    return f"apiVersion: access.smi-spec.io/v1alpha4\nkind: TrafficTarget\nmetadata: {meta}\nspec: {spec}\n"


def split(backends: int, condition: str = "") -> str:
    """A TrafficSplit of `api`."""
    listed = ", ".join(f"{{service: v{number}, weight: 1}}" for number in range(backends))
    matches = f", matches: [{condition}]" if condition else ""
    meta = "{name: s, namespace: d}"
    spec = f"{{service: api, backends: [{listed}]{matches}}}"
    return f"apiVersion: split.smi-spec.io/v1alpha4\nkind: TrafficSplit\nmetadata: {meta}\nspec: {spec}\n"


def service(name: str, ports: int = 1) -> str:
    """A Service with so many ports."""
    listed = ", ".join(f"{{name: p{number}, port: {number + 1}, appProtocol: http}}" for number in range(ports))
    spec = f"{{selector: {{app: {name}}}, ports: [{listed}]}}"
    return f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: d}}\nspec: {spec}\n"


def codes(store: Store) -> set[str]:
    """The codes of all Problems."""
    return {problem.code for problem in store.problems()}


@pytest.mark.parametrize(
    ("documents", "granted"),
    [
        ([group(MAX_MATCHES), target()], True),
        ([group(MAX_MATCHES + 1), target()], False),
        ([group(1000), group(1001, "h"), target(1, "{kind: HTTPRouteGroup, name: g}, {kind: HTTPRouteGroup, name: h}")], False),
        ([group(1000), target(MAX_PAIRS // 1000)], True),
        ([group(1000), target(MAX_PAIRS // 1000 + 1)], False),
    ],
)  # fmt: skip
def test_a_target_of_too_much_grants_nothing(documents: list[str], granted: bool) -> None:  # noqa: FBT001 - a column
    """Neither a part of its matches nor raw bytes."""
    store = store_of("\n---\n".join(documents))
    unit = store.compile(API)[0]
    assert isinstance(unit, Access)
    assert bool(unit.grants) == granted
    assert ("limit.exceeded" in codes(store)) != granted


def test_another_target_of_the_same_account_counts() -> None:
    """What is refused is the one object."""
    store = store_of(
        "\n---\n".join(
            [group(MAX_MATCHES + 1), group(1, "h"), target(), target(1, "{kind: HTTPRouteGroup, name: h}", "u")]
        )
    )
    unit = store.compile(API)[0]
    assert isinstance(unit, Access)
    assert [grant.origin.name for grant in unit.grants] == ["u"]


@pytest.mark.parametrize(("backends", "matches", "in_force"), [(256, 0, 1), (257, 0, 0), (1, 2000, 1), (1, 2001, 0)])
def test_a_split_of_too_much_is_void(backends: int, matches: int, in_force: int) -> None:
    """Its root serves."""
    assert (MAX_BACKENDS, MAX_MATCHES) == (256, 2000)
    documents = [service("api"), group(matches), *(service(f"v{number}") for number in range(backends))]
    documents.append(split(backends, "{kind: HTTPRouteGroup, name: g}" if matches else ""))
    store = store_of("\n---\n".join(documents))
    unit = store.compile(ROOT)[0]
    assert isinstance(unit, Route)
    assert len(unit.ports[0].splits) == in_force
    assert ("limit.exceeded" in codes(store)) != bool(in_force)


@pytest.mark.thorough
def test_many_targets_that_name_one_large_group_end_in_time() -> None:
    """Of 200 KB: 250 targets times 5000 matches took minutes with what followed."""
    store = store_of("\n---\n".join([group(5000), *(target(name=f"t{number}") for number in range(250))]))
    began = time.thread_time()
    unit = store.compile(API)[0]
    assert time.thread_time() - began < 5
    assert isinstance(unit, Access)
    assert unit.grants == ()
