"""A listener's certificate: read from files, and read again when they change.

A new certificate is a new context, which only connections that are accepted from then
on get; open ones keep theirs and notice nothing.  What cannot be used is reported once,
and the certificate in use stays.
"""

from __future__ import annotations

import logging
import ssl
from collections import Counter
from pathlib import Path
from typing import Final

from nano.errors import UsageError
from nano.runtime.certificates import LOOK_AFTER, Watch, ask_nobody, term, why

__all__ = ["LOOK_AFTER", "Certificate"]

logger = logging.getLogger(__name__)

# For TLS 1.2, of which 1.3 has its own: forward secrecy and no CBC, as in Mozilla's
# "intermediate" configuration.
CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


class Certificate:
    """The certificate and the key of one listener.

    Args:
        name: The listener's, for messages.
        cert: File with the certificate and its chain, in PEM.
        key: File with its key, in PEM and not encrypted.
        counts: Where reloads are counted, by outcome.

    Attributes:
        context: What connections that begin now speak TLS with.
        term: When the certificate holds; ``None``: it could not be told.

    Raises:
        UsageError: The files cannot be read, or do not fit each other.
    """

    def __init__(
        self, name: str, cert: Path, key: Path, counts: Counter[str] | None = None
    ) -> None:
        self._name = name
        self._files = (cert, key)
        self._counts = Counter[str]() if counts is None else counts
        self._watch = Watch(cert, key)
        try:
            self.context = _context(cert, key)
        except (OSError, ValueError) as error:
            message = (
                f"listener {name} cannot use the certificate {cert} with the key "
                f"{key}: {why(error)}; give it PEM files that belong together"
            )
            raise UsageError(message) from error
        self.term = term(self.context, cert)

    def tick(self, now: float) -> None:
        """Look whether the files have changed, if it is time to."""
        if self._watch.due(now):
            self.refresh()

    def refresh(self) -> None:
        """Take the files' new content, if there is one that can be used."""
        if not self._watch.changed():
            return
        try:
            self.context = _context(*self._files)
        except (OSError, ValueError) as error:
            self._counts["refused"] += 1
            logger.error(
                "listener %s keeps its certificate, for the new one in %s cannot be "
                "used: %s",
                self._name,
                self._files[0],
                why(error),
            )
        else:
            self.term = term(self.context, self._files[0])
            self._counts["taken"] += 1
            logger.info("listener %s has a new certificate", self._name)


def _context(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_ciphers(CIPHERS)
    context.load_cert_chain(cert, key, password=ask_nobody)
    return context
