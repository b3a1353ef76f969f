"""Makes keys and certificates, and what the Secrets then hold.

The only module that makes a key.  Keys go into the entries of a Secret and nowhere
else: no error and no log has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nano_operator.certificates.machine import Move, Owner, Terms
from nano_operator.certificates.reading import (
    CA_CERT,
    CA_KEY,
    COMING_CERT,
    COMING_KEY,
    LEAF_CERT,
    LEAF_KEY,
    PREVIOUS_CERTS,
    Data,
    Identity,
    Signer,
    pem_of,
    read_leaf,
    signers_of,
)

__all__ = ["BACKDATED", "make_authority", "make_leaf"]

BACKDATED: Final = timedelta(hours=1)
"""How long before its making a certificate is valid: the nodes' clocks may be slow."""


def make_authority(
    move: Move,
    data: Data,
    leaves: Mapping[Owner, Data],
    identity: Identity,
    terms: Terms,
    now: datetime,
) -> dict[str, bytes]:
    """Return what the authority's Secret holds after *move*.

    Args:
        move: What to do about it.
        data: What it holds; nothing where it is to be made.
        leaves: What the Secrets of the nodes hold, where they are there.
        identity: Of the cluster.
        terms: How long the authority is valid.
        now: The time.
    """
    current, coming, previous = signers_of(data)
    match move:
        case Move.FOUND:
            return _entries(_found(terms.authority, now), None, [])
        case Move.RECOVER:
            used = _makers(leaves, identity)
            return _entries(used[0], _found(terms.authority, now), used[1:])
        case Move.PREPARE:
            return _entries(current, _found(terms.authority, now), previous)
        case Move.PROMOTE:
            return _entries(coming, None, [*([current] if current else []), *previous])
        case _:  # FORGET
            return _entries(current, None, [])


def make_leaf(
    move: Move,
    owner: Owner,
    data: Data,
    authority: Data,
    identity: Identity,
    terms: Terms,
    now: datetime,
) -> dict[str, bytes]:
    """Return what the Secret of *owner* holds after *move*.

    Args:
        move: A new certificate, or only whom to believe.
        owner: Whose it is.
        data: What it holds; nothing where it is to be made.
        authority: What the authority's Secret holds.
        identity: What the certificate names.
        terms: How long it is valid; never longer than its authority.
        now: The time.
    """
    current, coming, previous = signers_of(authority)
    makers = [it for it in (current, coming) if it is not None]
    bundle = pem_of(it.cert for it in (*makers, *previous))
    if move is Move.BELIEVE:
        return {**data, CA_CERT: bundle}
    assert current is not None
    assert current.key is not None
    key = ec.generate_private_key(ec.SECP256R1())
    ends = min(now + terms.certificate, current.cert.not_valid_after_utc)
    cert = (
        _begun("node", current.cert.subject, key, now, ends)
        .add_extension(
            x509.SubjectAlternativeName(identity.names(owner)), critical=False
        )
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(
                current.key.public_key()
            ),
            critical=False,
        )
        .sign(current.key, hashes.SHA256())
    )
    return {LEAF_CERT: pem_of([cert]), LEAF_KEY: _pem_of_key(key), CA_CERT: bundle}


def _entries(
    current: Signer | None, coming: Signer | None, previous: list[Signer]
) -> dict[str, bytes]:
    """Return all entries; empty ones too, so that what was there is overwritten."""
    return {
        CA_CERT: pem_of([current.cert]) if current else b"",
        CA_KEY: _pem_of_key(current.key) if current and current.key else b"",
        COMING_CERT: pem_of([coming.cert]) if coming else b"",
        COMING_KEY: _pem_of_key(coming.key) if coming and coming.key else b"",
        PREVIOUS_CERTS: pem_of(it.cert for it in previous),
    }


def _makers(leaves: Mapping[Owner, Data], identity: Identity) -> list[Signer]:
    """Return who signed the certificates that are in use, each once."""
    found: list[Signer] = []
    for owner, data in leaves.items():
        read = read_leaf(data, identity, owner, {})
        maker = read[1] if read else None
        if maker is not None and maker not in found:
            found.append(maker)
    return found


def _found(life: timedelta, now: datetime) -> Signer:
    """Return a new authority; each has a name of its own, as verifiers look by name."""
    key = ec.generate_private_key(ec.SECP256R1())
    digest = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    title = f"nanocluster authority {digest.digest.hex()[:16]}"
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        crl_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    cert = (
        _begun(title, _name(title), key, now, now + life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(digest, critical=False)
        .sign(key, hashes.SHA256())
    )
    return Signer(cert, key)


def _begun(
    title: str,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    ends: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_name(title))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(ends)
    )


def _name(title: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, title)])


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
