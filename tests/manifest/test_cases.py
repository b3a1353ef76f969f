from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from nano_manifest import API_VERSION, KIND, ManifestError, from_object

CASES = yaml.safe_load((Path(__file__).parent / "cases.yaml").read_text())
SMALLEST = {
    "apiVersion": API_VERSION,
    "kind": KIND,
    "metadata": {"name": "echo"},
    "spec": {},
}

every_rule = pytest.mark.parametrize("case", CASES, ids=[c["rule"] for c in CASES])


@every_rule
def test_a_manifest_that_keeps_the_rule_is_accepted(case: dict[str, object]) -> None:
    good = case["good"]
    assert isinstance(good, dict)
    from_object(SMALLEST | good)


@every_rule
def test_a_manifest_that_breaks_the_rule_is_refused_in_plain_words(
    case: dict[str, object],
) -> None:
    bad = case["bad"]
    assert isinstance(bad, dict)
    with pytest.raises(ManifestError) as caught:
        from_object(SMALLEST | bad)
    assert str(caught.value) == case["says"]
