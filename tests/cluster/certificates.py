"""Certificates of nodes in files, as a Secret in a pod has them."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterable
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from nano.cluster.credentials import CertificateFiles, Credentials, node_name, role_uri

CLUSTER = "default/demo"
BOTH_SIDES = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


class Authority:
    """Signs certificates of nodes."""

    def __init__(self) -> None:
        self._ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.pem = self._ca.cert_pem.bytes()
        self._key = serialization.load_pem_private_key(
            self._ca.private_key_pem.bytes(), None
        )
        self._name = x509.load_pem_x509_certificate(self.pem).subject

    def issue(
        self,
        cluster: str = CLUSTER,
        role: str = "",
        *,
        days: float = 1,
        usages: Iterable[x509.ObjectIdentifier] = BOTH_SIDES,
        names: Iterable[x509.GeneralName] | None = None,
    ) -> tuple[bytes, bytes]:
        """Return a certificate and its key.

        Args:
            cluster: ``namespace/name``.
            role: Is named in it; empty: none is.
            days: How long it holds; if negative, since when it does not.
            usages: What it is for.
            names: In place of those of cluster and role.
        """
        assert isinstance(self._key, ec.EllipticCurvePrivateKey)
        if names is None:
            uri = [x509.UniformResourceIdentifier(role_uri(cluster, role))]
            names = [x509.DNSName(node_name(cluster)), *(uri if role else [])]
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(
                x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a node")])
            )
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=30))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        return made.public_bytes(pem), key.private_bytes(
            pem,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )


class Secret:
    """Certificate, key and authorities in a folder, replaced at one moment."""

    def __init__(
        self,
        folder: Path,
        authority: Authority,
        role: str = "",
        cluster: str = CLUSTER,
    ) -> None:
        folder.mkdir(parents=True)
        self.role = role
        self.cluster = cluster
        self.files = CertificateFiles(
            folder / "tls.crt", folder / "tls.key", folder / "ca.crt"
        )
        self._folder = folder
        self._numbers = itertools.count(1)
        for file in (self.files.cert, self.files.key, self.files.authorities):
            file.symlink_to(Path("..data", file.name))
        self.issue(authority)

    def put(self, cert: bytes, key: bytes, authorities: bytes) -> None:
        """Bring new content, as the kubelet does."""
        there = self._folder / f"..{next(self._numbers)}"
        there.mkdir()
        (there / "tls.crt").write_bytes(cert)
        (there / "tls.key").write_bytes(key)
        (there / "ca.crt").write_bytes(authorities)
        new = self._folder / "..data_tmp"
        new.symlink_to(there.name)
        new.rename(self._folder / "..data")

    def issue(self, authority: Authority, *believed: Authority) -> None:
        """Put a new certificate in, and whom to believe besides its signer."""
        bundle = b"".join(it.pem for it in (authority, *believed))
        self.put(*authority.issue(self.cluster, self.role), bundle)

    def believe(self, *authorities: Authority) -> None:
        """Change the bundle alone."""
        cert, key = self.files.cert.read_bytes(), self.files.key.read_bytes()
        self.put(cert, key, b"".join(it.pem for it in authorities))

    def credentials(self) -> Credentials:
        return Credentials(self.cluster, self.role, self.files)
