"""Labels and selectors as sets of pairs, and an index from labels to the selectors that they satisfy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")
Labels = frozenset[tuple[str, str]]
"""Pairs of key and value. A selector is satisfied by labels that contain all of its pairs."""


class SelectorIndex(Generic[T]):
    """Values that non-empty selectors of a namespace stand for, found by the labels that satisfy the selector."""

    def __init__(self, entries: Iterable[tuple[str, Labels, T]]) -> None:
        self._by_pair: dict[tuple[str, tuple[str, str]], list[tuple[Labels, T]]] = {}
        for namespace, selector, value in entries:
            if selector:  # one pair is enough to find it: whoever satisfies the selector carries that pair
                self._by_pair.setdefault((namespace, min(selector)), []).append((selector, value))

    def satisfied_by(self, namespace: str, labels: Labels) -> Iterator[T]:
        """Yield the values whose selector these labels satisfy."""
        for pair in labels:
            for selector, value in self._by_pair.get((namespace, pair), ()):
                if selector <= labels:
                    yield value


class LabelIndex(Generic[T]):
    """Values that carry labels in a namespace, found by a selector."""

    def __init__(self, entries: Iterable[tuple[str, Labels, T]]) -> None:
        self._by_pair: dict[tuple[str, tuple[str, str]], list[tuple[Labels, T]]] = {}
        for namespace, labels, value in entries:
            for pair in labels:
                self._by_pair.setdefault((namespace, pair), []).append((labels, value))

    def selected_by(self, namespace: str, selector: Labels) -> list[T]:
        """Return the values that satisfy the selector; an empty selector selects nothing."""
        candidates = [self._by_pair.get((namespace, pair), []) for pair in selector]
        shortest = min(candidates, key=len, default=[])
        return [value for labels, value in shortest if selector <= labels]
