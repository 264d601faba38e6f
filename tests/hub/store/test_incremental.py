"""Any sequence of events ends where a fresh store would start, and only what is announced has changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from hub.endpoints import EndpointView
from hub.model import Document, Origin, Problem, Reading, Unit, UnitKey
from hub.smi import Decoded, decode
from hub.store import Store
from hub.testing.worlds import TRUST_DOMAIN, make_values

READINGS = (Reading(), Reading(path_regex="prefix", root_backend="endpoints"))
STEADY = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    phases=(Phase.explicit, Phase.generate),  # shrinking dice takes minutes and shows little
    suppress_health_check=list(HealthCheck),
)
Part = tuple[str, str]


def fresh(parts: Mapping[Part, tuple[Decoded, ...]], reading: Reading, rng: Random) -> Store:
    """A store that reads everything at once, in a random order."""
    store = Store(TRUST_DOMAIN, reading)
    for source, part in rng.sample(sorted(parts), len(parts)):
        store.upsert(source, part, parts[source, part])
    return store


def compiled(store: Store, keys: Iterable[UnitKey]) -> dict[UnitKey, Unit]:
    """The units of these keys, without those that are gone."""
    return {key: unit for key in keys if (unit := store.compile(key)[0]) is not None}


def pool_of(rng: Random) -> list[Decoded]:
    """Decoded objects of two worlds: many share a name and differ."""
    values = [*make_values(rng), *make_values(rng)]
    return [decode(Document(value, Origin("s", f"{at}.yaml", 1))) for at, value in enumerate(values)]


class Changing:
    """A store under random events, with the parts that it should hold now."""

    def __init__(self, rng: Random, reading: Reading) -> None:
        self.rng = rng
        self.store = Store(TRUST_DOMAIN, reading)
        self.parts: dict[Part, tuple[Decoded, ...]] = {}
        self.pool = pool_of(rng)
        self.names = [f"part-{n}" for n in range(rng.choice((3, 30)))]

    def part(self) -> Part:
        """One of the parts; where there are few, most of what there is comes and goes at once."""
        return self.rng.choice("aab"), self.rng.choice(self.names)

    def batch(self) -> None:
        """A few events: parts come, change, and go; a part holds one object, or some."""
        for _ in range(self.rng.choice((1, 1, 2, 8))):
            key = self.part()
            if key in self.parts and self.rng.randrange(3) == 0:
                self.store.upsert(*key, ())
                del self.parts[key]
            else:
                self.parts[key] = tuple(self.rng.sample(self.pool, self.rng.choice((1, 1, 3, 9))))
                self.store.upsert(*key, self.parts[key])


@STEADY
@given(rng=st.randoms(use_true_random=False), reading=st.sampled_from(READINGS))
def test_units_are_those_of_a_fresh_store_after_every_batch(rng: Random, reading: Reading) -> None:
    """Recompiling only the dirty units gives what compiling everything from scratch gives, in any order of reading."""
    world = Changing(rng, reading)
    units: dict[UnitKey, Unit] = {}
    told: set[Problem] = set()
    for _ in range(12):
        world.batch()
        dirty = world.store.dirty()
        units = {key: unit for key, unit in units.items() if key not in dirty}
        units |= compiled(world.store, rng.sample(sorted(dirty), len(dirty)))
        scratch = fresh(world.parts, reading, rng)
        assert units == compiled(scratch, scratch.units())
        assert world.store.problems() == scratch.problems()
        told ^= world.store.pop_changed_problems()
        assert tuple(sorted(told)) == scratch.problems()
        assert EndpointView(world.store).facts().placements == EndpointView(scratch).facts().placements


@STEADY
@given(rng=st.randoms(use_true_random=False))
def test_endpoints_are_those_of_a_fresh_view_after_every_batch(rng: Random) -> None:
    """The view that follows a store shows what a view of a fresh store shows, and announces every place that differs."""
    world = Changing(rng, Reading())
    view = EndpointView(world.store)
    before = view.facts().endpoints
    for _ in range(12):
        world.batch()
        announced = view.update()
        scratch = EndpointView(fresh(world.parts, Reading(), rng))
        scratch.update()
        assert view.facts() == scratch.facts()
        assert view.serving() == scratch.serving()
        after = view.facts().endpoints
        assert announced == {place for place in {*before, *after} if before.get(place) != after.get(place)}
        before = after


@STEADY
@given(rng=st.randoms(use_true_random=False))
def test_dirty_is_empty_when_a_batch_undoes_itself(rng: Random) -> None:
    """Taking everything away and putting it back, in one batch, makes no unit stale."""
    world = Changing(rng, Reading())
    for _ in range(6):
        world.batch()
    compiled(world.store, world.store.dirty())
    for key in rng.sample(sorted(world.parts), len(world.parts)):
        world.store.upsert(*key, ())
    for key in rng.sample(sorted(world.parts), len(world.parts)):
        world.store.upsert(*key, world.parts[key])
    assert world.store.dirty() == frozenset()


@STEADY
@given(rng=st.randoms(use_true_random=False))
def test_units_compile_alike_alone_and_in_any_order(rng: Random) -> None:
    """A unit depends on the objects alone: not on which units were compiled before it."""
    parts = {("s", f"part-{at}"): (each,) for at, each in enumerate(pool_of(rng))}
    first, second = fresh(parts, Reading(), rng), fresh(parts, Reading(), rng)
    keys = sorted(first.units())
    assert compiled(first, keys) == compiled(second, rng.sample(keys, len(keys)))
