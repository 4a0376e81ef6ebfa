"""Certificates for an emulator that answers on https: a good one, and two that must be refused.

Made anew each time by an authority of their own, which nothing trusts unless told to.
"""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

KINDS: Final = ("good", "expired", "wrong_host")
_SIGNS_CERTIFICATES: Final = x509.KeyUsage(
    key_cert_sign=True,
    crl_sign=True,
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def server_context(kind: str, *, host: str | None = None) -> tuple[ssl.SSLContext, str]:
    """Return what a server needs, and the authority's certificate (PEM) for clients.

    :param kind: ``good`` for this machine, ``expired``, or ``wrong_host``.
    :param host: a further host name that the good one is for.
    :raises ValueError: when there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no certificate {kind!r}; choose one of: {', '.join(KINDS)}")
    authority_key, leaf_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority_name = _name("CentralAuth emulator authority")
    authority = (
        _builder(authority_name, authority_name, authority_key, expired=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_SIGNS_CERTIFICATES, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    leaf = (
        _builder(_name("CentralAuth emulator"), authority_name, leaf_key, expired=kind == "expired")
        .add_extension(x509.SubjectAlternativeName(_hosts(kind, host)), critical=False)
        # Python 3.13 and later refuse a chain without it (RFC 5280 §4.2.1.1).
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
        .sign(authority_key, hashes.SHA256())
    )
    context = _context()
    _load(context, leaf, leaf_key)
    return context, _pem(authority)


def context_of(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return what a server needs to show a certificate from a file.

    :raises ValueError: when the two files are no such pair.
    """
    context = _context()
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as problem:
        raise ValueError(f"{certificate} and {key} are no certificate and its key: {problem}") from None
    return context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, *, expired: bool
) -> x509.CertificateBuilder:
    now = datetime.now(timezone.utc)
    begins, ends = (-20, -10) if expired else (-1, 30)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begins))
        .not_valid_after(now + timedelta(days=ends))
    )


def _hosts(kind: str, host: str | None) -> list[x509.GeneralName]:
    if kind == "wrong_host":
        return [x509.DNSName("somewhere-else.example")]
    texts = ["localhost", "127.0.0.1", "::1", *([host] if host and host.isascii() else [])]
    return list(dict.fromkeys(map(_general_name, texts)))


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _load(context: ssl.SSLContext, leaf: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # The standard library reads certificates from files only; this one is gone at once.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "leaf.pem"
        path.write_bytes(private + _pem(leaf).encode())
        context.load_cert_chain(path)


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
