"""Routes as two-byte codes, agreed upon in the handshake.

A listener may give its busiest routes codes (pomelo's route compression); both
directions then carry the code in place of the name, and names stay valid.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

__all__ = ["EMPTY", "RouteDictionary"]


class RouteDictionary:
    """An immutable two-way table of routes and codes.

    Args:
        codes: Route to code, 0 to 65535.

    Raises:
        ValueError: A code is out of range or stands for two routes.  nano only
            logs it, and then decodes to whichever came last.
    """

    __slots__ = ("_codes", "_routes")

    def __init__(self, codes: Mapping[str, int] | None = None) -> None:
        self._codes: dict[str, int] = {}
        self._routes: dict[int, str] = {}
        for name, code in (codes or {}).items():
            route = name.strip()
            if not 0 <= code <= 0xFFFF:
                message = f"route {route!r} has code {code}; codes are 0 to 65535"
                raise ValueError(message)
            if code in self._routes:
                message = (
                    f"routes {self._routes[code]!r} and {route!r} share code {code}"
                )
                raise ValueError(message)
            self._codes[route] = code
            self._routes[code] = route

    def code(self, route: str) -> int | None:
        """Return the code of *route*, or ``None`` if it goes by its name."""
        return self._codes.get(route)

    def route(self, code: int) -> str | None:
        """Return the route behind *code*, or ``None`` if nobody was given it."""
        return self._routes.get(code)

    def __iter__(self) -> Iterator[tuple[str, int]]:
        return iter(self._codes.items())

    def __len__(self) -> int:
        return len(self._codes)


EMPTY: Final = RouteDictionary()
