"""Lines of fields, for messages."""

from __future__ import annotations

import pytest

from hub.sources.locate import locate
from hub.sources.yaml import load

TEXT = b"""\
# comment
---
---
kind: List
items:
- kind: A
  spec:
    rules:
    - name: x
      matches: [a, b]
    - name: y
- kind: B
  metadata:
    labels:
      app.kubernetes.io/name: web
      app: z
---
kind: C
"""


@pytest.mark.parametrize(
    ("index", "field", "line"),
    [
        (0, "", 6), (0, "kind", 6), (0, "spec.rules[1].name", 11), (0, "spec.rules[0].matches[1]", 10), (0, "spec.rules[1]", 11),
        (0, "spec.rules[7].name", 8), (0, "spec.nothing.at.all", 7), (0, "spec.rules[x]", 8), (0, "kind.deeper", 6),
        (1, "", 12), (1, "metadata.labels.app.kubernetes.io/name", 15), (1, "metadata.labels.app", 16), (2, "kind", 18), (9, "kind", 1),
    ],
)  # fmt: skip
def test_a_field_is_found_at_its_line(index: int, field: str, line: int) -> None:
    """Keys with dots, list items, and the nearest enclosing field for one that is missing."""
    assert locate(TEXT, index, field) == line


def test_objects_start_where_load_says() -> None:
    """Both readings count the same objects."""
    assert [locate(TEXT, d.index, "") for d in load(TEXT)] == [d.origin.line for d in load(TEXT)]


def test_a_text_that_is_refused_has_line_one() -> None:
    """A bomb is not composed to look for a line."""
    assert locate(b"[" * 100_000, 0, "a") == 1
