"""What to know of the logs."""

from dataclasses import replace

from audit.reporting.log_facts import log_facts
from tests.support.audit.sample_report import EMPTY_LOG


def test_whole_log_has_no_facts() -> None:
    assert log_facts(replace(EMPTY_LOG, records=7)) == []


def test_each_fact_is_a_line() -> None:
    log = replace(EMPTY_LOG, left_out=1, damaged=2000, torn=3, lost=4, unfinished=5, housekeeping=6)
    assert log_facts(replace(log, unreadable=("cannot read a",), given_twice=("b is a",))) == [
        "records left out by the filters: 1",
        "damaged lines left out (hmp-audit check tells where): 2,000",
        "of them torn last lines: 3",
        "records that could not be written, as later ones tell: 4",
        "commands that were begun and have no outcome on record: 5",
        "questions of hmp-repl's own, which are not counted as use of HMP: 6",
        "cannot read a",
        "b is a",
    ]
