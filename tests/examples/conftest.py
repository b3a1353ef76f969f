"""The examples are no package that is installed; their pure parts are imported here."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

sys.path.append(str(ROOT))  # for `examples.chat.chat`, as mypy knows it
