"""`hmp-audit diff`, from its files to its exit status."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from audit.comparing.diff import DIFF_CONDITIONS, diff
from audit.counting.filters import Filters
from audit.errors import SourceError
from audit.forms.report_data import as_json
from audit.invocations import DiffInvocation
from tests.support.audit.audit_records import a_record, log_of, report_of

FAILED = a_record("loadvm x", failed=True, reply={"return": "Error: no\r\n"})


def run(old: str, new: str, *, form: str = "text", **wanted: Any) -> tuple[int, str, list[str]]:
    complaints: list[str] = []
    written: list[str] = []
    asked: dict[str, Any] = {"filters": Filters(), "fail_on": frozenset(), "allow": frozenset()} | wanted
    status = diff(DiffInvocation(old, new, form, **asked), written.append, complaints.append, width=100)
    return status, "".join(written), complaints


@pytest.fixture
def old(tmp_path: Path) -> str:
    return log_of(tmp_path / "old", [a_record()])


@pytest.fixture
def new(tmp_path: Path) -> str:
    return log_of(tmp_path / "new", [a_record(), a_record(), FAILED])


@pytest.mark.parametrize(("form", "begin"), [("text", "HMP commands a week"), ("json", "{"), ("markdown", "## HMP")])
def test_forms(old: str, new: str, form: str, begin: str) -> None:
    status, text, complaints = run(old, new, form=form)
    assert (status, complaints) == (0, [])
    assert text.startswith(begin)


def test_log_beside_a_report_and_standard_input(tmp_path: Path, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    report = as_json(report_of(tmp_path, a_record()))
    (tmp_path / "old.json").write_text(report)
    expected = json.loads(run(str(tmp_path / "old.json"), new, form="json")[1])["changes"]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(report.encode())))
    told = json.loads(run("-", new, form="json")[1])
    assert told["changes"] == expected
    assert told["old"]["name"] == "standard input"


def test_conditions(old: str, new: str) -> None:
    told = {
        "new": "tool uses HMP's loadvm (new: once, before: 0 times)",
        "more": "tool uses HMP's savevm (more: 2 times, before: once)",
        "failures": "a new failure: Error: no (once)",
    }
    assert set(told) == set(DIFF_CONDITIONS)
    for name, text in told.items():
        assert run(old, new, fail_on={name})[::2] == (1, [text])
    assert run(old, new, fail_on={"new", "more"}, allow={"loadvm", "savevm"})[::2] == (0, [])
    assert run(new, old, fail_on=set(told))[::2] == (0, [])


def test_filters_hold_for_logs(old: str, new: str) -> None:
    told = json.loads(run(old, new, form="json", filters=Filters(tools=("other",)))[1])
    assert told["changes"] == []


def test_what_cannot_be_compared_is_an_error(tmp_path: Path, old: str) -> None:
    with pytest.raises(SourceError, match="No such file"):
        run(old, str(tmp_path / "none"))
    (tmp_path / "scan").write_text('{"scan": 1}')
    with pytest.raises(SourceError, match="it is a scan; hmp-audit scan --baseline compares those"):
        run(str(tmp_path / "scan"), old)
    (tmp_path / "cut").write_text('{"report": 1}')
    with pytest.raises(SourceError, match="it is not as --json writes it"):
        run(str(tmp_path / "cut"), old)
