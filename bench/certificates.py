"""A certificate that both sides show, and the authority that the load believes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme

__all__ = ["Certificate"]


@dataclass(frozen=True, slots=True)
class Certificate:
    """Files in PEM.

    Attributes:
        chain: The certificate of a server on this host.
        key: Its key.
        authority: By whom it is signed.
    """

    chain: Path
    key: Path
    authority: Path

    @classmethod
    def issue(cls, folder: Path) -> Certificate:
        """Make one in *folder*."""
        made = cls(folder / "tls.crt", folder / "tls.key", folder / "ca.crt")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(made.authority)
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(made.key)
        for part in issued.cert_chain_pems:
            part.write_to_path(made.chain, append=True)
        return made
