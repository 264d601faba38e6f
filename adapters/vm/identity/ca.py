"""The local certificate authority: SPIFFE certificates for the sidecars of one mesh.

Pure but for the random numbers that keys need: the clock is passed in, nothing is stored or logged here.
Source: SPIFFE, "The X.509 SPIFFE Verifiable Identity Document" (X509-SVID), sections 2 to 4: a leaf has exactly one
URI SAN, is no CA, and may sign digitally; the subject may be empty.
"""

from __future__ import annotations

import datetime as dt
from hashlib import blake2b

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from hub.api import ConfigError

ROOT_LIFE = dt.timedelta(days=3650)
LEAF_LIFE = dt.timedelta(hours=24)
SKEW = dt.timedelta(minutes=5)
"""How far a sidecar's clock may be behind ours."""


class Secret:
    """Bytes that never show up in a log, a repr or an error; `reveal` is the one way to them."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes themselves, for the wire or the state file."""
        return self._value

    def __repr__(self) -> str:
        return "[redacted]"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


class Root(Struct, frozen=True):
    """A self-signed authority: certificate in PEM (this is the trust bundle) and its private key in PEM."""

    certificate: bytes
    key: Secret


class Leaf(Struct, frozen=True):
    """A workload's certificate chain and key in PEM; to be replaced at `renew_at` (UTC)."""

    spiffe: str
    chain: bytes
    key: Secret
    renew_at: dt.datetime


class Authority:
    """Issues leaves of one root; each lives for `life`. Raises ConfigError for a root that cannot be read."""

    def __init__(self, root: Root, life: dt.timedelta = LEAF_LIFE) -> None:
        try:
            self._certificate = x509.load_pem_x509_certificate(root.certificate)
            key = serialization.load_pem_private_key(root.key.reveal(), None)
        except ValueError:
            raise ConfigError(
                "the certificate authority in the state file is damaged; restore the file from a backup"
                " (without one, every workload has to be bootstrapped again)"
            ) from None
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 - `make_root` makes no other
        self._key = key
        self._life = life
        self.bundle = root.certificate

    def issue(self, spiffe: str, now: dt.datetime) -> Leaf:
        """A new key and certificate for one identity. The moment of renewal is spread over 50 to 70 % of its life."""
        key = ec.generate_private_key(ec.SECP256R1())
        # Beyond the end of its root nobody would accept it, and nothing would renew it in time.
        not_after = min(now + self._life, self._certificate.not_valid_after_utc)
        certificate = (
            _builder(self._certificate.subject, x509.Name([]), key.public_key(), (now - SKEW, not_after))
            # An empty subject makes the alternative name the whole identity, hence critical (RFC 5280, 4.2.1.6).
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(spiffe)]), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        renew_at = now + (not_after - now) * _fraction(spiffe, certificate.serial_number)
        return Leaf(spiffe, certificate.public_bytes(serialization.Encoding.PEM), _pem(key), renew_at)


def make_root(trust_domain: str, now: dt.datetime) -> Root:
    """A new authority for a trust domain, valid for ten years."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "smihub local authority")])
    certificate = (
        _builder(name, name, key.public_key(), (now - SKEW, now + ROOT_LIFE))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Root(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, span: tuple[dt.datetime, dt.datetime]
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(span[0])
        .not_valid_after(span[1])
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> Secret:
    return Secret(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _fraction(spiffe: str, serial: int) -> float:
    """A share between 0.5 and 0.7 that differs per certificate, so that a fleet does not renew at one moment."""
    digest = blake2b(f"{spiffe} {serial}".encode(), digest_size=4).digest()
    return 0.5 + 0.2 * int.from_bytes(digest) / 2**32
