"""Tokens of workloads."""

from __future__ import annotations

import hmac

import pytest

from adapters.vm.ca import Secret
from adapters.vm.tokens import bearer, digest_of, new_token


def test_token_names_its_workload_only_if_its_hash_is_stored() -> None:
    """The right token is its workload's; any other is nobody's."""
    token = new_token("d/web")
    stored = {"d/web": digest_of(token)}
    assert bearer(token, stored.get) == "d/web"
    assert bearer(new_token("d/web"), stored.get) is None
    assert bearer(new_token("d/api"), stored.get) is None


def test_secret_of_one_workload_is_no_token_of_another() -> None:
    """The workload in front of a token is part of what is hashed."""
    token = new_token("d/web")
    forged = Secret(token.reveal().replace(b"d/web", b"d/api"))
    stored = {"d/web": digest_of(token), "d/api": digest_of(new_token("d/api"))}
    assert bearer(forged, stored.get) is None


@pytest.mark.parametrize("known", [True, False])
def test_comparison_takes_constant_time(monkeypatch: pytest.MonkeyPatch, *, known: bool) -> None:
    """It is `hmac.compare_digest` that compares, also where there is nothing to compare with."""
    compared: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: compared.append((one, other)))
    token = new_token("d/web")
    assert bearer(token, lambda _: digest_of(token) if known else None) is None
    assert [digest_of(token) in pair for pair in compared] == [True]


@pytest.mark.parametrize("raw", [b"", b":", b"d/web:", b"d/web", b"\xff" * 60, b"d/web:" + b"a" * 44, b"a" * 100_000])
def test_malformed_token_is_nobodys(raw: bytes) -> None:
    """Odd bytes are refused without an error."""
    assert bearer(Secret(raw), {"d/web": digest_of(Secret(raw))}.get) is None
