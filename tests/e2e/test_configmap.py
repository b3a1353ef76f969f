"""A first backend without an image, as docs/operations.md has it, on pods.

This module comes before ``test_echo``, whose story ends with everything gone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

import pytest

from .cluster import ROOT, Cluster, until
from .conftest import NODE

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SPACE: Final = "first"
IN: Final = ("--namespace", SPACE)
PAGE: Final = ROOT / "docs" / "operations.md"
READY: Final = ("wait", "--for=condition=Ready", "nanocluster/first", "--timeout=120s")


def documented() -> str:
    """Return what the page tells to apply."""
    _, _, section = PAGE.read_text().partition("## A first backend without an image")
    block = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
    assert block is not None
    return block[1]


@pytest.fixture
def first(operator: Cluster) -> Iterator[Cluster]:
    """The page's cluster, Ready on the plain image of nodes."""
    operator.load([NODE])
    with operator.space(SPACE):
        operator.kubectl(*IN, "apply", "--filename=-", stdin=documented())
        operator.kubectl(*IN, *READY, seconds=130)
        yield operator


def joined(cluster: Cluster) -> object:
    """Ask the backend, from a pod of the cluster; return what it answers."""
    ask = ("nanoctl", "request", "--server=ws://first-gate:3250/", "RoomService.join")
    pod = ("exec", "deployment/first-gate", "--")
    return json.loads(cluster.kubectl(*IN, *pod, *ask, '{"name": "Ann"}'))


def test_components_come_from_a_config_map_and_follow_it(first: Cluster) -> None:
    assert joined(first) == {"welcome": "Ann"}
    rooms = "nanocluster.io/cluster=first,nanocluster.io/backend=room"
    others = "nanocluster.io/cluster=first,nanocluster.io/backend!=room"
    before, kept = first.pods(rooms, *IN), first.pods(others, *IN)
    changed = documented().replace('"welcome"', '"greetings"')
    first.kubectl(*IN, "apply", "--filename=-", stdin=changed)
    until(lambda: not before & first.pods(rooms, *IN), "the old backend gone", 120)
    first.kubectl(*IN, *READY, seconds=130)
    assert joined(first) == {"greetings": "Ann"}
    assert first.pods(others, *IN) == kept
    assert first.denials(SPACE) == []
