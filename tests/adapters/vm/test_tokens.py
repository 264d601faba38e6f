"""Tokens of workloads."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

import pytest

from adapters.vm.identity.ca import Secret
from adapters.vm.identity.tokens import Bearer, StoredToken, bearer, digest_of, new_token


def known(*tokens: Secret) -> Callable[[str], Sequence[StoredToken]]:
    """What is stored of these tokens."""
    stored = {token.reveal().decode().partition(":")[0]: (StoredToken(digest_of(token)),) for token in tokens}
    return lambda workload: stored.get(workload, ())


def test_token_names_its_workload_only_if_its_hash_is_stored() -> None:
    """The right token is its workload's; any other is nobody's."""
    token = new_token("d/web")
    stored = known(token)
    assert bearer(token, stored) == Bearer("d/web")
    assert bearer(new_token("d/web"), stored) is None
    assert bearer(new_token("d/api"), stored) is None


def test_token_that_has_ended_is_told_apart() -> None:
    """Alone, and beside the one that took its place."""
    token, old = new_token("d/web"), new_token("d/web")
    ended = StoredToken(digest_of(old), ended=True)
    assert bearer(old, lambda _: (ended,)) == Bearer("d/web", ended=True)
    both = (ended, StoredToken(digest_of(token)))
    assert bearer(old, lambda _: both) == Bearer("d/web", ended=True, replaced=True)
    assert bearer(token, lambda _: both) == Bearer("d/web")


def test_secret_of_one_workload_is_no_token_of_another() -> None:
    """The workload in front of a token is part of what is hashed."""
    token = new_token("d/web")
    forged = Secret(token.reveal().replace(b"d/web", b"d/api"))
    assert bearer(forged, known(token, new_token("d/api"))) is None


@pytest.mark.parametrize("issued", [True, False])
def test_comparison_takes_constant_time(monkeypatch: pytest.MonkeyPatch, *, issued: bool) -> None:
    """It is `hmac.compare_digest` that compares, also where there is nothing to compare with."""
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: compared.append((one, other)))
    token = new_token("d/web")
    assert bearer(token, lambda _: (StoredToken(digest_of(token)),) if issued else ()) is None
    assert [digest_of(token) in pair for pair in compared] == [True]


@pytest.mark.parametrize("raw", [b"", b":", b"d/web:", b"d/web", b"\xff" * 60, b"d/web:" + b"a" * 44, b"a" * 100_000])
def test_malformed_token_is_nobodys(raw: bytes) -> None:
    """Odd bytes are refused without an error."""
    assert bearer(Secret(raw), lambda _: (StoredToken(digest_of(Secret(raw))),)) is None
