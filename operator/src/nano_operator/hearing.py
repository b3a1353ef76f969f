"""Whether the watch still tells what happens.

A watch can fall silent without ending, and a quiet cluster looks the same.  So what a
listing shows is compared with what the watch told: a version that was listed and is
not told of within two minutes says that nobody will.  Pure: every method is told the
time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, TypeVar

__all__ = ["Hearing"]

K = TypeVar("K")


class Hearing(Generic[K]):
    """What was told and what was listed of each object."""

    def __init__(self) -> None:
        self._heard: dict[K, str] = {}
        self._missed: dict[K, float] = {}

    def heard(self, key: K, version: str) -> None:
        """Note that the watch told of *key*."""
        self._heard[key] = version
        self._missed.pop(key, None)

    def listed(self, versions: Mapping[K, str], now: float) -> None:
        """Note a listing of everything: the version of each object."""
        for key, version in versions.items():
            if self._heard.get(key) == version:
                self._missed.pop(key, None)
            else:
                self._missed.setdefault(key, now)
        for gone in (self._heard.keys() | self._missed.keys()) - versions.keys():
            self._heard.pop(gone, None)
            self._missed.pop(gone, None)

    def age(self, now: float) -> float:
        """Return for how long something has been there that the watch did not tell."""
        return max((now - since for since in self._missed.values()), default=0.0)
