"""Calls whose message is none: refused and counted, where gRPC would log a traceback.

The generated code hands a method its message already read, and gRPC logs whatever the
reading raises with a traceback: a stranger could fill the log with them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from nano.cluster.strangers import Strangers

__all__ = ["Readable"]

_UNREADABLE: Final = object()
_Context = grpc.aio.ServicerContext[Any, Any]


class Readable:
    """A gRPC server, to what the generated code does with it.

    Args:
        server: Where the services go.
        strangers: Where unreadable messages are counted.
    """

    def __init__(self, server: grpc.aio.Server, strangers: Strangers) -> None:
        self._server = server
        self._strangers = strangers

    def add_generic_rpc_handlers(self, _: Sequence[object]) -> None:
        """Do nothing: the same methods come by name as well."""

    def add_registered_method_handlers(
        self, service: str, methods: Mapping[str, Any]
    ) -> None:
        """Put the unary *methods* of *service* on the server's port."""
        careful = {
            name: grpc.unary_unary_rpc_method_handler(
                self._refusing(f"{service}.{name}", method.unary_unary),
                request_deserializer=_reading(method.request_deserializer),
                response_serializer=method.response_serializer,
            )
            for name, method in methods.items()
        }
        handler = grpc.method_handlers_generic_handler(service, careful)
        self._server.add_generic_rpc_handlers((handler,))

    def _refusing(
        self, name: str, answer: Callable[[Any, _Context], Awaitable[Any]]
    ) -> Callable[[Any, _Context], Awaitable[Any]]:
        async def refusing(request: Any, context: _Context) -> Any:
            if request is _UNREADABLE:
                text = f"a call of {name} from {context.peer()} refused: no message"
                self._strangers.refuse("unreadable", text)
                said = f"this is no message of {name}"
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, said)
            return await answer(request, context)

        return refusing


def _reading(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def reading(data: bytes) -> Any:
        try:
            return read(data)
        except DecodeError:
            return _UNREADABLE

    return reading
