"""`hmp-audit scan` on a whole tree: every seeded call with its place, in each form."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from audit.comparing.baseline import read_baseline
from audit.invocations import ScanInvocation
from audit.scanning.scan import scan
from tests.support.audit.seeded_sources import plant

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def run(root: Path, *, form: str = "text", **wanted: Any) -> tuple[int, str, list[str]]:
    complaints: list[str] = []
    written: list[str] = []
    told: dict[str, Any] = {"exclude": (), "max_file_mib": 1, "fail_on": frozenset(), "allow": frozenset()} | wanted
    is_known = told.pop("is_known", None)
    invocation = ScanInvocation((str(root),), form, **told)
    status = scan(invocation, written.append, complaints.append, width=100, now=NOW, is_known=is_known)
    return status, "".join(written), complaints


def test_json_has_every_seeded_call_and_no_other(tmp_path: Path) -> None:
    places = plant(tmp_path)
    status, text, complaints = run(tmp_path, form="json")
    assert (status, complaints) == (0, [])
    told = json.loads(text)
    found = [
        (Path(one["file"]).relative_to(tmp_path).as_posix(), one["line"], one["command"] or "", one["confidence"] == "sure")
        for one in told["findings"]
    ]
    assert sorted(found) == sorted(places)
    assert told["totals"]["accepted"] == 1
    assert told["totals"]["other"] == 2


def test_csv_and_text_have_as_many(tmp_path: Path) -> None:
    places = plant(tmp_path)
    assert len(list(csv.DictReader(run(tmp_path, form="csv")[1].splitlines()))) == len(places)
    lines = run(tmp_path)[1].splitlines()
    assert sum(line.startswith(str(tmp_path)) for line in lines) == len(places)
    assert any(line.startswith(f"{len(places)} findings in 12 files, ") for line in lines)


def test_statuses(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('vm.hmp("savevm t")\n')
    assert run(tmp_path, fail_on=frozenset({"sure"}))[::2] == (1, ["the sources use HMP for sure (1 finding)"])
    assert run(tmp_path, fail_on=frozenset({"hmp"}), allow=frozenset({"savevm"}))[0] == 0
    told = "no HMP found; 0 sources read\n  left out by --exclude: 1\n"
    assert run(tmp_path, fail_on=frozenset({"hmp"}), exclude=("a.py",)) == (0, told, [])


def test_unread_file_has_its_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.py").write_text("x")

    def no_bytes(path: str, mode: str) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("audit.scanning.tree.open", no_bytes, raising=False)
    assert run(tmp_path)[::2] == (3, [f"cannot read {tmp_path}/a.py: Input/output error"])


@pytest.mark.parametrize(
    ("form", "begin"), [("sarif", "{"), ("ocsf", '{"category_uid": 2'), ("markdown", "## 1 place with HMP")]
)
def test_forms_for_other_programs(tmp_path: Path, form: str, begin: str) -> None:
    (tmp_path / "a.py").write_text('vm.hmp("savevm t")\n')
    assert run(tmp_path, form=form)[1].startswith(begin)


def test_junit_has_a_test_for_each_breach(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text('vm.hmp("savevm t")\n')
    status, text, _ = run(tmp_path, form="junit", fail_on=frozenset({"sure", "incomplete"}))
    assert status == 1
    assert 'classname="hmp-audit.sure"' in text
    assert '<testcase classname="hmp-audit.incomplete" name="incomplete" />' in text


def test_baseline_leaves_out_what_is_known(tmp_path: Path) -> None:
    """A line that has moved is the same, and the same line once more is another."""
    source = tmp_path / "a.py"
    source.write_text('vm.hmp("savevm t")\n')
    (tmp_path / "accepted.txt").write_text(run(tmp_path, form="json")[1])
    source.write_text('\n\nvm.hmp("savevm t")\n')
    wanted: dict[str, Any] = {"fail_on": frozenset({"sure"}), "exclude": ("*.txt",)}
    is_known = read_baseline(str(tmp_path / "accepted.txt"), "scan").take
    status, text, _ = run(tmp_path, is_known=is_known, **wanted)
    assert status == 0
    assert "  in the baseline: 1\n" in text
    source.write_text('vm.hmp("savevm t")\n' * 2)
    is_known = read_baseline(str(tmp_path / "accepted.txt"), "scan").take
    assert run(tmp_path, is_known=is_known, **wanted)[::2] == (1, ["the sources use HMP for sure (1 finding)"])
