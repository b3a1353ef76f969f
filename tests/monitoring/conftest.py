"""The generators of dashboards and alerts are beside the chart, in no package."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2]))
