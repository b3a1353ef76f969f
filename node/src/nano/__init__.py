"""A realtime message cluster in Python.

What an application needs is here; :mod:`nano.client` and :mod:`nano.testing` are
imported by name.
"""

from __future__ import annotations

from nano.errors import HandshakeRefused, NanoError, RequestError
from nano.protocol.messages import Message
from nano.runtime.answers import Deferred
from nano.runtime.component import Component, handler
from nano.runtime.greeting import Handshake
from nano.runtime.group import Group
from nano.runtime.info import NodeInfo
from nano.runtime.pipeline import Pipeline
from nano.runtime.routing import Router
from nano.runtime.session import Delivery, Session
from nano.runtime.strategies import Candidate
from nano.runtime.target import Replies
from nano.runtime.timers import Timer
from nano.runtime.users import GateAddress, Online, Reached, SessionCounts
from nano.version import __version__

__all__ = [
    "Candidate",
    "Component",
    "Deferred",
    "Delivery",
    "GateAddress",
    "Group",
    "Handshake",
    "HandshakeRefused",
    "Message",
    "NanoError",
    "NodeInfo",
    "Online",
    "Pipeline",
    "Reached",
    "Replies",
    "RequestError",
    "Router",
    "Session",
    "SessionCounts",
    "Timer",
    "__version__",
    "handler",
]
