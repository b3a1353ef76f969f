"""A listener's certificate: read from files, and read again when they change.

A new certificate is a new context, which only connections that are accepted from then
on get; open ones keep theirs and notice nothing.  Files are looked at by their stamps,
through symbolic links: Kubernetes replaces the files of a Secret by turning a link
round.  What cannot be used is reported once, and the certificate in use stays.
"""

from __future__ import annotations

import logging
import ssl
from collections import Counter
from pathlib import Path
from typing import Final, TypeAlias

from nano.errors import UsageError

__all__ = ["LOOK_AFTER", "Certificate"]

logger = logging.getLogger(__name__)

LOOK_AFTER: Final = 5.0  # seconds; a kubelet takes up to a minute to bring a new one
# For TLS 1.2, of which 1.3 has its own: forward secrecy and no CBC, as in Mozilla's
# "intermediate" configuration.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"

Stamp: TypeAlias = tuple[tuple[int, int, int], ...]


class Certificate:
    """The certificate and the key of one listener.

    Args:
        name: The listener's, for messages.
        cert: File with the certificate and its chain, in PEM.
        key: File with its key, in PEM and not encrypted.
        counts: Where reloads are counted, by outcome.

    Attributes:
        context: What connections that begin now speak TLS with.

    Raises:
        UsageError: The files cannot be read, or do not fit each other.
    """

    def __init__(
        self, name: str, cert: Path, key: Path, counts: Counter[str] | None = None
    ) -> None:
        self._name = name
        self._files = (cert, key)
        self._counts = Counter[str]() if counts is None else counts
        self._looked: float | None = None
        self._stamp = self._look()
        try:
            self.context = _context(cert, key)
        except (OSError, ValueError) as error:
            message = (
                f"listener {name} cannot use the certificate {cert} with the key "
                f"{key}: {_why(error)}; give it PEM files that belong together"
            )
            raise UsageError(message) from error

    def tick(self, now: float) -> None:
        """Look whether the files have changed, if it is time to."""
        if self._looked is None or now - self._looked >= LOOK_AFTER:
            if self._looked is not None:
                self.refresh()
            self._looked = now

    def refresh(self) -> None:
        """Take the files' new content, if there is one that can be used."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self.context = _context(*self._files)
        except (OSError, ValueError) as error:
            self._counts["refused"] += 1
            logger.error(
                "listener %s keeps its certificate, for the new one in %s cannot be "
                "used: %s",
                self._name,
                self._files[0],
                _why(error),
            )
        else:
            self._counts["taken"] += 1
            logger.info("listener %s has a new certificate", self._name)

    def _look(self) -> Stamp:
        """Return what changes when a file does; empty if one is not there."""
        try:
            seen = [file.stat() for file in self._files]
        except OSError:
            return ()
        return tuple((it.st_mtime_ns, it.st_ino, it.st_size) for it in seen)


def _context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    context.load_cert_chain(cert, key, password=_ask_nobody)
    return context


def _ask_nobody() -> str:
    raise ValueError("the key is encrypted, and nobody is there to type its password")


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key belongs to another certificate"
        return f"it is no good PEM ({error.reason or error})"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)
