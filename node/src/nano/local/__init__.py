"""A manifest as processes of this machine: what ``nanoctl up`` does.

:mod:`~nano.local.plan` says which processes, :mod:`~nano.local.life` what becomes
of one; both are pure.  :mod:`~nano.local.supervisor` and :mod:`~nano.local.child`
are the asyncio shell around them.
"""

from __future__ import annotations

from nano.local.crew import StartError
from nano.local.plan import ProcessSpec, Surroundings, plan
from nano.local.supervisor import Run, up

__all__ = ["ProcessSpec", "Run", "StartError", "Surroundings", "plan", "up"]
