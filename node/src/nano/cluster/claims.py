"""Claims of uids, from gate to gate.

Each new claim is told to all other gates, and all there are to a gate when a link to it
opens: what was lost with a link is made up for by the next one.  While two gates do not
reach each other, a uid may have a session at each.  A peer whose HELLO does not list
the kind is a gate of another version, or one that allows several sessions.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from nano.cluster.link import Link
from nano.cluster.links import Links
from nano.cluster.pb import link_pb2 as pb
from nano.runtime.claims import Claim, Claims

__all__ = ["CLAIMS_AT_ONCE", "ClaimLinks"]

CLAIMS_AT_ONCE: Final = 1000  # in one envelope: at most some 280 kB


class ClaimLinks:
    """The other gates, for the claims of this one.

    Args:
        claims: The claims of this gate's own sessions.
        links: The way to other nodes.
    """

    def __init__(self, claims: Claims, links: Links) -> None:
        self._claims = claims
        self._links = links
        claims.tell = self._tell
        links.observe(self)
        links.act(pb.SIGNED_IN, self._on_signed_in)

    def link_up(self, link: Link) -> None:
        """Tell a gate of all claims."""
        if pb.SIGNED_IN not in link.peer.features:
            return
        claims = iter(self._claims.all())
        while some := list(islice(claims, CLAIMS_AT_ONCE)):
            link.send(_envelope(some))

    def link_down(self, link: Link) -> None:
        """Nothing is known of the peer that would be wrong now."""

    def _tell(self, claim: Claim) -> None:
        envelope = _envelope([claim])
        for link in self._links.open:
            if pb.SIGNED_IN in link.peer.features:
                link.send(envelope)

    def _on_signed_in(self, _: Link, envelope: pb.Envelope) -> None:
        for it in envelope.claims:
            self._claims.hear(Claim(it.uid, it.session, it.stamp))


def _envelope(claims: Iterable[Claim]) -> pb.Envelope:
    return pb.Envelope(
        kind=pb.SIGNED_IN, claims=[pb.Claim(**it._asdict()) for it in claims]
    )
