"""The guard of the cluster port: what a caller's certificate allows it.

gRPC lets in who has a certificate of an authority that we believe.  Which cluster it
is of, and whether it is the master's, is asked here, before a call is served.  What
gRPC turns away by itself it tells on stderr only; :class:`Connections` counts it all
the same: a connection that was begun and on which no call ever came.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn, cast

import grpc
import grpc.aio

from nano.cluster.credentials import Credentials, role_uri
from nano.cluster.members import MASTER
from nano.cluster.strangers import Strangers

__all__ = ["HANDSHAKE_TIME", "Connections", "Guard"]

HANDSHAKE_TIME: Final = 10.0
"""Seconds that a new connection gets until HTTP/2, or TLS before it, has begun."""

PATIENCE: Final = HANDSHAKE_TIME + 5.0
"""Seconds after which a connection without a call is one that was turned away."""

MOST_KNOWN: Final = 10_000  # callers whose first call we remember

MASTER_ONLY: Final = frozenset(
    f"/clusterpb.Member/{name}" for name in ("NewMember", "DelMember")
)

_Context = grpc.aio.ServicerContext[Any, Any]
_Serve = Callable[[Any, _Context], Awaitable[Any]]


class Connections:
    """Tells connections that brought a call from those that came to nothing.

    gRPC says when a connection begins, in a thread of its own, and not whose it is;
    a call says where it comes from.  So they are paired by number: what is begun and
    stays unpaired for :data:`PATIENCE` seconds was turned away.

    Args:
        strangers: Where those are counted.
        time: Gives seconds.
    """

    def __init__(self, strangers: Strangers, time: Callable[[], float]) -> None:
        self._strangers = strangers
        self._time = time
        self._lock = threading.Lock()
        self._begun: Counter[int] = Counter()  # unpaired, by the second they began in
        self._known: dict[str, None] = {}

    def begin(self) -> None:
        """Note that a connection begins; called by gRPC's threads."""
        with self._lock:
            self._begun[int(self._time())] += 1

    def call(self, peer: str) -> None:
        """Note that there is a call from *peer*, an address with its port."""
        if peer in self._known:
            return
        self._known[peer] = None
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]
        with self._lock:
            if self._begun:
                self._take(min(self._begun), 1)

    def tick(self, now: float) -> None:
        """Count those that have had their time."""
        with self._lock:
            late = [second for second in self._begun if second < now - PATIENCE]
            number = sum(self._begun.pop(second) for second in late)
        if number:
            self._strangers.refuse(
                "no-call",
                f"{number} connections to the cluster port came to nothing: they "
                "spoke no TLS, or had no certificate that our authorities have "
                "signed and that is valid now; gRPC has written which to stderr",
                number,
            )

    def _take(self, second: int, number: int) -> None:
        self._begun[second] -= number
        if not self._begun[second]:
            del self._begun[second]


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # no generic, really
    """Lets in the nodes of this cluster, and its master to what is the master's.

    Args:
        credentials: Which cluster this is.
        connections: Is told of calls.
        strangers: Where those who are refused are counted.
    """

    def __init__(
        self, credentials: Credentials, connections: Connections, strangers: Strangers
    ) -> None:
        self._name = credentials.name.encode()
        self._master = role_uri(credentials.cluster, MASTER).encode()
        self._connections = connections
        self._strangers = strangers
        self._guarded: dict[str, grpc.RpcMethodHandler[Any, Any]] = {}

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """Put the question in front of the method that is called."""
        method = handler_call_details.method
        guarded = self._guarded.get(method)
        if guarded is None:
            handler = await continuation(handler_call_details)
            if handler is None:  # there is no such method, and gRPC says so
                return handler
            guarded = self._guarded[method] = self._guard(method, handler)
        return guarded

    def _guard(
        self, method: str, handler: grpc.RpcMethodHandler[Any, Any]
    ) -> grpc.RpcMethodHandler[Any, Any]:
        coders = (handler.request_deserializer, handler.response_serializer)
        # All our services are coroutines, links too; grpc's types know only threads'.
        if handler.stream_stream is not None:
            link = self._asking(method, cast("_Serve", handler.stream_stream))
            return grpc.stream_stream_rpc_method_handler(link, *coders)
        call = self._asking(method, cast("_Serve", handler.unary_unary))
        return grpc.unary_unary_rpc_method_handler(call, *coders)

    def _asking(self, method: str, serve: _Serve) -> Any:
        async def ask_first(request: Any, context: _Context) -> Any:
            self._connections.call(context.peer())
            shown = context.auth_context()
            if self._name not in shown.get("peer_dns", ()):
                await self._refuse(
                    context,
                    "other-cluster",
                    f"the certificate is not for {self._name.decode()}",
                )
            if method in MASTER_ONLY and self._master not in shown.get("peer_uri", ()):
                await self._refuse(
                    context,
                    "not-master",
                    f"{method} is the master's, whose certificate has the URI "
                    f"{self._master.decode()}",
                )
            return await serve(request, context)

        return ask_first

    async def _refuse(self, context: _Context, reason: str, text: str) -> NoReturn:
        self._strangers.refuse(reason, f"a call from {context.peer()} refused: {text}")
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, text)
