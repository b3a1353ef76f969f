"""Clients that come by WebSocket.

The upgrade is negotiated by the ``websockets`` library, one object a connection
that is dropped afterwards; frames are read and written by
:mod:`nano.transports.frames`.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from struct import Struct
from typing import Final

from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

from nano.protocol.messages import ANSWER, DATA_3, encode_response
from nano.transports.arrival import REFUSALS
from nano.transports.connection import BROKE_OFF, ClientTransport
from nano.transports.context import Doorway
from nano.transports.frames import (
    GOING_AWAY,
    MESSAGE_TOO_BIG,
    NORMAL,
    POLICY_VIOLATION,
    PROTOCOL_ERROR,
    TRY_AGAIN_LATER,
    WHOLE,
    FrameReader,
    close_frame,
    data_frame,
    pong_frame,
)

__all__ = ["WebSocketTransport"]

logger = logging.getLogger(__name__)
# the library reports every connection; ours says what matters
_quiet: Final = logging.getLogger("nano.transports.upgrade")
_quiet.setLevel(logging.ERROR)

LARGEST_UPGRADE: Final = 16 * 1024  # request line and headers, in bytes
FRAME_ROOM: Final = 1024  # a frame may hold a packet of the limit, and a little more
END_OF_HEADERS: Final = b"\r\n\r\n"
NOT_HTTP: Final = (
    b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n\r\n"
    b"This port speaks WebSocket; what came is no request, or one of over 16 KiB.\n"
)
TOO_MANY: Final = (
    "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\n"
    "Content-Type: text/plain; charset=utf-8\r\n\r\n%s\n"
)

SHORT_ANSWER: Final = 125 - 7  # bytes of a payload whose frame has a short length
FRAMED: Final = Struct(">BBIBBB")  # heads of frame, packet and response, with its id

GOODBYES: Final = (NORMAL, GOING_AWAY)  # what a client closes with that means to go

CLOSE_CODES: Final = {
    "protocol-error": PROTOCOL_ERROR,
    "packet-too-large": MESSAGE_TOO_BIG,
    "heartbeat-timeout": POLICY_VIOLATION,
    "handshake-timeout": POLICY_VIOLATION,
    "server-stopping": GOING_AWAY,
    "too-many-handshakes": TRY_AGAIN_LATER,
    "too-many-messages": POLICY_VIOLATION,
    "refused": POLICY_VIOLATION,
}


class WebSocketTransport(ClientTransport):
    """Packets lie in binary frames; each of ours in one of its own."""

    __slots__ = ("_frames", "_upgrade")

    def __init__(self, door: Doorway) -> None:
        super().__init__(door)
        self._upgrade: bytearray | None = bytearray()  # None once upgraded
        self._frames = FrameReader(door.front.limits.stranger + FRAME_ROOM)

    @property
    def ready(self) -> bool:
        """The upgrade is done."""
        return self._upgrade is None

    def _widen(self, limit: int) -> None:
        super()._widen(limit)
        self._frames.limit = limit + FRAME_ROOM

    def _take(self, data: bytes) -> None:
        if self._upgrade is not None:
            data = self._negotiate(self._upgrade, data)
            if not data:
                return
        payload = self._frames.plain(data)
        if payload is not None:
            self.feed(payload)
            return
        limit = self._frames.limit
        frames = self._frames.receive(data)
        if frames.pings:
            self._write_now(b"".join(map(pong_frame, frames.pings)))
        if frames.data:
            self.feed(frames.data)
        elif self.session is None:
            self._note_noise(len(data))
        if frames.close is not None:
            code = frames.close if frames.close != 1005 else NORMAL
            why = "client-closed" if code in GOODBYES else BROKE_OFF
            self._close(why, close_frame(code))
        elif frames.error is not None:
            error = frames.error
            if error.code == MESSAGE_TOO_BIG and self._frames.limit > limit:
                self._take(b"")  # it was greeted by what lay in front of the frame
                return
            logger.info("%s broke WebSocket: %s", self.peer, error)
            self._close("protocol-error", close_frame(error.code, error.reason))

    def _negotiate(self, pending: bytearray, data: bytes) -> bytes:
        """Answer the upgrade; return what followed it in the same read."""
        seen = max(0, len(pending) - len(END_OF_HEADERS) + 1)
        pending += data
        end = pending.find(END_OF_HEADERS, seen)
        if end < 0 and len(pending) <= LARGEST_UPGRADE:
            return b""
        cut = len(pending) if end < 0 else end + len(END_OF_HEADERS)
        server = ServerProtocol(logger=_quiet)
        server.receive_data(bytes(pending[:cut]))
        for event in server.events_received():
            if isinstance(event, Request):
                refusal = self._whose(event)
                if refusal:
                    self._refuse(refusal, REFUSALS[refusal])
                    return b""
                server.send_response(self._judge(server, event))
        answer = b"".join(server.data_to_send()) or NOT_HTTP
        if server.state.name != "OPEN":
            self.door.counts.handshakes["no-upgrade"] += 1
            self._upgrade = bytearray()
            self._close("no-upgrade", answer)
            return b""
        self._write_now(answer)
        self._upgrade = None
        return bytes(pending[cut:])

    def _whose(self, request: Request) -> str:
        """Learn for whom a proxy asks; return why that client may not come, if so."""
        proxies = self.door.terms.proxies
        if not proxies or self._host != "":
            return ""  # nobody whom we would believe
        client = proxies.client(request.headers.get_all("X-Forwarded-For"))
        return self._identify(client) if client is not None else ""

    def _judge(self, server: ServerProtocol, request: Request) -> Response:
        """Return the answer to a request to upgrade."""
        terms = self.door.terms
        if terms.path and request.path.partition("?")[0] != terms.path:
            text = f"This server's WebSocket is at {terms.path}; connect there.\n"
            return server.reject(HTTPStatus.NOT_FOUND, text)
        for origin in request.headers.get_all("Origin") if terms.origins else ():
            if origin.lower() not in terms.origins:
                text = (
                    "Pages of this origin may not connect; whoever runs the server "
                    "lists those that may as origins of the listener.\n"
                )
                return server.reject(HTTPStatus.FORBIDDEN, text)
        return server.accept(request)

    def _write_now(self, data: bytes) -> None:
        transport = self._transport
        if transport is None or self._closing:
            return
        if not self._congested or self._has_room(transport):
            transport.write(data)

    def _close(self, reason: str, last: bytes) -> None:
        """End the connection with *last*, without a kick: it would not be read."""
        if self._out and self.ready:
            self.flush()
        if self._transport is None or self._closing:
            return
        self._leave(self._transport, reason, last)

    def _refuse(self, reason: str, text: str) -> None:
        self._close(reason, (TOO_MANY % text).encode())

    @staticmethod
    def _answer(number: int, payload: bytes) -> bytes:
        size = len(payload)
        if 0x80 <= number < 0x4000 and size <= SHORT_ANSWER:  # the same in one step
            low = number & 0x7F | 0x80
            head = FRAMED.pack(WHOLE, size + 7, DATA_3 + size, ANSWER, low, number >> 7)
            return head + payload
        return data_frame(encode_response(number, payload))

    def _frame(self, packet: bytes) -> bytes:
        return data_frame(packet)

    def _farewell(self, reason: str, text: str) -> bytes:
        if not self.ready:
            return b""
        code = CLOSE_CODES.get(reason, NORMAL)
        return b"".join(self._out) + close_frame(code, text)
