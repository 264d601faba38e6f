"""Two parties that keep changing the same object: we put back later and later, and say so."""

from __future__ import annotations

from structlog.testing import capture_logs

from hub.model import UnitKey
from hub.reconcile.drift_backoff import FORGET_AFTER_S, MAX_WAIT_S, DriftBackoff

API, WEB = (UnitKey("access", "shop", name) for name in ("api", "web"))


class Clock:
    """Time that stands still until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def fight(rounds: int) -> list[float]:
    """Somebody changes a unit again as soon as it was put back; how long each putting back waited."""
    clock, waits = Clock(), []
    backoff = DriftBackoff("vms", clock)
    for _ in range(rounds):
        now = backoff.on_drift({API})
        wait_s = backoff.next_s()
        assert (wait_s is None) == bool(now)
        waits.append(wait_s or 0.0)
        clock.now += wait_s or 0.0
        assert backoff.due() == ({API} - now)
        assert backoff.due() == set()
        clock.now += 2.0
    return waits


def test_the_first_change_is_put_back_at_once_and_each_next_one_later() -> None:
    """From a second to a minute, and no longer."""
    assert fight(10) == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, MAX_WAIT_S, MAX_WAIT_S, MAX_WAIT_S]


def test_what_is_seen_again_while_it_waits_waits_no_longer() -> None:
    """However often the other party writes meanwhile."""
    clock = Clock()
    backoff = DriftBackoff("vms", clock)
    backoff.on_drift({API})
    assert backoff.on_drift({API}) == set()
    clock.now += 0.5
    assert backoff.on_drift({API}) == set()
    assert backoff.next_s() == 0.5
    clock.now += 0.5
    assert backoff.due() == {API}


def test_another_unit_and_a_later_change_are_put_back_at_once() -> None:
    """One fight is no reason to be slow elsewhere; after two calm minutes it is over."""
    clock = Clock()
    backoff = DriftBackoff("vms", clock)
    backoff.on_drift({API})
    backoff.on_drift({API})
    assert backoff.on_drift({API, WEB}) == {WEB}
    clock.now += FORGET_AFTER_S + 2
    backoff.due()
    assert backoff.on_drift({API}) == {API}


def test_a_change_that_was_no_fight_is_forgotten() -> None:
    """Somebody applied the same beside us: nothing had to be put back."""
    backoff = DriftBackoff("vms", Clock())
    backoff.on_drift({API, WEB})
    backoff.forget_restored({API, WEB}, {WEB})
    assert backoff.on_drift({API, WEB}) == {API}
    backoff.forget_restored(None, ())
    assert backoff.next_s() is None


def test_it_is_said_each_time_that_the_wait_grows() -> None:
    """So seven lines, whatever the other party does; each says how long, and what to do."""
    with capture_logs() as said:
        fight(30)
    lines = [each for each in said if each["event"] == "drift_repeated"]
    assert [each["wait_s"] for each in lines] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
    assert (lines[0]["log_level"], lines[0]["units"]) == ("warning", ["access/shop/api"])
    assert "smihub pause" in lines[0]["remedy"]
