"""What every test shares: the rule that in CI nothing is skipped."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skip into a failure when ``NANO_REQUIRE_ALL`` is set.

    A test skips where the machine lacks something and says how to get it.  On a
    machine that has been given everything, a skip means that nothing was tested.
    """
    report = yield
    if report.skipped and os.environ.get("NANO_REQUIRE_ALL"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: skipped, but everything is required: {reason}"
    return report
