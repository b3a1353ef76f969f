"""What every test shares: in CI nothing is skipped, and each tier tells its time."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Generator, Mapping

import pytest
from hypothesis import settings

# No deadlines: the machine may be busy.  CI tries the same examples each time, so
# that a change is judged by what it did; everybody else tries new ones.
# tests/endurance/test_coverage.py asks for fewer.
settings.register_profile(
    "nano",
    deadline=None,
    derandomize=bool(os.environ.get("NANO_REQUIRE_ALL")),
    max_examples=int(os.environ.get("NANO_EXAMPLES", "100")),
)
settings.load_profile("nano")

# by the first marker that a test has; one without any is core
TIERS = {
    "e2e": "4 pods",
    "apiserver": "3 API server",
    "peers": "2 process, with Go nodes",
    "process": "2 process",
    "slow": "2 process",
}


@pytest.fixture(scope="session", autouse=True)
def _traces_stay_in_the_tests_folder(
    tmp_path_factory: pytest.TempPathFactory,
) -> Generator[None]:
    """Give ``nanoctl up`` a place for its state that is not the developer's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


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
        report.longrepr = (
            f"{item.nodeid}: skipped, but everything is required: {reason}"
        )
    return report


def tier(keywords: Mapping[str, object]) -> str:
    """Name the tier of a test by its markers."""
    found = [name for marker, name in TIERS.items() if marker in keywords]
    return found[0] if found else "1 core"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell how long each tier took, with the fixtures that it needed."""
    reports = [
        report
        for group in terminalreporter.stats.values()
        for report in group
        if isinstance(report, pytest.TestReport)
    ]
    seconds: defaultdict[str, float] = defaultdict(float)
    tests: defaultdict[str, int] = defaultdict(int)
    for report in reports:
        name = tier(report.keywords)
        seconds[name] += report.duration
        tests[name] += report.when == "call"
    terminalreporter.section("seconds by tier")
    for name in sorted(seconds):
        line = f"{seconds[name]:7.1f}  {name} ({tests[name]} tests)"
        terminalreporter.write_line(line)
