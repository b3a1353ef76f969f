"""This node's own drain, as its peers are told of it.

A peer that hears DRAIN gives this node nothing new, moves its sessions away from it and
answers DRAINED when all have moved that could.  Peers of a version that does not know
the word are not waited for.
"""

from __future__ import annotations

from nano.cluster.link import Link
from nano.cluster.links import Links
from nano.cluster.pb import link_pb2 as pb

__all__ = ["Drains"]


class Drains:
    """What this node says when it leaves, and to whom.

    Args:
        links: The way to the peers.

    Attributes:
        begun: It is leaving.
    """

    def __init__(self, links: Links) -> None:
        self.begun = False
        self._links = links
        self._done: set[Link] = set()  # on which DRAINED was said
        links.observe(self)
        links.act(pb.DRAINED, self._on_drained)

    def begin(self) -> None:
        """Tell everybody, and whoever is linked later; a second time is harmless."""
        if not self.begun:
            self.begun = True
            for link in self._links.open:
                self._tell(link)

    @property
    def waiting(self) -> list[str]:
        """The peers that still move sessions away from here."""
        return [
            link.address
            for link in self._links.open
            if pb.DRAIN in link.peer.features and link not in self._done
        ]

    def link_up(self, link: Link) -> None:
        """Tell a new peer as well, or one that is back."""
        if self.begun:
            self._tell(link)

    def link_down(self, link: Link) -> None:
        """Wait for it no longer."""
        self._done.discard(link)

    @staticmethod
    def _tell(link: Link) -> None:
        if pb.DRAIN in link.peer.features:
            link.send(pb.Envelope(kind=pb.DRAIN))

    def _on_drained(self, link: Link, _: pb.Envelope) -> None:
        self._done.add(link)
