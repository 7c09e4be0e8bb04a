"""`hmp-audit check`: what is told of good, damaged and unreadable logs."""

import gzip
import json
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any, Final

import pytest

from audit.check import check
from shim.records.audit_form import spell, to_members
from tests.support.audit.written_records import record, whole_record
from tests.support.checkout import ROOT

_TIME: Final = "2026-11-23T17:18:06.436083Z"


def good(lost_before: int = 0, **changes: Any) -> bytes:
    members = to_members(whole_record(), host="node7", lost_before=lost_before) | changes
    return spell(members).encode() + b"\n"


def old() -> bytes:
    members = to_members(record(), host="node7") | {"schema": 1}
    for name in ("host", "execute", "hmp_command", "failed", "after_failure", "lost_before", "repeated", "cut"):
        del members[name]
    return spell(members).encode() + b"\n"


def log(folder: Path, *lines: bytes, name: str = "log") -> str:
    path = folder / name
    path.write_bytes(b"".join(lines))
    return str(path)


def checked(*paths: str) -> tuple[int, list[str]]:
    """Return the exit status and the lines that were told."""
    told: list[str] = []
    status = check(paths, told.append)
    assert all(text.endswith("\n") and text[:-1].isprintable() for text in told)
    return status, [text[:-1] for text in told]


def test_good_log(tmp_path: Path) -> None:
    later = "2026-11-24T00:00:00.000000Z"
    path = log(tmp_path, good(), old(), good(time=later), good(lost_before=2), good(lost_before=1))
    summary = f"5 records (1 of schema 1, 4 of schema 4) from {_TIME} to {later}; 3 records could not be written"
    assert checked(path) == (0, [f"{path}: {summary}; nothing is broken"])


def test_log_of_one_record_without_its_line_end(tmp_path: Path) -> None:
    path = log(tmp_path, good()[:-1])
    assert checked(path) == (0, [f"{path}: 1 record (1 of schema 4) from {_TIME} to {_TIME}; nothing is broken"])


def test_empty_log(tmp_path: Path) -> None:
    path = log(tmp_path)
    assert checked(path) == (0, [f"{path}: no records; nothing is broken"])


def test_broken_lines_are_told_with_their_numbers(tmp_path: Path) -> None:
    broken = json.loads(good())
    broken["nodes"][2]["included"] = "yes"
    del broken["vm"]
    path = log(tmp_path, good(), b"hello\n", good(), b"\n", spell(broken).encode() + b"\n", good(schema=9))
    status, told = checked(path)
    assert status == 1
    assert told == [
        f"{path}:2: it is not JSON",
        f'{path}:5: vm: it is missing; nodes[2].included: it is "yes", but must be a boolean',
        f"{path}:6: its schema is 9, and the newest that is known here is 4",
        f"{path}: 2 records (2 of schema 4) from {_TIME} to {_TIME}; 3 broken lines",
    ]


def test_not_all_broken_lines_are_told(tmp_path: Path) -> None:
    path = log(tmp_path, *[b"hello\n"] * 50, good(), b"{")
    status, told = checked(path)
    assert status == 1
    assert told[:20] == [f"{path}:{number}: it is not JSON" for number in range(1, 21)]
    assert told[20].startswith(f"{path}:52: the last line is not whole, ")
    assert told[21] == f"{path}: 30 more broken lines not shown"
    assert told[22].endswith("; 51 broken lines")
    assert len(told) == 23


def test_not_all_problems_of_a_line_are_told(tmp_path: Path) -> None:
    path = log(tmp_path, b'{"schema":2}\n')
    _, told = checked(path)
    assert told[0].startswith(f"{path}:1: time: it is missing; host: it is missing; ")
    assert told[0].endswith("; client: it is missing; execute: it is missing; and 16 more")


@pytest.mark.parametrize(
    ("whole", "usable"), [(0, "no record"), (1, "the other 1 record"), (3, "the other 3 records")], ids=["none", "one", "three"]
)
@pytest.mark.parametrize("seed", range(5))
def test_torn_last_line_at_any_place(tmp_path: Path, whole: int, usable: str, seed: int) -> None:
    cut = random.Random(seed).randrange(1, len(good()) - 1)
    path = log(tmp_path, *[good()] * whole, good()[:cut])
    status, told = checked(path)
    assert status == 1
    why = f"the last line is not whole, as after a crash or on a full disk; {usable} can be used"
    assert told[0] == f"{path}:{whole + 1}: {why}"
    assert told[1].endswith("; 1 broken line")


def test_torn_line_before_others_is_a_broken_line(tmp_path: Path) -> None:
    path = log(tmp_path, good()[:100] + b"\n", good())
    status, told = checked(path)
    assert status == 1
    assert told[0] == f"{path}:1: it is cut off: its end is missing"
    assert "the last line" not in "".join(told)


def test_last_line_that_is_whole_and_broken_is_no_torn_one(tmp_path: Path) -> None:
    path = log(tmp_path, good(vm=5)[:-1])
    assert checked(path)[1][0] == f"{path}:1: vm: it is 5, but must be a string"


def test_rotated_and_compressed_logs(tmp_path: Path) -> None:
    paths = [log(tmp_path, good()), log(tmp_path, gzip.compress(good() * 2), name="log.1.gz")]
    status, told = checked(*paths)
    assert status == 0
    assert [text.partition(" (")[0] for text in told] == [f"{paths[0]}: 1 record", f"{paths[1]}: 2 records"]


def test_log_that_cannot_be_read_does_not_keep_the_others_unchecked(tmp_path: Path) -> None:
    paths = [str(tmp_path / "nothere"), log(tmp_path, good()), str(tmp_path), log(tmp_path, b"x\n", name="broken")]
    status, told = checked(*paths)
    assert status == 3
    assert told[0] == f"cannot read {paths[0]}: No such file or directory"
    assert told[1].startswith(f"{paths[1]}: 1 record ")
    assert told[2] == f"cannot read {paths[2]}: Is a directory"
    assert told[3:] == [f"{paths[3]}:1: it is not JSON", f"{paths[3]}: no records; 1 broken line"]


def test_compressed_log_that_ends_too_early(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(good(vm=str(number)) for number in range(2000)))
    path = log(tmp_path, whole[: len(whole) // 2])
    status, told = checked(path)
    assert status == 3
    assert told[0].startswith(f"cannot read {path}: Compressed file ended before")
    assert told[1].startswith(f"{path}: ")
    assert told[1].endswith("; nothing is broken up to there")


def test_name_of_a_log_is_harmless(tmp_path: Path) -> None:
    path = log(tmp_path, b"x\n", name="\x1b[2J\n")
    assert checked(path)[1][0] == f"{tmp_path}/\\x1b[2J\\n:1: it is not JSON"
    assert checked(f"{tmp_path}/\x1b[1J")[1] == [f"cannot read {tmp_path}/\\x1b[1J: No such file or directory"]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_stands_in_a_log_is_told_and_nothing_else_happens(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(good() * 5)
    for _ in range(chance.randrange(1, 40)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    status, told = checked(log(tmp_path, bytes(data)))
    assert status in (0, 1)
    assert (status == 1) == ("broken line" in told[-1])


def test_log_is_not_held_in_memory(tmp_path: Path) -> None:
    path = log(tmp_path, gzip.compress(good() * 2_000))
    tracemalloc.start()
    try:
        status, _ = checked(path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert status == 0
    assert most < 1024 * 1024 < 2_000 * len(good())


def test_standard_input() -> None:
    code = "import sys; from audit.check import check; sys.exit(check(['-'], sys.stdout.write))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, input=good() + b"{", capture_output=True, check=False)
    told = done.stdout.decode().splitlines()
    assert done.returncode == 1
    assert told[0].startswith("standard input:2: the last line is not whole, ")
    assert told[1].startswith("standard input: 1 record ")
