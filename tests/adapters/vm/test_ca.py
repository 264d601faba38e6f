"""The local certificate authority."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store

from adapters.vm.identity.ca import Authority, Root, Secret, make_root
from hub.api import ConfigError

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
WEB = "spiffe://example.org/ns/d/sa/web"


def test_leaf_has_one_uri_and_no_subject() -> None:
    """An Envoy cannot demand exactly one URI SAN, so issuance guarantees it."""
    leaf = Authority(make_root("example.org", NOW)).issue(WEB, NOW)
    certificate = x509.load_pem_x509_certificate(leaf.chain)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [(type(name), name.value) for name in names.value] == [(x509.UniformResourceIdentifier, WEB)]
    assert names.critical
    assert certificate.subject == x509.Name([])
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_leaf_verifies_against_the_bundle() -> None:
    """A standard verifier accepts the chain."""
    authority = Authority(make_root("example.org", NOW))
    leaf = x509.load_pem_x509_certificate(authority.issue(WEB, NOW).chain)
    store = Store([x509.load_pem_x509_certificate(authority.bundle)])
    assert PolicyBuilder().store(store).time(NOW).build_client_verifier().verify(leaf, []).chain[0] == leaf


def test_life_and_renewal_follow_the_clock() -> None:
    """Valid from 5 minutes ago for its life; renewed within 50 to 70 % of it, not all at one moment."""
    authority = Authority(make_root("example.org", NOW), dt.timedelta(hours=10))
    leaves = [authority.issue(WEB, NOW) for _ in range(20)]
    certificate = x509.load_pem_x509_certificate(leaves[0].chain)
    assert certificate.not_valid_before_utc == NOW - dt.timedelta(minutes=5)
    assert certificate.not_valid_after_utc == NOW + dt.timedelta(hours=10)
    shares = {(leaf.renew_at - NOW) / dt.timedelta(hours=10) for leaf in leaves}
    assert all(0.5 <= share <= 0.7 for share in shares)
    assert len(shares) > 1


def test_leaf_does_not_outlive_the_root() -> None:
    """Near the end of the root, leaves end with it."""
    late = NOW + dt.timedelta(days=3650) - dt.timedelta(hours=1)
    leaf = Authority(make_root("example.org", NOW)).issue(WEB, late)
    certificate = x509.load_pem_x509_certificate(leaf.chain)
    assert certificate.not_valid_after_utc == NOW + dt.timedelta(days=3650)


def test_keys_are_redacted_wherever_they_are_printed() -> None:
    """No repr, str or format shows a key."""
    root = make_root("example.org", NOW)
    leaf = Authority(root).issue(WEB, NOW)
    shown = f"{root} {leaf!r} {leaf.key}"
    assert "PRIVATE KEY" not in shown
    assert "[redacted]" in shown


def test_authority_when_its_root_is_damaged() -> None:
    """A garbled state file is one line of error that says what to do, and holds no key."""
    root = make_root("example.org", NOW)
    for broken in (Root(b"garbage", root.key), Root(root.certificate, Secret(b"garbage"))):
        with pytest.raises(
            ConfigError, match="the certificate authority in the state file is damaged; restore the file"
        ):
            Authority(broken)
