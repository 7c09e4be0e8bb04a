"""The log's book: each answered command is on record once, wherever the log was moved."""

import json
from pathlib import Path

import pytest

from tests.soak.oracle import Violation
from tests.soak.records import RecordBook
from tests.support.audit.audit_records import a_record


def line(command_line: str, **members: object) -> str:
    return json.dumps(a_record(command_line, **members)) + "\n"


@pytest.fixture
def book(tmp_path: Path) -> RecordBook:
    return RecordBook(tmp_path / "audit.jsonl")


def test_commands_are_found_in_the_log_and_in_what_was_moved_away(book: RecordBook) -> None:
    book.log.write_text(line("savevm a"))
    book.check(["savevm a"])
    book.log.rename(book.log.with_name("audit.jsonl.moved-1"))
    book.log.write_text(line("savevm b") + line("savevm c")[:-5])
    book.check(["savevm a", "savevm b"])
    assert not book.has("savevm c")
    with book.log.open("a") as log:
        log.write(line("savevm c")[-5:])
    book.check(["savevm a", "savevm b", "savevm c"])


def test_qmp_command_is_found_by_its_id(book: RecordBook) -> None:
    book.log.write_text(json.dumps(a_record(None, action="modern", reply={"return": {}, "id": "soak-1"})) + "\n")
    book.check(["soak-1"])


def test_missing_record_is_seen_unless_it_is_counted(book: RecordBook) -> None:
    book.log.write_text(line("savevm a"))
    with pytest.raises(Violation, match="no more than 0 records missing"):
        book.check(["savevm a", "savevm b"])
    with book.log.open("a") as log:
        log.write("damaged\n" + line("savevm c", lost_before=1))
    book.check(["savevm a", "savevm b"])
    with pytest.raises(Violation, match="no more than 1 records missing"):
        book.check(["savevm b", "savevm d"])


def test_second_record_is_seen(book: RecordBook) -> None:
    book.log.write_text(line("savevm a", action="begun") + line("savevm a") + line("savevm a", action="recovered"))
    book.check(["savevm a"])
    with book.log.open("a") as log:
        log.write(line("savevm a"))
    with pytest.raises(Violation, match="one record for each command"):
        book.check(["savevm a"])
