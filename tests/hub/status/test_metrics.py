"""Metrics as Prometheus reads them, and what makes a hub live and ready."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hub.model import Change, ObjectRef, Op, UnitKey
from hub.plan.conditions import Condition
from hub.status.metrics import STUCK_S, Clocks, Metrics
from hub.status.outcomes import Outcome, Outcomes

API = UnitKey("access", "shop", "api")
CHANGE = Change(Op.CREATE, ObjectRef("", "Secret", "shop", "thing"), 1, None, None, API)


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        """What it shows."""
        return self.seconds


@pytest.fixture
def now() -> Time:
    """The only clock."""
    return Time()


@pytest.fixture
def outcomes() -> Outcomes:
    """Of two meshes, one of which fails."""
    made = Outcomes()
    made.problem("vms", [API], "failed", "down", 900.0)
    return made


def samples(metrics: Metrics) -> Mapping[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {
        (each.name, tuple(sorted(each.labels.items()))): each.value for family in families for each in family.samples
    }


def of(found: Mapping[tuple[str, tuple[tuple[str, str], ...]], float], name: str, **labels: str) -> float:
    """One sample."""
    return found[name, tuple(sorted(labels.items()))]


def test_what_the_loop_tells_is_counted_by_mesh(outcomes: Outcomes, now: Time) -> None:
    """Times, queue, writes, results, and a retry after what failed."""
    metrics = Metrics(outcomes, ["vms", "istio"], clocks=Clocks(now, now))
    for result in ("failed", "written"):
        started = metrics.started("vms")
        now.seconds += 0.2
        metrics.queued("vms", 7)
        metrics.applied("vms", result, [CHANGE] if result == "written" else [])
        metrics.ended("vms", started)
    metrics.ended("vms", metrics.started("vms"))
    found = samples(metrics)
    assert of(found, "smihub_reconcile_seconds_count", mesh="vms") == 3
    assert of(found, "smihub_reconcile_seconds_sum", mesh="vms") == pytest.approx(0.4)
    assert of(found, "smihub_queue_units", mesh="vms") == 7
    assert of(found, "smihub_written_objects_total", mesh="vms", operation="create") == 1
    assert of(found, "smihub_applies_total", mesh="vms", result="failed") == 1
    assert of(found, "smihub_retries_total", mesh="vms") == 1
    assert of(found, "smihub_units", mesh="vms", state="failed") == 1
    assert of(found, "smihub_mesh_ok", mesh="istio") == of(found, "smihub_mesh_ok", mesh="vms") == 0


def test_waiting_revocation_has_an_age(now: Time) -> None:
    """From when it was wanted, whenever somebody asks."""
    outcomes = Outcomes([("vms", API, losing(900.0))])
    found = samples(Metrics(outcomes, ["vms"], clocks=Clocks(now, now)))
    assert of(found, "smihub_waiting_revocations", mesh="vms") == 1
    assert of(found, "smihub_waiting_revocations_oldest_seconds", mesh="vms") == 100


def losing(since: float) -> Outcome:
    """An outcome with a loss that waits."""
    return Outcome({"Applied": Condition("False", "failed", "down", since)}, losing_since=since)


@pytest.mark.parametrize("names", [True, False])
def test_names_of_objects_are_in_labels_if_that_is_asked_for_alone(outcomes: Outcomes, now: Time, names: bool) -> None:  # noqa: FBT001 - a table
    """A namespace or an account is nobody's business else."""
    metrics = Metrics(outcomes, ["vms"], names=names, clocks=Clocks(now, now))
    metrics.applied("vms", "written", [CHANGE])
    assert (b"shop" in metrics.text()) is names
    if names:
        labels = {"mesh": "vms", "unit": "access/shop/api", "condition": "Applied", "reason": "failed"}
        assert of(samples(metrics), "smihub_unit_bad", **labels) == 1


def test_text_is_made_once_a_second_however_often_it_is_asked_for(outcomes: Outcomes, now: Time) -> None:
    """Who asks all the time makes nobody wait."""
    metrics = Metrics(outcomes, ["vms"], clocks=Clocks(now, now))
    first = metrics.text()
    metrics.queued("vms", 3)
    now.seconds += 0.5
    assert metrics.text() is first
    now.seconds += 0.6
    assert of(samples(metrics), "smihub_queue_units", mesh="vms") == 3


def test_ready_once_everything_was_seen(outcomes: Outcomes) -> None:
    """Every source and every mesh, in any order."""
    metrics = Metrics(outcomes, ["vms"], ("source a", "source b", "mesh vms"))
    metrics.observed("vms")
    metrics.synced("b")
    metrics.synced("b")
    assert metrics.missing() == ("source a",)
    metrics.synced("a")
    assert metrics.missing() == ()


def test_stuck_is_a_turn_without_an_end(outcomes: Outcomes, now: Time) -> None:
    """Waiting for news is none."""
    metrics = Metrics(outcomes, ["vms"], clocks=Clocks(now, now))
    now.seconds += 10 * STUCK_S
    assert not metrics.stuck()
    turn = metrics.turn_started()
    now.seconds += STUCK_S + 1
    assert metrics.stuck()
    metrics.turn_ended(turn)
    assert not metrics.stuck()
