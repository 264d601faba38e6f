"""What each example becomes in Istio, Linkerd and Consul, as people read it: goldens of `smihub render`. `make goldens` writes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from hub.cli.main import app
from tests.adapters.goldens import hold

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
GOLDENS = Path(__file__).parent / "goldens"
CONFIG = """\
domain: {{trustDomain: cluster.local}}
sources: [{{path: {folder}}}]
meshes:
- {{name: {mesh}, adapter: {mesh}, sink: {{kind: directory, path: rendered}}}}
"""


@pytest.mark.parametrize("mesh", ["consul", "istio", "linkerd"])
@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()))
def test_an_example_is_rendered_as_its_golden_says(example: str, mesh: str, tmp_path: Path) -> None:
    """Every object with its unit and causes, and every loss; a change of translation shows here, to be read."""
    (tmp_path / "smihub.yaml").write_text(CONFIG.format(folder=EXAMPLES / example, mesh=mesh))
    done = CliRunner().invoke(app, ["render", mesh, "--config", str(tmp_path / "smihub.yaml")])
    assert done.exit_code == 0, done.stderr
    losses = "".join(f"# {line.strip()}\n" for line in done.stderr.splitlines() if line.strip().startswith("loss "))
    losses = losses.replace(f"{EXAMPLES}/", "")
    hold(GOLDENS / f"{example}.{mesh}.yaml", losses + done.stdout)
