"""A file that is no log is told what it is."""

import gzip
import json
from pathlib import Path

import pytest

from audit.counting.filters import Filters
from audit.counting.report_builder import make_report
from audit.forms.report_data import as_csv, as_json
from audit.log.recognition import is_surely_no_log, what_it_is
from audit.page.document import render_html
from tests.support.audit.audit_records import a_record, log_of
from tests.support.audit.sample_report import sample_report
from tests.support.checkout import ROOT

PICTURE = ROOT.joinpath("docs", "hmp-audit.png").read_bytes()


@pytest.mark.parametrize(
    ("beginning", "told"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "it is a JPEG picture"),
        (PICTURE[:4096], "it is a PNG picture"),
        (b"QFI\xfb\0\0\0\3", "it is a disk image"),
        (b"\x7fELF\2\1", "it is a program"),
        (b"\x28\xb5\x2f\xfd\x04", "it is compressed with zstd: pipe zstdcat into hmp-audit"),
        (b"\xfd7zXZ\0\0", "it is compressed with xz: pipe xzcat into hmp-audit"),
        (b"LPKSHHRH", "it is a journal of systemd's: pipe journalctl -o cat into hmp-audit"),
        (b"<!-- a --> <!DOCTYPE html>", "it is an HTML page"),
        (render_html(sample_report(), generated="today").encode()[:4096], "it is an HTML page"),
        (as_json(sample_report()).encode()[:4096], "it is a report, which hmp-audit report --json made"),
        (as_csv(sample_report()).encode()[:4096], "it is a report, which hmp-audit report --csv made"),
        (b"host,executable,uid,address,state", "it is a report, which hmp-audit report --csv made"),
        (b"a\0b", "it is not text"),
        (b'{"return": {}}\n', "it is JSON of another kind"),
        (b"[\n  1,", "it is JSON of another kind"),
        (b"[Unit]\n", "it is text without a record"),
        (b"Nov 24 17:00:01 h1 cron[13]: hello\n", "it is text without a record"),
    ],
)
def test_kinds(beginning: bytes, told: str) -> None:
    assert what_it_is(beginning) == told


def test_nothing_that_begins_as_a_picture_or_a_packed_file_is_read_on() -> None:
    assert [is_surely_no_log(begin) for begin in (PICTURE, b"BZh9", b"<html>", b'{"schema":3', b"")] == [
        True,
        True,
        *[False] * 3,
    ]


def unreadable(*paths: Path) -> list[str]:
    return [text for path in paths for text in make_report([str(path)], Filters()).log.unreadable]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_picture_is_no_log(tmp_path: Path, pack: type[bytes]) -> None:
    path = tmp_path / "picture"
    path.write_bytes(pack(PICTURE))
    report = make_report([str(path)], Filters())
    assert report.log.unreadable == (f"{path} is not an audit log: it is a PNG picture",)
    assert (report.log.damaged, report.log.torn) == (0, 0)


def test_log_whose_every_line_is_broken_is_none_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text('junk\n{"schema":9}\n{"schema":9}\n')
    reason = "no line of it is a record (line 2: its schema is 9, and the newest that is known here is 4)"
    assert unreadable(path) == [f"{path} is not an audit log: {reason}"]


@pytest.mark.parametrize("text", ["", "\n\r\n", '{"schema":3,"time":"2026'], ids=["empty", "blank", "torn"])
def test_log_that_has_just_begun_is_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log"
    path.write_text(text)
    assert unreadable(path) == []


def test_log_that_begins_with_what_was_damaged_is_one(tmp_path: Path) -> None:
    path = Path(log_of(tmp_path / "log", [a_record()]))
    path.write_bytes(b"\0\0\0\n\xff\xff\n<html>\n" + path.read_bytes())
    log = make_report([str(path)], Filters()).log
    assert (log.records, log.damaged, log.unreadable) == (1, 3, ())


def test_log_whose_records_are_all_left_out_is_one(tmp_path: Path) -> None:
    log = make_report([log_of(tmp_path / "log", [a_record()])], Filters(vms=("none",))).log
    assert (log.left_out, log.unreadable) == (1, ())


def test_log_that_cannot_be_read_on_keeps_its_damage(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    lines = b"".join([b"junk\n", *(json.dumps(a_record(f"savevm {place}" * 9)).encode() + b"\n" for place in range(5000))])
    path.write_bytes(gzip.compress(lines)[:-400])
    log = make_report([str(path)], Filters()).log
    assert log.damaged == 1
    assert log.records > 0
    assert len(log.unreadable) == 1
