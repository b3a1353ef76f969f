"""Characters beyond U+FFFF, where nano's browser client writes and reads them wrongly.

That client takes the UTF-16 units of JavaScript for characters.  It writes each half
of a surrogate pair as three bytes of its own (CESU-8), which is no UTF-8; and it
reads the four bytes of true UTF-8 as one wrong character.  So four bytes leave as a
JSON escape, and six that come are put together.

Both functions change nothing in JSON that has no such character, and never what it
means.  ``js_client`` in ``tests/vectors/nano.json`` was recorded from that client.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

__all__ = ["escape_astral", "join_surrogates"]

# One pattern for all planes would do, but not be searched for with memchr.
_PLANES_1_TO_3: Final = re.compile(rb"\xf0[\x90-\xbf][\x80-\xbf]{2}")
_PLANES_4_TO_16: Final = re.compile(
    rb"(?:[\xf1-\xf3][\x80-\xbf]|\xf4[\x80-\x8f])[\x80-\xbf]{2}"
)
_PAIR: Final = re.compile(rb"\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf]")


def escape_astral(data: bytes) -> bytes:
    r"""Return JSON *data* with characters of four bytes as ``\ud83d\ude00``.

    They occur in JSON within strings alone, where an escape means the same.
    """
    if 0xF0 in data:
        data = _PLANES_1_TO_3.sub(_escaped, data)
    if 0xF3 in data or 0xF4 in data or 0xF1 in data or 0xF2 in data:
        data = _PLANES_4_TO_16.sub(_escaped, data)
    return data


def _escaped(match: re.Match[bytes]) -> bytes:
    return _escape(match[0])


@lru_cache(maxsize=4096)
def _escape(character: bytes) -> bytes:
    units = character.decode().encode("utf-16-be").hex()
    return f"\\u{units[:4]}\\u{units[4:]}".encode()


def join_surrogates(data: bytes) -> bytes:
    """Return *data* with each surrogate pair of CESU-8 as one character of UTF-8.

    A half without the other stays as it is, and no decoder accepts it.  UTF-8 has
    none of the bytes that are replaced.
    """
    return _PAIR.sub(_joined, data)


def _joined(match: re.Match[bytes]) -> bytes:
    pair = match[0].decode("utf-8", "surrogatepass")
    return pair.encode("utf-16", "surrogatepass").decode("utf-16").encode()
