"""One setting of the C library's allocator, for gates that speak TLS.

uvloop asks for 256 KiB at every read of TLS and gives it back at once.  As it stands,
glibc takes each of these from the kernel and returns it, and every read pays for
touching fresh pages: two and a half times the cost of a small message.  With higher
thresholds the memory stays with the process.  Other C libraries know no such setting
and do not need it.
"""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["keep_memory"]

# mallopt(3): what is returned to the kernel, what is asked for at once, and from which
# size on a piece is taken from the kernel by itself
M_TRIM_THRESHOLD: Final = -1
M_TOP_PAD: Final = -2
M_MMAP_THRESHOLD: Final = -3
SETTINGS: Final = {
    M_TRIM_THRESHOLD: 128 << 20,
    M_TOP_PAD: 2 << 20,
    M_MMAP_THRESHOLD: 4 << 20,
}


def keep_memory() -> bool:
    """Have the allocator keep what it will need again; false where it cannot."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return all(mallopt(setting, value) == 1 for setting, value in SETTINGS.items())
