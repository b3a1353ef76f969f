"""What a node answers to nano's calls: gRPC on one side, values on the other.

Thin on purpose: each method translates a message, hands it to who knows, and turns
the outcome into an answer or into nano's status (UNKNOWN with the error's text).
Nothing is decided here; :mod:`nano.cluster.server` puts these on its port.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, NoReturn, Protocol

import grpc
import grpc.aio

from nano.cluster.members import Member, from_info, to_info
from nano.cluster.membership import (
    DelMember,
    Heartbeat,
    Listing,
    NewMember,
    Refused,
    Registering,
    RegistrarEvent,
    Unregistering,
)
from nano.cluster.pb import cluster_pb2 as pb
from nano.cluster.pb import cluster_pb2_grpc as rpc
from nano.cluster.strangers import Strangers
from nano.errors import ClusterError

__all__ = ["Answer", "MasterService", "MemberCalls", "MemberService"]

_log: Final = logging.getLogger("nano.cluster")

LARGEST_MEMBER: Final = 256 * 1024
"""Bytes that a node may say about itself; a thousand services take a tenth of it."""

Answer = Listing | Refused | None
"""What the registrar says to a caller; None: done, nothing to say."""

_Context = grpc.aio.ServicerContext[object, object]


class MemberCalls(Protocol):
    """What Go nodes ask of this one; a ``ClusterError`` is told them by its text.

    Each call returns when the message is taken over, not when it is handled: that
    is what nano's answer means.  A Go gate waits for it before it reads on.
    """

    async def handle_request(self, message: pb.RequestMessage, sender: str) -> None:
        """A Go gate forwards a request; the answer goes to the gate named in it.

        *sender* is the far end of the connection, in gRPC's words.
        """

    async def handle_notify(self, message: pb.NotifyMessage) -> None:
        """A Go gate forwards a notify, or a Go node does ``session.RPC``."""

    async def handle_push(self, message: pb.PushMessage) -> None:
        """A Go backend pushes to a client that is connected here."""

    async def handle_response(self, message: pb.ResponseMessage) -> None:
        """A Go backend answers a client that is connected here."""

    async def session_closed(self, session_id: int, sender: str) -> None:
        """A client of some Go gate is gone; it may never have been seen here.

        *sender* is the far end of the connection, in gRPC's words.
        """

    async def close_session(self, session_id: int) -> None:
        """A Go backend closes a client that is connected here; or was."""


class MasterService(rpc.MasterServicer):
    """The master's three calls.

    Args:
        ask: Feeds an event to the registrar and gives its answer back.
        strangers: Where those are counted who say too much about themselves.
    """

    def __init__(
        self, ask: Callable[[RegistrarEvent], Answer], strangers: Strangers
    ) -> None:
        self._ask = ask
        self._strangers = strangers

    async def Register(
        self, request: pb.RegisterRequest, context: _Context
    ) -> pb.RegisterResponse:
        """A node wants to be a member; it is told of the others."""
        await self._check_size(request.memberInfo, context)
        member = from_info(request.memberInfo)
        listing = await self._listing(Registering(member), context)
        return pb.RegisterResponse(
            # As with nano, the list leaves out who asks: a Go node would take
            # itself for another one.
            members=_infos(m for m in listing.members if m.address != member.address),
            epoch=listing.epoch,
            listVersion=listing.version,
        )

    async def Unregister(
        self, request: pb.UnregisterRequest, context: _Context
    ) -> pb.UnregisterResponse:
        """A member leaves."""
        answer = self._ask(Unregistering(request.serviceAddr, request.incarnation))
        if isinstance(answer, Refused):
            await _refuse(context, answer.reason)
        return pb.UnregisterResponse()

    async def Heartbeat(
        self, request: pb.HeartbeatRequest, context: _Context
    ) -> pb.HeartbeatResponse:
        """A member lives, and gets the list when it holds another one."""
        await self._check_size(request.memberInfo, context)
        member = from_info(request.memberInfo)
        event = Heartbeat(member, request.epoch, request.listVersion)
        listing = await self._listing(event, context)
        return pb.HeartbeatResponse(
            epoch=listing.epoch,
            listVersion=listing.version,
            # A Go node could not read the list, so it is not sent there.
            members=_infos(listing.members if member.incarnation else ()),
        )

    async def _check_size(self, info: pb.MemberInfo, context: _Context) -> None:
        """Refuse what would be kept and told to every member, and is too long."""
        size = info.ByteSize()
        if size > LARGEST_MEMBER:
            reason = f"a member of {size} bytes is too large: {LARGEST_MEMBER} at most"
            text = f"a call from {context.peer()} refused: {reason}"
            self._strangers.refuse("member-too-large", text)
            await _refuse(context, reason)

    async def _listing(self, event: RegistrarEvent, context: _Context) -> Listing:
        answer = self._ask(event)
        if isinstance(answer, Listing):
            return answer
        return await _refuse(context, answer.reason if answer else "no list")


class MemberService(rpc.MemberServicer):
    """The calls that every node answers.

    Args:
        calls: Who takes the messages of Go nodes.
        hear: Takes the master's announcements.
    """

    def __init__(
        self, calls: MemberCalls, hear: Callable[[NewMember | DelMember], None]
    ) -> None:
        self._calls = calls
        self._hear = hear

    async def NewMember(
        self, request: pb.NewMemberRequest, context: _Context
    ) -> pb.NewMemberResponse:
        """The master says that there is somebody new, or changed."""
        member = from_info(request.memberInfo)
        if not member.address:
            await _refuse(context, "a member needs an address")
        self._hear(NewMember(member, request.epoch, request.listVersion))
        return pb.NewMemberResponse()

    async def DelMember(
        self, request: pb.DelMemberRequest, context: _Context
    ) -> pb.DelMemberResponse:
        """The master says that somebody is gone."""
        event = DelMember(request.serviceAddr, request.epoch, request.listVersion)
        self._hear(event)
        return pb.DelMemberResponse()

    async def HandleRequest(
        self, request: pb.RequestMessage, context: _Context
    ) -> pb.MemberHandleResponse:
        """See :class:`MemberCalls`."""
        await _take(self._calls.handle_request(request, context.peer()), context)
        return pb.MemberHandleResponse()

    async def HandleNotify(
        self, request: pb.NotifyMessage, context: _Context
    ) -> pb.MemberHandleResponse:
        """See :class:`MemberCalls`."""
        await _take(self._calls.handle_notify(request), context)
        return pb.MemberHandleResponse()

    async def HandlePush(
        self, request: pb.PushMessage, context: _Context
    ) -> pb.MemberHandleResponse:
        """See :class:`MemberCalls`."""
        await _take(self._calls.handle_push(request), context)
        return pb.MemberHandleResponse()

    async def HandleResponse(
        self, request: pb.ResponseMessage, context: _Context
    ) -> pb.MemberHandleResponse:
        """See :class:`MemberCalls`."""
        await _take(self._calls.handle_response(request), context)
        return pb.MemberHandleResponse()

    async def SessionClosed(
        self, request: pb.SessionClosedRequest, context: _Context
    ) -> pb.SessionClosedResponse:
        """See :class:`MemberCalls`."""
        await _take(
            self._calls.session_closed(request.sessionId, context.peer()), context
        )
        return pb.SessionClosedResponse()

    async def CloseSession(
        self, request: pb.CloseSessionRequest, context: _Context
    ) -> pb.CloseSessionResponse:
        """See :class:`MemberCalls`."""
        await _take(self._calls.close_session(request.sessionId), context)
        return pb.CloseSessionResponse()


def _infos(members: Iterable[Member]) -> list[pb.MemberInfo]:
    return [to_info(member) for member in members]


async def _take(work: Awaitable[None], context: _Context) -> None:
    try:
        await work
    except ClusterError as error:
        await _refuse(context, str(error))
    except Exception:
        _log.exception("a call from %s failed", context.peer())
        await context.abort(grpc.StatusCode.INTERNAL, "internal error, see the log")


async def _refuse(context: _Context, reason: str) -> NoReturn:
    """Fail the call as nano does: UNKNOWN, and the error's text."""
    await context.abort(grpc.StatusCode.UNKNOWN, reason)
