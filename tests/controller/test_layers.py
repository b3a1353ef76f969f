"""Which parts of the operator may know of Kubernetes' libraries: three modules."""

from __future__ import annotations

import subprocess
import sys

import pytest

PURE = "nano_operator.plan, nano_operator.resources, nano_operator.conditions"
SHELL = "nano_operator.controller, nano_operator.reconcile, nano_operator.crd"


@pytest.mark.parametrize("modules", [PURE, SHELL])
def test_deciding_and_looping_need_no_kubernetes_library(modules: str) -> None:
    libraries = "{'kopf', 'kubernetes', 'aiohttp'}"
    program = f"import sys, {modules}; print({libraries} & sys.modules.keys())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "set()"


def test_kopf_is_known_to_one_module() -> None:
    program = "import sys, nano_operator.kube; print('kopf' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == "False"
