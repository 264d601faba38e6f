"""`envoy --mode validate` on the golden resources, as a static configuration."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.servers.real_envoy import ads_bootstrap, validate

GOLDENS = Path(__file__).parent / "goldens"

pytestmark = pytest.mark.envoy


@pytest.mark.parametrize("virtual", [False, True])
def test_goldens_when_envoy_validates_them(tmp_path: Path, virtual: bool) -> None:  # noqa: FBT001 - a test's column
    """Listeners and clusters of every golden are a valid configuration, IPv6 included.

    The virtual listeners apart: Envoy counts their addresses too, and no workload is ever sent one.
    """
    bodies = [
        (item["ref"].split("/")[0], item["body"])
        for golden in sorted(GOLDENS.glob("*.xds.yaml"))
        for item in yaml.load(golden.read_text(), yaml.CSafeLoader)["objects"]
    ]
    bootstrap = ads_bootstrap(1)
    listeners = [body for kind, body in bodies if kind == "Listener" and ("@" not in body["name"]) == virtual]
    clusters = {body["name"]: body for kind, body in bodies if kind == "Cluster"}
    bootstrap["static_resources"]["listeners"] = listeners
    bootstrap["static_resources"]["clusters"] += list(clusters.values())
    assert len(listeners) >= 3
    validate(bootstrap, tmp_path)


def test_validation_when_a_resource_is_wrong(tmp_path: Path) -> None:
    """The same command refuses a listener that Envoy cannot take."""
    bootstrap = ads_bootstrap(1)
    bootstrap["static_resources"]["listeners"] = [{"name": "x"}]
    with pytest.raises(RuntimeError):
        validate(bootstrap, tmp_path)
