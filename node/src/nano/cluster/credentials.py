"""What a node shows the others and believes of them: mutual TLS on the cluster port.

Every node of a cluster has a certificate for the DNS name
``node.<cluster>.<namespace>`` (:func:`node_name`), by which the others know that it
belongs to the cluster.  Nodes are dialled by IP address, so that name is asked for
whatever the address.  The master's certificate has a URI as well (:func:`role_uri`),
without which nobody believes its announcements.  All must be signed by an authority of
the bundle that every node has.

Certificate, key and bundle are read again when they change.  New connections take the
new ones; :attr:`Credentials.generation` tells the owners of old ones that it is time to
replace them.  What the node could not itself verify is never taken up.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio

from nano.cluster.members import MASTER
from nano.cluster.strangers import Strangers
from nano.errors import UsageError
from nano.runtime.certificates import Term, Watch, ask_nobody, shown, why

__all__ = [
    "CertificateFiles",
    "Credentials",
    "node_name",
    "open_channel",
    "role_uri",
]

logger = logging.getLogger(__name__)

DOUBTS: Final = {
    "Hostname Verification Check failed": "its certificate has another name",
    "certificate has expired": "its certificate has expired",
    "CERTIFICATE_VERIFY_FAILED": "no authority of ours has signed its certificate",
    "WRONG_VERSION_NUMBER": "it speaks no TLS",
    "handshake failed": "TLS was not agreed upon",
}
"""What gRPC says of a connection that TLS refused, and what that means."""

ATTEMPTS: Final = 5  # to read three files between two changes of them

ChannelOptions = Sequence[tuple[str, int | str]]


def node_name(cluster: str) -> str:
    """Return the name in the certificates of *cluster*, ``namespace/name``."""
    namespace, _, name = cluster.partition("/")
    return f"node.{name}.{namespace}"


def role_uri(cluster: str, role: str) -> str:
    """Return the URI in the certificate of a node that is *role* in *cluster*."""
    return f"nano://{node_name(cluster)}/{role}"


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """Where a node's certificate is, all in PEM.

    Attributes:
        cert: The certificate, and those between it and the root.
        key: Its key, not encrypted.
        authorities: Whose signatures are believed; several during a rotation.
    """

    cert: Path
    key: Path
    authorities: Path


@dataclass(frozen=True, slots=True)
class _Material:
    """What the files held when they were read."""

    cert: bytes
    key: bytes
    authorities: bytes
    term: Term

    def server_configuration(self) -> grpc.ServerCertificateConfiguration:
        return grpc.ssl_server_certificate_configuration(
            [(self.key, self.cert)], root_certificates=self.authorities
        )


class Credentials:
    """The certificate of one node towards the others.

    Args:
        cluster: ``namespace/name``; the certificate must name it.
        role: What the node is for; the certificate of a master must say so.
        files: Where the certificate, its key and the authorities are.
        counts: Where reloads are counted, by outcome.
        strangers: Where nodes are counted that we dialled and did not believe.

    Attributes:
        cluster: As given.
        generation: How often new files were taken up; the first are number 0.
        turn: Held by the one link that moves to new ones now.

    Raises:
        UsageError: The files cannot be read, or do not fit each other, the cluster or
            the role.
    """

    def __init__(
        self,
        cluster: str,
        role: str,
        files: CertificateFiles,
        counts: Counter[str] | None = None,
        strangers: Strangers | None = None,
    ) -> None:
        self.cluster = cluster
        self.generation = 0
        self.turn = asyncio.Lock()
        self._role = role
        self._files = files
        self._counts = Counter[str]() if counts is None else counts
        self._strangers = strangers or Strangers()
        self._refused = False
        self._watch = Watch(files.cert, files.key, files.authorities)
        try:
            self._current = self._read()
        except (OSError, ValueError) as error:
            message = (
                f"the cluster port cannot use the certificate {files.cert} with the "
                f"key {files.key} and the authorities {files.authorities}: {why(error)}"
            )
            raise UsageError(message) from error

    @property
    def name(self) -> str:
        """The name that the other nodes' certificates must have."""
        return node_name(self.cluster)

    @property
    def term(self) -> Term:
        """When the certificate holds."""
        return self._current.term

    def tick(self, now: float) -> None:
        """Look whether the files have changed, if it is time to."""
        if self._watch.due(now):
            self.refresh()

    def refresh(self) -> None:
        """Take the files' new content, if there is one that can be used."""
        changed = self._watch.changed()
        if not changed and not self._refused:
            return
        try:
            current = self._read()
        except (OSError, ValueError) as error:
            self._refused = True  # to be tried again: it may not be valid yet
            if changed:
                self._counts["refused"] += 1
                logger.error(
                    "the cluster port keeps its certificate, for the new one in %s "
                    "cannot be used: %s",
                    self._files.cert,
                    why(error),
                )
        else:
            self._refused = False
            self._current = current
            self.generation += 1
            self._counts["taken"] += 1
            logger.info("the cluster port has a new certificate, or new authorities")

    def server(self, begun: Callable[[], None]) -> grpc.ServerCredentials:
        """Return what a server asks its callers for, and shows them.

        Args:
            begun: Called for each connection before it is encrypted, in a thread of
                gRPC's.
        """
        shown = self._current

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal shown
            begun()
            if shown is self._current:
                return None
            shown = self._current
            return shown.server_configuration()

        return grpc.dynamic_ssl_server_credentials(
            shown.server_configuration(),
            fetch,  # type: ignore[arg-type]  # None: go on with what you have
            require_client_authentication=True,
        )

    def channel(self, address: str, options: ChannelOptions) -> grpc.aio.Channel:
        """Return a channel to the node at *address*, with the newest certificate."""
        mine = self._current
        return grpc.aio.secure_channel(
            address,
            grpc.ssl_channel_credentials(mine.authorities, mine.key, mine.cert),
            options=[*options, ("grpc.ssl_target_name_override", self.name)],
        )

    def failed(self, address: str, details: str) -> None:
        """Look whether a call failed because the node there cannot be believed.

        Args:
            address: Whom we called.
            details: What gRPC says; it has no status of its own for this.
        """
        for mark, meaning in DOUBTS.items():
            if mark in details:
                text = f"{address} is not believed to be {self.name}: {meaning}"
                self._strangers.refuse("unverified-peer", text)
                return

    def _read(self) -> _Material:
        """Read the files at one moment, and check them.

        Raises:
            OSError: One cannot be read.
            ValueError: They are no good, or change all the time.
        """
        for _ in range(ATTEMPTS):
            try:
                found = self._read_once()
            except (OSError, ValueError):
                if not self._watch.changed():
                    raise
            else:
                if not self._watch.changed():
                    return found
        raise ValueError("the files change all the time")

    def _read_once(self) -> _Material:
        files = self._files
        cert, key = files.cert.read_bytes(), files.key.read_bytes()
        authorities = files.authorities.read_bytes()
        seen = _shown_to_itself(files)
        names = set(seen.get("subjectAltName", ()))
        if ("DNS", self.name) not in names:
            found = ", ".join(sorted(text for kind, text in names if kind == "DNS"))
            raise ValueError(
                f"it is for {found or 'no DNS name'}, and the nodes of this cluster "
                f"know each other by {self.name}"
            )
        uri = role_uri(self.cluster, self._role)
        if self._role == MASTER and ("URI", uri) not in names:
            raise ValueError(
                f"it has no URI {uri}, without which nobody believes a master"
            )
        return _Material(cert, key, authorities, Term.of(seen))


def open_channel(
    address: str, options: ChannelOptions, credentials: Credentials | None
) -> grpc.aio.Channel:
    """Return a channel to the node at *address*; plain without *credentials*."""
    if credentials is None:
        return grpc.aio.insecure_channel(address, options=[*options])
    return credentials.channel(address, options)


def _shown_to_itself(files: CertificateFiles) -> dict[str, Any]:
    """Have the certificate verified as a peer would, as client and as server.

    Returns:
        What a peer sees of it: the ``ssl`` module's words.

    Raises:
        OSError: A file cannot be read.
        ValueError: No peer that has the same authorities would accept it.
    """
    client = _context(files, ssl.PROTOCOL_TLS_CLIENT)
    return shown(client, _context(files, ssl.PROTOCOL_TLS_SERVER))


def _context(files: CertificateFiles, protocol: int) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # its names are compared by their own rule
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # as gRPC does
    context.load_cert_chain(files.cert, files.key, password=ask_nobody)
    context.load_verify_locations(files.authorities)
    return context
