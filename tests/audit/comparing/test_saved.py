"""Files of --json, read again."""

import contextlib
import gzip
import io
import json
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from audit.comparing.baseline import read_baseline
from audit.comparing.difference import read_usage
from audit.comparing.saved import as_file, read_saved, read_with
from audit.errors import SourceError
from audit.forms.report_data import as_json, to_members
from audit.reporting.keys import failure_key
from tests.support.audit.audit_records import a_record, log_of
from tests.support.audit.sample_report import sample_report


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("is_packed", [False, True])
def test_report_is_read_however_it_is_written(tmp_path: Path, indent: int | None, is_packed: bool) -> None:
    path = tmp_path / "report"
    content = json.dumps(to_members(sample_report()), indent=indent).encode()
    path.write_bytes(gzip.compress(content) if is_packed else content)
    found = read_saved(str(path))
    assert found is not None
    assert found["hmp_count"] == sample_report().hmp_count


@pytest.mark.parametrize("content", ["", "{\n", "{\n}", '{"report": [}', "[1]\n", '{"scan":' + "[" * 100_000, "text"])
def test_anything_else_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "x").write_text(content)
    assert read_saved(str(tmp_path / "x")) is None


def test_log_is_none(tmp_path: Path) -> None:
    assert read_saved(log_of(tmp_path / "log", [a_record()])) is None


def test_another_version_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x").write_text('{"report": 9}')
    with pytest.raises(SourceError, match="old: it is a report of version 9, and this program reads version 1 or 2"):
        read_saved(str(tmp_path / "x"), "old")


@pytest.mark.parametrize(
    ("exe", "address", "name"),
    [("/bin/tool", "", "tool"), ("", "tcp:192.0.2.7", "tcp:192.0.2.7"), ("", "", "unknown program")],
)
def test_tool_of_a_report_of_version_1_has_the_name_that_it_has_now(tmp_path: Path, exe: str, address: str, name: str) -> None:
    tool = {"host": "h1", "exe": exe, "uid": 1000, "address": address}
    (tmp_path / "x").write_text(json.dumps({"report": 1, "failures": [{"tool": tool, "text": "Error: no"}]}, indent=2))
    assert failure_key(name, "Error: no") in read_baseline(str(tmp_path / "x"), "report")


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        read_saved(str(tmp_path / "x"))


def test_standard_input_becomes_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"content")))
    with as_file("-") as path:
        assert Path(path).read_text() == "content"
    assert not Path(path).exists()
    with as_file("name") as path:
        assert path == "name"


def test_damage_is_told_and_nothing_else_raised(tmp_path: Path) -> None:
    """Any value in the place of any other, one at a time."""
    source = random.Random(11)
    path = tmp_path / "report"
    whole = as_json(sample_report())
    for _ in range(150):
        members = json.loads(whole)
        damage(members, source)
        path.write_text(json.dumps(members))
        with contextlib.suppress(SourceError):
            read_baseline(str(path), "report")
            read_with("x", members, lambda members: read_usage("x", members))


def damage(members: Any, source: random.Random) -> None:
    while isinstance(members, dict | list) and members:
        key = source.choice(list(members) if isinstance(members, dict) else range(len(members)))
        if source.random() < 0.3 or not isinstance(members[key], dict | list) or not members[key]:
            members[key] = source.choice([None, 3, -1.5, float("inf"), "x", [], {}, [[]], {"a": 1}])
            return
        members = members[key]
