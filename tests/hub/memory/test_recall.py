"""What meshes remember of input objects: the index that follows writes says what reading all of it anew would."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from hub.memory.recall import RememberedInputIndex, hides
from hub.memory.states import Remembered, RememberedInput, encode
from hub.model import ObjectRef, Origin, UnitKey
from hub.smi.types import Service

NAMES, FILES = ("a", "b", "c"), ("s:x.yaml", "s:dir/y.yaml", "s:dir/z.yaml", "t:x.yaml")
PARTS = (("s", "x.yaml"), ("s", "dir/"), ("s", ""), ("t", "x.yaml"), ("s", "dir/y.yaml"), ("u", ""))
keepings = st.lists(
    st.tuples(st.sampled_from(NAMES), st.sets(st.sampled_from(FILES), max_size=2)),
    max_size=3,
    unique_by=lambda each: each[0],
)
steps = st.lists(st.tuples(st.sampled_from(NAMES), st.none() | keepings), max_size=8)


def ref(name: str) -> ObjectRef:
    """A Service."""
    return ObjectRef("", "Service", "shop", name)


def memory_of(kept: list[tuple[str, set[str]]] | None) -> bytes:
    """What a unit remembers: Services and the files that they were in."""
    if kept is None:
        return b""
    return encode(
        Remembered(
            2,
            kept=tuple(
                RememberedInput(Service(ref(name), Origin(), None, ()), tuple(sorted(files))) for name, files in kept
            ),
        )
    )


@settings(max_examples=150)
@given(steps, st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(PARTS)))
def test_index_that_followed_is_one_made_anew(
    done: list[tuple[str, list[tuple[str, set[str]]] | None]], names: set[str], unread: set[tuple[str, str]]
) -> None:
    """Whatever was remembered and forgotten in between."""
    index, last = RememberedInputIndex({}), dict[UnitKey, bytes]()
    for unit, kept in done:
        key, raw = UnitKey("access", "shop", unit), memory_of(kept)
        index.follow({key: raw})
        last.pop(key, None)
        last[key] = raw
    refs = {ref(name) for name in names}
    found = index.about(refs, unread)
    assert found == RememberedInputIndex(last).about(refs, unread)
    assert found.keys() == expected(last, done, refs, unread)


def expected(
    last: Mapping[UnitKey, bytes],
    done: list[tuple[str, list[tuple[str, set[str]]] | None]],
    refs: set[ObjectRef],
    unread: set[tuple[str, str]],
) -> set[ObjectRef]:
    """The objects that were asked for, or were in one of these parts, as far as any unit remembers them."""
    newest = {UnitKey("access", "shop", unit): kept or [] for unit, kept in done}
    known = [(ref(name), files) for key in last for name, files in newest[key]]
    return {one for one, files in known if one in refs or any(hides(unread, file) for file in files)}
