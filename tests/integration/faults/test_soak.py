"""Some faults at random moments in each run of the tests; `./run soak` counts many."""

import os
from typing import Final

import pytest

from tests.integration.faults.rows import BAD, ROWS, Row, run
from tests.integration.faults.soak import main

pytestmark = pytest.mark.matrix

SEED: Final = os.environ["HMPSHIM_FAULT_SEED"]


@pytest.mark.needs_snapshot_jobs
@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row.name}-seed{SEED}") for row in ROWS])
def test_nothing_is_lost_at_a_random_moment(row: Row) -> None:
    verdict, what = run(row, f"{SEED} {row.name}")
    assert verdict not in BAD, what


def test_soak_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--runs", "1", "--seed", "1", "--rows", "delvm: another client sends `system_reset`", "--natively"]) == 0
    title, header, row = capsys.readouterr().out.splitlines()
    assert title.endswith("1 runs a row, --seed 1")
    assert header.split() == ["command:", "fault", "through", "the", "proxy", "natively"]
    assert row.startswith("delvm: another client sends `system_reset`  ")
    assert row.split()[-4:-2] == ["1", "done"]


def test_soak_refuses_rows_that_are_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rows", "nothing of the kind"]) == 2
    assert capsys.readouterr().err == "soak: no row matches 'nothing of the kind'\n"
