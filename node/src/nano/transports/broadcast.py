"""One push to many clients.

The push is put into bytes once for each listener, and every client of that listener
gets the same object, in front of which nothing is computed any more.  It leaves
with whatever else the client is sent in this turn of the loop, so several publishes
of one turn cost each client one write.  The node hands this function to its groups.
"""

from __future__ import annotations

from collections.abc import Sequence

from nano.errors import EncodeError
from nano.metrics import Metrics
from nano.runtime.session import Delivery, Session
from nano.transports.connection import ClientTransport
from nano.transports.context import Doorway
from nano.transports.resuming import Absent

__all__ = ["broadcast"]


def broadcast(
    metrics: Metrics,
    sessions: Sequence[Session],
    route: str,
    payload: bytes,
    delivery: Delivery = "must",
) -> int:
    """Push *payload* to each of *sessions*; return how many took it.

    Whoever has gone is passed over and counted where it is noticed, and a client that
    reads too slowly is closed with its next write, as by any other push.  A message
    that does not fit a client's packets is dropped for it, and counted.
    """
    prepared: dict[Doorway, bytes] = {}  # empty: by a pipeline, for each client alone
    door: Doorway | None = None  # the last one's, and what is prepared for it
    packet = b""
    delivered = 0
    must = delivery == "must"
    for session in sessions:
        home = session.home
        try:
            if isinstance(home, ClientTransport):
                if home.door is not door:
                    ready = prepared.get(home.door)
                    if ready is None:
                        ready = home.prepare(route, payload) if home.alike else b""
                        prepared[home.door] = ready
                    door, packet = home.door, ready
                if not packet:
                    delivered += home.deliver(route, payload, delivery)
                elif must:
                    delivered += home.forward(packet)
                else:
                    delivered += home.offer(route, packet, delivery)
            elif isinstance(home, Absent):
                delivered += home.deliver(route, payload, delivery)
        except EncodeError:
            metrics.dropped["push", "does-not-fit"] += 1
    if delivered:
        metrics.pushed(route, len(payload), delivered)
    return delivered
