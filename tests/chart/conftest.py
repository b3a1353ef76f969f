"""Helm, for the tests that render the chart; no cluster is needed here."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from .rendered import Chart

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Helm:
    """The helm program, and the chart that it is asked about."""

    program: str
    chart: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run it to its end, whatever that is."""
        return subprocess.run(
            [self.program, *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def template(self, *arguments: str) -> Chart:
        """Render the chart as release ``arena`` in the namespace ``system``."""
        done = self.run("template", "arena", str(self.chart), *RELEASE, *arguments)
        assert done.returncode == 0, done.stderr
        return Chart([each for each in yaml.safe_load_all(done.stdout) if each])

    def refusal(self, *arguments: str) -> str:
        """Return why helm does not render the chart."""
        done = self.run("template", "arena", str(self.chart), *RELEASE, *arguments)
        assert done.returncode != 0, f"rendered with {arguments}"
        return done.stderr


# a helm that was built by hand takes the cluster for an age-old one
RELEASE = ("--namespace=system", "--kube-version=1.34.0", "--skip-tests")


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Helm, or a skip that says how to get it."""
    program = shutil.which("helm")
    if program is None:
        pytest.skip("there is no helm: make tools installs it")
    return Helm(program, ROOT / "charts" / "nanocluster")


@pytest.fixture(scope="session")
def default(helm: Helm) -> Chart:
    """The chart as it is without any values."""
    return helm.template()
