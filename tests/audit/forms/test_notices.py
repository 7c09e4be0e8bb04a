"""Single findings of a report."""

from datetime import UTC, datetime
from pathlib import Path

from audit.forms.notices import RULES, Level, of_report
from audit.reporting.quiet import quieten, within_days
from tests.support.audit.audit_records import a_record, report_of
from tests.support.audit.sample_report import sample_report


def test_hmp_is_worse_where_the_shim_does_not_do_it(tmp_path: Path) -> None:
    found = list(of_report(report_of(tmp_path, a_record(), a_record("stop", action="passed"), a_record("no_such x"))))
    assert [(one.level, one.text, one.remedy[:17]) for one in found] == [
        (Level.ERROR, "tool (user 1000) used HMP's no_such (once)", ""),
        (Level.WARNING, "tool (user 1000) used HMP's savevm (once), which the shim does", "Use snapshot-save"),
        (Level.ERROR, "tool (user 1000) used HMP's stop (once)", "Use stop"),
    ]
    assert all((one.rule, one.subject, one.owner, one.hosts) == ("hmp-use", "tool", "user 1000", ("h1",)) for one in found)


def test_finding_is_the_same_one_wherever_the_program_is_seen_next(tmp_path: Path) -> None:
    (one,) = of_report(report_of(tmp_path, a_record()))
    (wider,) = of_report(report_of(tmp_path, a_record(), a_record(host="h2")))
    (other,) = of_report(report_of(tmp_path, a_record(unit="backup.service")))
    assert (wider.hosts, wider.fingerprint) == (("h1", "h2"), one.fingerprint)
    assert (other.key, other.fingerprint != one.fingerprint) == (one.key, True)


def test_hmp_that_stopped_long_ago_is_no_finding(tmp_path: Path) -> None:
    """It is none either where another command of the tool is still used, and what failed then is one."""
    stop = a_record("stop", action="passed", day=1)
    failed = a_record("info block", action="passed", failed=True, reply={"return": "Error: no\r\n"}, day=1)
    report = report_of(tmp_path, stop, a_record(), failed, a_record("stop", exe="/bin/old", day=1))
    quiet = quieten(report, within_days(14, datetime(2026, 11, 24, tzinfo=UTC)))
    assert [(one.rule, one.key[1:]) for one in of_report(quiet)] == [
        ("hmp-use", ("tool", "savevm")),
        ("failed-command", ("tool", "Error: no")),
    ]
    assert len(list(of_report(report))) == 5


def test_finding_has_its_times() -> None:
    assert all(one.last and (one.first or one.rule == "silent-failure") for one in of_report(sample_report()))


def test_command_without_an_equivalent_has_no_remedy(tmp_path: Path) -> None:
    (one,) = of_report(report_of(tmp_path, a_record("sum 0 1", action="passed")))
    assert one.remedy == ""


def test_each_rule_that_a_report_can_break() -> None:
    found = list(of_report(sample_report()))
    assert {one.rule for one in found} == set(RULES) - {"hmp-source"}
    assert len({one.fingerprint for one in found}) == len(found)
    assert all(one.subject and one.count for one in found)
