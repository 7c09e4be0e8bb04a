"""Each fault at each step, on a real QEMU, held against docs/fault-matrix.md.

A sixth of the cells runs, by the day: in six days all do. `HMPSHIM_FAULTS=all` runs all of them, and
`HMPSHIM_FAULT_SEED` the sixth of another day.
"""

import os
import random
from collections.abc import Sequence
from itertools import product
from typing import Final, TypeAlias

import pytest

from tests.integration.faults.rules import CHECKS, columns, judge, rules, words
from tests.integration.faults.steps import STEPS, Phase, Step
from tests.integration.faults.strikes import Strike, play

Cell: TypeAlias = tuple[Step, Strike]

SEED: Final = int(os.environ["HMPSHIM_FAULT_SEED"])
PARTS: Final = 6
CELLS: Final[Sequence[Cell]] = list(product(STEPS, Strike))


def part_of(cells: Sequence[Cell], seed: int) -> list[Cell]:
    """Choose a sixth; those of six days that follow each other, the first of them divisible by six, are all."""
    shuffled = random.Random(seed // PARTS).sample(cells, len(cells))
    return shuffled[seed % PARTS :: PARTS]


CHOSEN: Final = CELLS if os.environ.get("HMPSHIM_FAULTS") == "all" else part_of(CELLS, SEED)


@pytest.mark.versions
@pytest.mark.needs_snapshot_jobs
@pytest.mark.parametrize(
    ("step", "strike"), [pytest.param(*cell, id=f"{cell[0].name}-{cell[1].name}-seed{SEED}") for cell in CHOSEN]
)
def test_cell_holds(step: Step, strike: Strike) -> None:
    broken = judge(play(step, strike), strike)
    assert not broken, "\n".join(broken)


def test_six_days_run_every_cell() -> None:
    days = [cell for day in range(PARTS) for cell in part_of(CELLS, PARTS * 1000 + day)]
    assert sorted(map(str, days)) == sorted(map(str, CELLS))
    assert len(CELLS) == 27 * 13


def test_page_has_every_cell_and_every_step() -> None:
    assert set(rules()) == set(product(Strike, Phase))
    assert columns() == {phase: [step.name for step in STEPS if step.phase is phase] for phase in Phase}


def test_page_explains_the_words_that_are_held_against_what_is_seen() -> None:
    assert words() == list(CHECKS)
    assert {word for cell in rules().values() for word in cell} == set(CHECKS)
