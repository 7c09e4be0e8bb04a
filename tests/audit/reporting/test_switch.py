"""What the switch to mode rewrite comes to, in a sentence or two."""

import pytest

from audit.reporting.parties import VM
from audit.reporting.switch import Agreement, Contrast, Switch, VMSwitch


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ([(412, 412, 0, 0)], "412 of 412 answers would be the same in mode rewrite."),
        ([(1, 1, 0, 0)], "1 of 1 answer would be the same in mode rewrite."),
        ([(400, 400, 0, 0), (12, 9, 3, 0)], "409 of 412 answers would be the same in mode rewrite; 3 differ."),
        ([(5, 3, 1, 1)], "3 of 5 answers would be the same in mode rewrite; 1 differs and 1 is not known."),
        ([(2000, 0, 0, 2000)], "0 of 2,000 answers would be the same in mode rewrite; 2,000 are not known."),
    ],
)
def test_verdict(counts: list[tuple[int, int, int, int]], verdict: str) -> None:
    found = Switch(tuple(VMSwitch(VM("h", str(number)), *row) for number, row in enumerate(counts)), ())
    assert found.verdict == verdict


def test_same_answers_may_hide_another_snapshot() -> None:
    def switch(count: int) -> Switch:
        contrasts = [Contrast(Agreement.ELSEWHERE, "w", count, "", "", ()), Contrast(Agreement.DIFFERS, "w", 9, "", "", ())]
        return Switch((), tuple(contrasts))

    assert switch(1).note == "With the same answer, 1 savevm command would save another snapshot than HMP did."
    assert switch(2).note == "With the same answer, 2 savevm commands would save another snapshot than HMP did."
    assert Switch((), ()).note == ""
