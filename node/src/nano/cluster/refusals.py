"""What Go nodes are told whose messages a master does not take.

It runs no components and has no clients.  nano's calls are answered with nano's own
status texts, so that a Go node logs why and goes on.
"""

from __future__ import annotations

from nano.cluster.pb import cluster_pb2 as pb
from nano.errors import ClusterError

__all__ = ["NoMessages"]


class NoMessages:
    """A :class:`~nano.cluster.services.MemberCalls` that takes no message."""

    async def handle_request(self, message: pb.RequestMessage, sender: str) -> None:
        """Refuse: nano's word for a route that is not served."""
        raise ClusterError(f"service not found in current node: {message.route}")

    async def handle_notify(self, message: pb.NotifyMessage) -> None:
        """Refuse: nano's word for a route that is not served."""
        raise ClusterError(f"service not found in current node: {message.route}")

    async def handle_push(self, message: pb.PushMessage) -> None:
        """Refuse: no Go backend has ever been given a session of ours."""
        raise ClusterError(f"session not found: {message.sessionId}")

    async def handle_response(self, message: pb.ResponseMessage) -> None:
        """Refuse: no Go backend has ever been sent a request of ours."""
        raise ClusterError(f"session not found: {message.sessionId}")

    async def session_closed(self, session_id: int, sender: str) -> None:
        """Take note: nano tells every member, whether it knows the session or not."""

    async def close_session(self, session_id: int) -> None:
        """Take note: nothing is known by that id."""
