"""Certificate files that change while a node runs: when, and what is wrong with them.

Files are looked at by their stamps, through symbolic links: Kubernetes replaces the
files of a Secret by turning a link round.  Listeners and the cluster port share this;
what they make of the files is their own.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

__all__ = ["LOOK_AFTER", "Term", "Watch", "ask_nobody", "shown", "term", "why"]

LOOK_AFTER: Final = 5.0  # seconds; a kubelet takes up to a minute to bring a new one

NO_CHECK_TIME: Final = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME

Stamp: TypeAlias = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Term:
    """From when to when a certificate holds, in seconds since 1970."""

    begins: float
    ends: float

    @classmethod
    def of(cls, seen: Mapping[str, Any]) -> Term:
        """Return that of a certificate in the words of the ``ssl`` module."""
        begins, ends = seen["notBefore"], seen["notAfter"]
        return cls(ssl.cert_time_to_seconds(begins), ssl.cert_time_to_seconds(ends))


class Watch:
    """Tells when one of *files* has changed, and when it is time to look.

    Args:
        files: What is looked at.  One that is not there counts as a change of all.
    """

    def __init__(self, *files: Path) -> None:
        self._files = files
        self._looked: float | None = None
        self._stamp = self._look()

    def due(self, now: float) -> bool:
        """Whether it is time to look: :data:`LOOK_AFTER` seconds after the last."""
        if self._looked is not None and now - self._looked < LOOK_AFTER:
            return False
        first, self._looked = self._looked is None, now
        return not first

    def changed(self) -> bool:
        """Whether the files are others than they were at the last question."""
        before, self._stamp = self._stamp, self._look()
        return self._stamp != before

    def _look(self) -> Stamp:
        """Return what changes when a file does; empty if one is not there."""
        try:
            seen = [file.stat() for file in self._files]
        except OSError:
            return ()
        return tuple((it.st_mtime_ns, it.st_ino, it.st_size) for it in seen)


def shown(client: ssl.SSLContext, server: ssl.SSLContext) -> dict[str, Any]:
    """Return what *client* sees of the certificate of *server*: ``ssl``'s words.

    Raises:
        OSError: One does not believe the other.
    """
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(back, there)
    other = server.wrap_bio(there, back, server_side=True)
    for side in (one, other, one, other):  # TLS 1.3 takes no more
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return one.getpeercert() or {}


def term(server: ssl.SSLContext, cert: Path) -> Term | None:
    """Return when the certificate in *cert* holds, which *server* shows.

    Whoever made it, and whether it holds now, is no matter: it is believed for its own
    sake.  ``None``: nobody could use it for a server.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | NO_CHECK_TIME
    try:
        client.load_verify_locations(cert)
        return Term.of(shown(client, server))
    except (OSError, KeyError):
        return None


def ask_nobody() -> str:
    """Stand for a key's password, so that OpenSSL does not wait for a terminal."""
    raise ValueError("the key is encrypted, and nobody is there to type its password")


def why(error: Exception) -> str:
    """Say why certificate files cannot be used."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key belongs to another certificate"
        return f"it is no good PEM ({error.reason or error})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
