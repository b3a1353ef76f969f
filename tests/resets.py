"""Ends of connections as crashes make them."""

from __future__ import annotations

import socket
import struct
from typing import Final

__all__ = ["reset_at_close"]

AT_ONCE: Final = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no second


def reset_at_close(sock: socket.socket) -> None:
    """Have the end of *sock* be a reset (RST) instead of the end of its stream."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
