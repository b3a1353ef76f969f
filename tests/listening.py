"""What a server needs to listen by TLS."""

from __future__ import annotations

from pathlib import Path

import trustme

__all__ = ["put_certificate"]


def put_certificate(folder: Path, authority: trustme.CA) -> tuple[Path, Path]:
    """Put a certificate for this machine and its key into *folder*, as Secrets have.

    Returns:
        The files ``tls.crt``, chain included, and ``tls.key``.
    """
    issued = authority.issue_cert("127.0.0.1", "localhost")
    cert, key = folder / "tls.crt", folder / "tls.key"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return cert, key
