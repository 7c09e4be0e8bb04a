"""What a CI job holds against a scan."""

import pytest

from audit.scanning.rules.findings import Finding, Totals
from audit.scanning.scan_conditions import Breaches

SURE, DOUBTFUL = (Finding(1, 1, "x", "info block", is_sure, "") for is_sure in (True, False))


@pytest.mark.parametrize(
    ("conditions", "allow", "told"),
    [
        (set(), set(), []),
        ({"hmp"}, set(), ["the sources use HMP (2 findings)"]),
        ({"sure"}, set(), ["the sources use HMP for sure (1 finding)"]),
        ({"incomplete"}, set(), ["the scan is not complete: 1 file too big"]),
        ({"hmp", "sure"}, {"info block"}, []),
        ({"hmp"}, {"info"}, []),
    ],
)
def test_breaches(conditions: set[str], allow: set[str], told: list[str]) -> None:
    breaches = Breaches(conditions, allow)
    breaches.add("f.py", SURE)
    breaches.add("f.py", DOUBTFUL)
    assert breaches.told(Totals(too_big=["a"])) == told


def test_nothing_wrong() -> None:
    assert Breaches({"hmp", "sure", "incomplete"}, set()).told(Totals()) == []


def test_each_breach_is_kept_with_its_place() -> None:
    breaches = Breaches({"incomplete", "hmp"}, set())
    breaches.add("f.py", SURE)
    breaches.told(Totals(too_big=["big.c"]))
    assert breaches.conditions == ["hmp", "incomplete"]
    assert [(one.condition, one.text) for one in breaches.violations] == [
        ("hmp", "f.py:1: info block by x"),
        ("incomplete", "too big: big.c"),
    ]
