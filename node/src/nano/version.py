"""What runs: the version, in the one place that everything reads it from."""

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec

__all__ = ["__version__", "compiled"]

__version__ = "0.1.0"


def compiled() -> bool:
    """Whether what every message passes through is compiled; ``node/compile.py``."""
    found = find_spec("nano.protocol.messages")
    return str(found and found.origin).endswith(tuple(EXTENSION_SUFFIXES))
