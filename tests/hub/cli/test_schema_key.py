"""Every JSON that a verb prints says by which schema it is."""

from __future__ import annotations

import json

import pytest

from hub.cli.data import SCHEMA
from tests.servers.folder import Folder
from tests.servers.saved import save

ASKED = '{"src": {"identity": "shop/web"}, "dst": {"service": "shop/api"}, "port": 80, "path": "/books"}\n'
VERBS = [
    ("plan",),
    ("check",),
    ("apply", "--yes"),
    ("show", "review.plan"),
    ("render", "vms"),
    ("status",),
    ("history",),
    ("features",),
    ("explain", "--from", "shop/web", "--to", "shop/api:80", "--path", "/books"),
]


@pytest.mark.thorough
@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_every_document_has_its_schema_first(folder: Folder, verb: tuple[str, ...]) -> None:
    """One number for all."""
    save(folder)
    found = json.loads(folder.run(*verb, "-o", "json").stdout)
    assert next(iter(found.items())) == ("schema", SCHEMA)


def test_every_line_of_a_batch_has_it(folder: Folder) -> None:
    """Answers, and what is said of a line that cannot be read."""
    (folder.root / "asked.jsonl").write_text(ASKED + "{\n")
    lines = folder.run("explain", "--batch", "asked.jsonl", "--source", "manifests").stdout.splitlines()
    assert [json.loads(each)["schema"] for each in lines] == [SCHEMA, SCHEMA]
