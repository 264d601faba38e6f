"""The table of sets behind the index: the same as a dictionary of sets, whatever is put in and taken out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.store.multimap import Multimap

MEMBERS = st.sampled_from([None, 0, "", "a", ("a",), (), frozenset({1})])
MOVES = st.lists(st.tuples(st.booleans(), st.integers(0, 2), MEMBERS), max_size=30)


@given(MOVES)
def test_a_multimap_holds_what_sets_would_hold(moves: list[tuple[bool, int, object]]) -> None:
    """Members of every kind, also those that look like containers, come and go one by one."""
    table: Multimap[int, object] = Multimap()
    model: dict[int, set[object]] = {0: set(), 1: set(), 2: set()}
    for adding, key, member in moves:
        if adding:
            assert table.add(key, member) == (member not in model[key])
            model[key].add(member)
        elif member in model[key]:
            table.discard(key, member)
            model[key].discard(member)
        else:
            with pytest.raises(KeyError):
                table.discard(key, member)
        assert {key: set(table.get(key)) for key in model} == model
        assert [key in table for key in model] == [bool(members) for members in model.values()]
