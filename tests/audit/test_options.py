"""Options that several commands have; test_command_line.py has them as each command takes them."""

import argparse
from datetime import UTC, datetime

import pytest

from audit.counting.filters import Filters
from audit.options import DIFF_FORMS, REPORT_FORMS, SCAN_FORMS, add_filters, add_forms, filters_of

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def test_filters() -> None:
    parser = argparse.ArgumentParser()
    add_filters(parser, NOW)
    assert filters_of(parser.parse_args([])) == Filters()
    given = parser.parse_args(["--since", "1d", "--vm", "a", "--tool", "b"])
    assert filters_of(given) == Filters("2026-11-23T12:00:00.000000Z", "", ("a",), ("b",))


@pytest.mark.parametrize("forms", [REPORT_FORMS, SCAN_FORMS, DIFF_FORMS])
def test_first_form_is_the_default(forms: tuple[str, ...]) -> None:
    parser = argparse.ArgumentParser()
    add_forms(parser, forms)
    assert parser.parse_args([]).form == forms[0]
    assert [parser.parse_args(["--format", form]).form for form in forms] == list(forms)
    assert parser.parse_args(["--json"]).form == "json"
    assert ("--csv" in parser.format_help()) == ("csv" in forms)
