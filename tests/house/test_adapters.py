"""Every adapter of ours stands before the conformance kit, as one of somebody else does."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from hub.api import AdapterSpec
from hub.plugins import installed_plugins
from hub.testing.conformance.plugin import FIXTURE

ROOT = Path(__file__).parents[2]


def test_the_kit_judges_every_adapter() -> None:
    """In a file test_conformance*.py, whose fixture gives the adapter that it imports; of those that are installed with smihub."""
    judged = set()
    for file in sorted((ROOT / "tests" / "adapters").glob("*/test_conformance*.py")):
        module = import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
        assert hasattr(module, FIXTURE), file
        judged |= {one.name for one in vars(module).values() if isinstance(one, AdapterSpec)}
    plugins = installed_plugins()
    assert judged == {name for name in plugins.adapters if plugins.packages[name].name == "smihub"}
