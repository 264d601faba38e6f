r"""Sets of characters as sorted, disjoint, non-adjacent ranges of code points, and the classes that several sets form.

The alphabet is the Unicode scalar values: code points 0 to 0x10FFFF without surrogates, one letter each. That is what
RE2 reads from valid UTF-8; text that is not valid UTF-8 has no letters here, and RE2 matches none of it outside `\C`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise

from msgspec import Struct

from hub.regex.bounds import charge

CharSet = tuple[tuple[int, int], ...]
"""Ranges (first, last), both included."""

HIGHEST = 0x10FFFF
_END = HIGHEST + 1
_NICE = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-._~"
_READABLE = tuple(dict.fromkeys([*map(ord, _NICE), *range(0x21, 0x7F)]))


def char_set(ranges: Iterable[tuple[int, int]]) -> CharSet:
    """The set of the ranges, in any order and overlap; empty ranges are left out."""
    joined: list[tuple[int, int]] = []
    for low, high in sorted(pair for pair in ranges if pair[0] <= pair[1]):
        if joined and low <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], high))
        else:
            joined.append((low, high))
    charge(len(joined) // 2)
    return tuple(joined)


def char_set_of(text: str) -> CharSet:
    """The set of the characters of a text."""
    return char_set((ord(char), ord(char)) for char in text)


def join(*sets: CharSet) -> CharSet:
    """What is in any of the sets."""
    return char_set(pair for chars in sets for pair in chars)


def inverse(chars: CharSet) -> CharSet:
    """Every code point that is not in the set."""
    edges = [-1, *(edge for pair in chars for edge in pair), _END]
    return char_set((edges[at] + 1, edges[at + 1] - 1) for at in range(0, len(edges), 2))


def intersect(one: CharSet, other: CharSet) -> CharSet:
    """What is in both sets."""
    return inverse(join(inverse(one), inverse(other)))


SCALARS: CharSet = ((0, 0xD7FF), (0xE000, HIGHEST))
"""The whole alphabet."""


class Classes(Struct, frozen=True):
    """A partition of a set of letters: letters from `cuts[i]` to before `cuts[i + 1]` are of class `kinds[i]`, -1: none.

    `cuts` begins with 0; neighbouring intervals differ in kind. Classes are numbered by their first letter.
    """

    cuts: tuple[int, ...]
    kinds: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many classes there are."""
        return max(self.kinds, default=-1) + 1

    def kind(self, code: int) -> int:
        """The class of a code point, -1 for none. Time: logarithmic."""
        return self.kinds[bisect_right(self.cuts, code) - 1]

    def letters(self) -> list[str]:
        """One letter per class that reads well: an ASCII letter or digit, else a visible one, else the first."""
        found: dict[int, str] = {}
        for code in (*_READABLE, *self.cuts):
            found.setdefault(self.kind(code), chr(code))
        return [found[kind] for kind in range(self.count)]

    def ranges(self) -> list[CharSet]:
        """The letters of each class."""
        found: list[list[tuple[int, int]]] = [[] for _ in range(self.count)]
        for (low, after), kind in zip(pairwise((*self.cuts, _END)), self.kinds, strict=True):
            if kind >= 0:
                found[kind].append((low, after - 1))
        return [char_set(ranges) for ranges in found]


def classes(keys: Iterable[tuple[int, object]]) -> tuple[Classes, list[object]]:
    """Classes of the intervals that begin at the given points, in order, one class per key; None as key: no class.

    Returns the partition and the key of each class.
    """
    cuts: list[int] = []
    kinds: list[int] = []
    numbers: dict[object, int] = {}
    for cut, key in keys:
        kind = -1 if key is None else numbers.setdefault(key, len(numbers))
        if cuts and cuts[-1] == cut:
            raise ValueError("two intervals begin at one point")
        if not kinds or kinds[-1] != kind:
            cuts.append(cut)
            kinds.append(kind)
    return Classes(tuple(cuts), tuple(kinds)), list(numbers)


def partition(sets: Sequence[CharSet], letters: CharSet) -> tuple[Classes, list[int]]:
    """The coarsest classes of `letters` that are wholly inside or outside each set; per class, a mask of those sets.

    Time: O(r log r) for r ranges in all.
    """
    toggles: dict[int, int] = {0: 0}
    for bit, chars in enumerate((letters, *sets)):
        for low, high in chars:
            toggles[low] = toggles.get(low, 0) ^ (1 << bit)
            toggles[high + 1] = toggles.get(high + 1, 0) ^ (1 << bit)
    charge(len(toggles))
    # A sweep over the points at which some set begins or ends; the mask has a bit for each set that one is in.
    mask, keys = 0, []
    for cut in sorted(cut for cut in toggles if cut <= HIGHEST):
        mask ^= toggles[cut]
        keys.append((cut, mask >> 1 if mask & 1 else None))
    found, masks = classes(keys)
    return found, [mask for mask in masks if isinstance(mask, int)]


def refinement(one: Classes, other: Classes) -> tuple[Classes, list[tuple[int, int]]]:
    """The classes of both partitions at once; per class, its class in one and in the other. Both have the same letters."""
    keys: list[tuple[int, object]] = []
    first = second = 0
    charge(len(one.cuts) + len(other.cuts))
    for cut in sorted({*one.cuts, *other.cuts}):
        first += first + 1 < len(one.cuts) and one.cuts[first + 1] == cut
        second += second + 1 < len(other.cuts) and other.cuts[second + 1] == cut
        pair = (one.kinds[first], other.kinds[second])
        keys.append((cut, None if -1 in pair else pair))
    found, pairs = classes(keys)
    return found, [pair for pair in pairs if isinstance(pair, tuple)]


def contains(chars: CharSet, code: int) -> bool:
    """Whether a code point is in the set."""
    at = bisect_right(chars, (code, _END))
    return at > 0 and code <= chars[at - 1][1]


def size(chars: CharSet) -> int:
    """How many code points are in the set."""
    return sum(high - low + 1 for low, high in chars)
