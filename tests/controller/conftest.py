"""The API server that the operator's tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .apiserver import ApiServer, missing


@pytest.fixture(scope="session")
def apiserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A running API server, alone for this test session."""
    lacking = missing()
    if lacking:
        pytest.skip(lacking)
    binaries = Path(os.environ["KUBEBUILDER_ASSETS"])
    server = ApiServer(binaries, tmp_path_factory.mktemp("apiserver"))
    try:
        server.start()
        yield server
    finally:
        server.stop()
