"""Which kinds of backends a node has met none of yet.

A node learns from links alone which routes there are.  So, until it has had one with
each kind that the manifest names, it cannot tell a route that nobody serves from one
that it has not heard of: it has just started, the master has not listed everybody yet,
or the first backend of that kind is not up.  Such a message is answered 503, for it may
be served a moment later, and only then 404.
"""

from __future__ import annotations

from nano.cluster.link import Link
from nano.cluster.links import Links

__all__ = ["Unmet"]


class Unmet:
    """Crosses out the kinds that are met.

    Args:
        kinds: The kinds that are not met yet; the dispatcher's own set.
        links: The links of this node.
    """

    def __init__(self, kinds: set[str], links: Links) -> None:
        self._kinds = kinds
        links.observe(self)

    def link_up(self, link: Link) -> None:
        """Know the peer's kind from now on, and so what it serves."""
        self._kinds.discard(link.peer.backend)

    def link_down(self, link: Link) -> None:
        """Go on knowing it."""
