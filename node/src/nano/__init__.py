"""A realtime message cluster in Python.

What an application needs is here; :mod:`nano.client` and :mod:`nano.testing` are
imported by name.
"""

from __future__ import annotations

from nano.errors import NanoError, RequestError
from nano.protocol.messages import Message
from nano.runtime.answers import Deferred
from nano.runtime.component import Component, NodeInfo, handler
from nano.runtime.group import Group
from nano.runtime.session import Session
from nano.version import __version__

__all__ = [
    "Component",
    "Deferred",
    "Group",
    "Message",
    "NanoError",
    "NodeInfo",
    "RequestError",
    "Session",
    "__version__",
    "handler",
]
