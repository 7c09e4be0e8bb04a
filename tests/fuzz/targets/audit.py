"""Audit logs: whatever a line holds, every form of the report is made, and the records around it are counted."""

import io
import json
import tempfile
from pathlib import Path
from typing import Final

from audit.check import check as check_logs
from audit.counting.filters import Filters
from audit.counting.report_builder import make_report
from audit.errors import DamagedLine
from audit.forms.report_data import as_csv, as_json
from audit.forms.report_table import as_table
from audit.lines import Lines, details
from audit.log.reading import decode, modernize
from audit.log.schema import MEMBERS, problems
from audit.page.document import render_html
from audit.reporting.report import Report
from shim.records.audit import Action
from tests.support.audit.audit_records import a_record

__all__ = ["COVERS", "WORDS", "check"]

COVERS: Final = (
    *("audit/log/*", "audit/counting/*", "audit/page/*", "audit/check.py"),
    *("audit/lines.py", "audit/forms/report*.py", "audit/reporting/report.py", "audit/reporting/wording.py"),
)
WORDS: Final = (
    *(b'"%s":' % member.name.encode() for member in MEMBERS),
    *(b'"%s"' % action.value.encode() for action in Action),
    *b'null true false -1 1e999 NaN Infinity [] {} "" "loadvm" \\ud800 </script> {"schema": {"schema":1 {"schema":2'.split(),
    *b'{"return":""} {"return":"Error:\\r\\n"} {"error":{"class":"x","desc":"x"}} "2026-11-24T10:00:00.000000Z"'.split(),
    *(b'"savevm a"', b"\n", b"\x1f\x8b", b"\x1b[31m", b"[" * 999),
)
_FOLDER: Final = tempfile.TemporaryDirectory(prefix="hmpshim-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
_LOG: Final = Path(_FOLDER.name, "audit.jsonl")
_SOUND: Final = json.dumps(a_record("savevm sentinel", vm="sentinel")).encode() + b"\n"
# The page takes longer than all else, so not every input gets one.
_PAGES: Final = 8
_GZIP_MAGIC: Final = b"\x1f\x8b"


def check(data: bytes) -> None:
    """Fail unless the log is read to its end, and hides no record."""
    alone = _report(data)
    _render(alone, data)
    for line in data.splitlines(keepends=True):
        _show(line)
    # The rest of one that begins so is packed, and a log that cannot be unpacked ends there.
    if not _GZIP_MAGIC.startswith(data[: len(_GZIP_MAGIC)]):
        assert _report(data + b"\n" + _SOUND).log.records == alone.log.records + 1, "it hides the record after it"
    assert _report(_SOUND + data).log.records == _records_after_a_line(data) + 1, "it hides the record before it"


def _records_after_a_line(data: bytes) -> int:
    """Count the records of what is not packed, because it does not stand at the beginning of a log."""
    return _report(b"\n" + data).log.records


def _report(data: bytes) -> Report:
    _LOG.write_bytes(data)
    return make_report([str(_LOG)], Filters())


def _render(report: Report, data: bytes) -> None:
    """Make every form, of the log that was written last."""
    as_json(report).encode()
    as_csv(report).encode()
    as_table(report, width=80).encode()
    as_table(report, width=80, is_ascii=True).encode()
    if len(data) % _PAGES == 0:
        render_html(report, generated="now").encode()
    told = io.StringIO()
    assert check_logs([str(_LOG)], told.write) in (0, 1, 3)
    told.getvalue().encode()


def _show(line: bytes) -> None:
    """Show a line as `hmp-audit follow` does."""
    try:
        record = decode(line)
    except DamagedLine:
        return
    if not problems(record):
        details(record).encode()
        Lines(is_coloured=True).give(modernize(record)).encode()
