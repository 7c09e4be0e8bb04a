"""Generated logs are like real ones: each line is a sound record, and the same seed gives the same log."""

import json

import pytest

from audit.counting.filters import Filters
from audit.counting.tally import Tally
from audit.log.schema import problems
from bench.records import generate
from tests.support.audit.audit_records import a_record

TEMPLATES = [a_record("savevm t1", stopped_ms=3.0), a_record("info block", action="passed")]


@pytest.mark.parametrize("count", [1, 500])
def test_every_line_is_a_record(count: int) -> None:
    records = [json.loads(line) for line in generate(TEMPLATES, count, seed=1)]
    assert len(records) == count
    assert [problem for record in records for problem in problems(record)] == []
    assert [record["time"] for record in records] == sorted(record["time"] for record in records)


def test_same_seed_gives_the_same_log() -> None:
    assert list(generate(TEMPLATES, 100, seed=1)) == list(generate(TEMPLATES, 100, seed=1))
    assert list(generate(TEMPLATES, 100, seed=1)) != list(generate(TEMPLATES, 100, seed=2))


def test_tools_vms_and_days_are_many_and_bounded() -> None:
    tally = Tally(Filters())
    for line in generate(TEMPLATES, 5000, seed=1):
        tally.add(json.loads(line))
    assert tally.records == 5000
    assert len(tally.tools) == 20
    assert len({(host, vm) for host, vm, _ in tally.standstills}) == 150
    assert max(len(tool.days) for tool in tally.tools.values() if tool) > 30
