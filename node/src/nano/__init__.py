"""A realtime message cluster in Python."""

from __future__ import annotations

from nano.version import __version__

__all__ = ["__version__"]
