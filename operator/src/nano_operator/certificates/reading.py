"""What the Secrets of a cluster hold, as the machine wants to be told.

Whatever cannot be read counts as not there: somebody has damaged it, and it is made
anew.  Nothing of a key leaves this module but whether it fits.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from nano_operator.certificates.machine import Authority, Leaf, Owner, Span, Store
from nano_operator.objects import Object

__all__ = [
    "AUTHORITY_KEYS",
    "CA_CERT",
    "CA_KEY",
    "COMING_CERT",
    "COMING_KEY",
    "LEAF_CERT",
    "LEAF_KEY",
    "PREVIOUS_CERTS",
    "Data",
    "Identity",
    "Signer",
    "data_of",
    "mark_of",
    "pem_of",
    "read_leaf",
    "read_store",
    "seen_digest",
    "signers_of",
]

LEAF_CERT: Final = "tls.crt"
LEAF_KEY: Final = "tls.key"
CA_CERT: Final = "ca.crt"
CA_KEY: Final = "ca.key"
COMING_CERT: Final = "next.crt"
COMING_KEY: Final = "next.key"
PREVIOUS_CERTS: Final = "previous.crt"

AUTHORITY_KEYS: Final = (CA_CERT, CA_KEY, COMING_CERT, COMING_KEY, PREVIOUS_CERTS)
"""All entries of the authority's Secret; an empty one says that there is none."""

Data = Mapping[str, bytes]
"""The entries of a Secret."""

_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the nodes of a cluster say they are.

    Attributes:
        name: The DNS name in every certificate.
        master: The URI in the master's, besides.
    """

    name: str
    master: str

    @classmethod
    def of(cls, namespace: str, cluster: str) -> Identity:
        """Return that of a cluster."""
        name = f"node.{cluster}.{namespace}"
        return cls(name, f"nano://{name}/master")

    def names(self, owner: Owner) -> list[x509.GeneralName]:
        """Return what a certificate must name."""
        found: list[x509.GeneralName] = [x509.DNSName(self.name)]
        if owner is Owner.MASTER:
            found.append(x509.UniformResourceIdentifier(self.master))
        return found


@dataclass(frozen=True, slots=True)
class Signer:
    """An authority with its certificate, and its key where that is there."""

    cert: x509.Certificate
    key: ec.EllipticCurvePrivateKey | None = None

    @property
    def facts(self) -> Authority:
        """The same for the machine."""
        return Authority(mark_of(self.cert), span_of(self.cert), self.key is not None)


def data_of(secret: Object | None) -> Data:
    """Return the entries of a Secret; none for one that is not there."""
    entries = cast("dict[str, str]", (secret or {}).get("data") or {})
    found: dict[str, bytes] = {}
    for key, text in entries.items():
        try:
            found[key] = base64.b64decode(text, validate=True)
        except binascii.Error:  # no API server accepts that
            continue
    return found


def mark_of(cert: x509.Certificate) -> str:
    """Return a fingerprint."""
    return cert.fingerprint(hashes.SHA256()).hex()[:16]


def span_of(cert: x509.Certificate) -> Span:
    """Return when a certificate is valid."""
    return Span(cert.not_valid_before_utc, cert.not_valid_after_utc)


def pem_of(certs: Iterable[x509.Certificate]) -> bytes:
    """Return certificates in PEM, one after the other."""
    return b"".join(it.public_bytes(serialization.Encoding.PEM) for it in certs)


def signers_of(data: Data) -> tuple[Signer | None, Signer | None, list[Signer]]:
    """Return who signs, who will, and who did, of the authority's Secret."""
    current = _signer(data, CA_CERT, CA_KEY)
    coming = _signer(data, COMING_CERT, COMING_KEY)
    previous = [Signer(it) for it in _certs(data.get(PREVIOUS_CERTS, b""))]
    return current, coming, previous


def read_store(data: Data, answered: str) -> Store:
    """Return what the authority's Secret says.

    Args:
        data: Its entries.
        answered: The last wish for a rotation that was followed.
    """
    current, coming, previous = signers_of(data)
    return Store(
        current=current.facts if current else None,
        coming=coming.facts if coming and coming.key else None,
        previous=tuple(mark_of(it.cert) for it in previous),
        answered=answered,
    )


def read_leaf(
    data: Data, identity: Identity, owner: Owner, authority: Data
) -> tuple[Leaf, Signer | None] | None:
    """Return what a node's Secret says, and who signed; ``None`` if it is no good.

    Args:
        data: Its entries.
        identity: What it must name.
        owner: Whose it is.
        authority: The entries of the authority's Secret.
    """
    certs, key = _certs(data.get(LEAF_CERT, b"")), _key(data.get(LEAF_KEY, b""))
    if not certs or key is None or certs[0].public_key() != key.public_key():
        return None
    leaf = certs[0]
    if set(_names(leaf)) != set(identity.names(owner)):
        return None
    believed = _certs(data.get(CA_CERT, b""))
    current, coming, previous = signers_of(authority)
    known = [it.cert for it in (current, coming, *previous) if it is not None]
    maker = next((it for it in (*known, *believed) if _made(it, leaf)), None)
    facts = Leaf(
        span=span_of(leaf),
        signer=mark_of(maker) if maker else "",
        bundle=tuple(mark_of(it) for it in believed),
    )
    return facts, Signer(maker) if maker else None


def seen_digest(leaves: Iterable[Data]) -> str:
    """Return what changes when nodes get something new; empty if one has nothing."""
    digest = hashlib.sha256()
    for data in leaves:
        for key in (LEAF_CERT, CA_CERT):
            if not data.get(key):
                return ""
            digest.update(hashlib.sha256(data[key]).digest())
    return digest.hexdigest()


def _signer(data: Data, cert_name: str, key_name: str) -> Signer | None:
    certs, key = _certs(data.get(cert_name, b"")), _key(data.get(key_name, b""))
    if not certs:
        return None
    fits = key is not None and certs[0].public_key() == key.public_key()
    return Signer(certs[0], key if fits else None)


def _certs(pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except _UNREADABLE:
        return []


def _key(pem: bytes) -> ec.EllipticCurvePrivateKey | None:
    try:
        key = serialization.load_pem_private_key(pem, None)
    except _UNREADABLE:
        return None
    return key if isinstance(key, ec.EllipticCurvePrivateKey) else None


def _names(cert: x509.Certificate) -> list[x509.GeneralName]:
    try:
        kind = x509.SubjectAlternativeName
        return list(cert.extensions.get_extension_for_class(kind).value)
    except (x509.ExtensionNotFound, *_UNREADABLE):
        return []


def _made(authority: x509.Certificate, leaf: x509.Certificate) -> bool:
    try:
        leaf.verify_directly_issued_by(authority)
    except (InvalidSignature, *_UNREADABLE):
        return False
    return True
