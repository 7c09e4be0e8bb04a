"""`hmp-audit follow`: what is shown of a log that grows, is rotated, truncated, torn or not there."""

import contextlib
import io
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import audit.follow
from audit.errors import SourceError
from audit.follow import QUIET_READS, LineSplitter, StreamTail, Tail, follow
from shim.records.audit_form import spell, to_members
from tests.support.audit.written_records import record
from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S

_RETRY_S: Final = 0.002


def line(**changes: Any) -> bytes:
    return spell(to_members(record(), host="node7") | changes).encode() + b"\n"


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def everything(tail: Tail | StreamTail) -> list[bytes]:
    found: list[bytes] = []
    while lines := tail.read():
        found += lines
    return found


def opened(path: Path) -> int:
    """Count the descriptors of the log and of its moved ones."""
    found = 0
    for descriptor in os.listdir("/proc/self/fd"):
        # The one of this listing is gone by now.
        with contextlib.suppress(FileNotFoundError):
            found += os.readlink(f"/proc/self/fd/{descriptor}").startswith(str(path))
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def tails(path: Path) -> Iterator[Callable[..., Tail]]:
    """Make tails of the log that are closed at the end."""
    made: list[Tail] = []

    def make(last: int = 10) -> Tail:
        made.append(Tail(str(path), last=last))
        return made[-1]

    yield make
    for tail in made:
        tail.close()


# -- lines of pieces ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(20))
def test_every_split_gives_the_same_lines(seed: int) -> None:
    data, chance = b"a\n\nbc\r\nd\xff\n{}\n\ne", random.Random(seed)
    splitter, found, at = LineSplitter(), [], 0
    while at < len(data):
        size = chance.randrange(0, 4)
        found += splitter.feed(data[at : at + size])
        at += size
    assert [*found, splitter.take_rest()] == data.split(b"\n")
    assert splitter.take_rest() == b""


def test_line_that_is_too_long_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit.follow, "MAX_LINE_BYTES", 5)
    splitter = LineSplitter()
    assert splitter.feed(b"0123") == []
    assert splitter.feed(b"456789") == []
    assert splitter.feed(b"x" * 100 + b"\n0123456\nabc") == [b"01234", b"01234"]
    assert splitter.take_rest() == b"abc"


# -- a file ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [0, 1, 2, 3, 4, 100])
@pytest.mark.parametrize("rest", [b"", b"to"])
def test_last_lines_first(path: Path, tails: Callable[..., Tail], last: int, rest: bytes) -> None:
    """What has no line end yet does not count."""
    path.write_bytes(b"one\n\nthree\n" + rest)
    tail = tails(last)
    assert everything(tail) == [b"one", b"", b"three"][3 - min(last, 3) :]
    append(path, b"morrow\n")
    assert everything(tail) == [rest + b"morrow"]


@pytest.mark.parametrize("last", [0, 1, 500, 20_000])
def test_last_lines_of_a_long_file(path: Path, tails: Callable[..., Tail], last: int) -> None:
    lines = [b"%d" % number * (number % 50) for number in range(20_000)]
    path.write_bytes(b"".join(text + b"\n" for text in lines))
    assert everything(tails(last)) == lines[20_000 - last :]


def test_new_lines_are_given_once(path: Path, tails: Callable[..., Tail]) -> None:
    path.touch()
    tail = tails()
    assert tail.read() == []
    append(path, b"1\n2\n")
    assert tail.read() == [b"1", b"2"]
    assert tail.read() == []


def test_line_that_is_not_whole_waits_for_its_rest(path: Path, tails: Callable[..., Tail]) -> None:
    path.touch()
    tail = tails()
    for piece in (b"a", b"b", b"c"):
        append(path, piece)
        assert tail.read() == []
    append(path, b"\nd")
    assert tail.read() == [b"abc"]


def test_file_that_is_not_there_yet_is_given_from_its_beginning(path: Path, tails: Callable[..., Tail]) -> None:
    tail = tails(last=1)
    assert tail.is_missing
    assert tail.read() == []
    path.write_bytes(b"1\n2\n3\n")
    assert everything(tail) == [b"1", b"2", b"3"]
    assert not tail.is_missing


def test_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    tail = Tail(str(tmp_path / "later" / "log"), last=1)
    assert tail.is_missing
    assert tail.read() == []


def test_moved_file_is_read_to_its_end_and_then_the_new_one(path: Path, tails: Callable[..., Tail]) -> None:
    path.write_bytes(b"1\n")
    tail = tails()
    assert everything(tail) == [b"1"]
    append(path, b"2\n")
    path.rename(f"{path}.1")
    assert everything(tail) == [b"2"]
    path.write_bytes(b"4\n")
    append(path.with_name("log.1"), b"3\n")
    assert everything(tail) == [b"3", b"4"]


@pytest.mark.parametrize("mode", ["created before its writer moves on", "created by its writer"])
def test_writer_may_still_write_to_the_moved_file(path: Path, tails: Callable[..., Tail], mode: str) -> None:
    """logrotate makes the new file and then tells the writers, one after the other."""
    path.write_bytes(b"1\n")
    tail, moved = tails(), path.with_name("log.1")
    assert everything(tail) == [b"1"]
    path.rename(moved)
    path.write_bytes(b"" if mode.startswith("created before") else b"new 1\n")
    found = everything(tail)
    for number in range(3):
        append(moved, b"old %d\n" % number)
        append(path, b"new %d\n" % number)
        found += everything(tail)
    assert sorted({*found}) == [b"new 0", b"new 1", b"new 2", b"old 0", b"old 1", b"old 2"]


def test_moved_file_is_closed_when_nobody_writes_to_it_any_more(path: Path, tails: Callable[..., Tail]) -> None:
    """Its last line may not be whole then."""
    path.write_bytes(b"1\nto")
    tail = tails(last=0)
    path.rename(f"{path}.1")
    path.touch()
    for _ in range(2 * QUIET_READS):
        assert tail.read() == []
    assert opened(path) == 2, "its writer has not moved on yet"
    append(path, b"2\n")
    assert everything(tail) == [b"2", b"to"]
    assert opened(path) == 1


def test_file_that_is_moved_again_and_again(path: Path, tails: Callable[..., Tail]) -> None:
    tail, found = tails(), []
    for number in range(100):
        path.write_bytes(b"%d\n" % number)
        found += everything(tail)
        path.rename(f"{path}.{number}")
    assert found == [b"%d" % number for number in range(100)]
    assert opened(path) < 10


@pytest.mark.parametrize("again", [b"", b"3\n"])
def test_truncated_file_is_given_from_its_beginning(path: Path, tails: Callable[..., Tail], again: bytes) -> None:
    path.write_bytes(b"1\n2\nnot whole")
    tail = tails()
    everything(tail)
    os.truncate(path, 0)
    append(path, again)
    assert everything(tail) == again.split()
    append(path, b"4\n")
    assert everything(tail) == [b"4"]


def test_deleted_file_may_come_back(path: Path, tails: Callable[..., Tail]) -> None:
    path.write_bytes(b"1\n")
    tail = tails()
    everything(tail)
    path.unlink()
    assert everything(tail) == []
    path.write_bytes(b"2\n")
    assert everything(tail) == [b"2"]


def test_file_that_is_moved_back_is_not_given_again(path: Path, tails: Callable[..., Tail]) -> None:
    path.write_bytes(b"1\n")
    tail = tails()
    everything(tail)
    path.rename(f"{path}.1")
    assert everything(tail) == []
    path.with_name("log.1").rename(path)
    append(path, b"2\n")
    assert everything(tail) == [b"2"]


def test_what_is_no_file_cannot_be_followed(tmp_path: Path, path: Path, tails: Callable[..., Tail]) -> None:
    with pytest.raises(SourceError, match="it is not a file"):
        Tail(str(tmp_path), last=1)
    tail = tails()
    os.mkfifo(path)
    with pytest.raises(SourceError, match="it is not a file"):
        tail.read()


# -- a pipe ---------------------------------------------------------------------------------------------------------------


def test_lines_of_a_pipe_as_they_come() -> None:
    reading, writing = os.pipe()
    tail = StreamTail("pipe", reading)
    try:
        assert tail.read() == []
        os.write(writing, b"1\n2\nto")
        assert everything(tail) == [b"1", b"2"]
        os.write(writing, b"morrow\nrest")
        assert everything(tail) == [b"tomorrow"]
        assert not tail.is_over
        os.close(writing)
        assert tail.read() == [b"rest"]
        assert tail.is_over
    finally:
        tail.close()


def test_pipe_that_cannot_be_read() -> None:
    reading, writing = os.pipe()
    tail = StreamTail("pipe", writing)
    os.close(reading)
    with pytest.raises(SourceError, match="cannot read pipe: Bad file descriptor"):
        tail.read()
    tail.close()


# -- what is shown --------------------------------------------------------------------------------------------------------


class Shown:
    """`follow` in this process. Each look at the log is preceded by the next step; after the last one it is interrupted."""

    def __init__(self, path: Path, *steps: Callable[[], object], **options: Any) -> None:
        self.complaints: list[str] = []
        self._steps = list(steps)
        self._output = io.StringIO()
        self.status = follow(str(path), self._output, self.complaints.append, wait=self._wait, **{"last": 10} | options)

    @property
    def lines(self) -> list[str]:
        return self._output.getvalue().splitlines()

    def _wait(self) -> None:
        if not self._steps:
            raise KeyboardInterrupt
        self._steps.pop(0)()


def gone() -> None:
    raise BrokenPipeError


def test_last_records_and_new_ones(path: Path) -> None:
    path.write_bytes(b"".join(line(vm=f"vm{number}") for number in range(20)))
    shown = Shown(path, lambda: append(path, line(vm="new")), last=3)
    assert shown.lines[0] == "2026-11-23"
    assert [text.split()[1] for text in shown.lines[1:]] == ["vm17", "vm18", "vm19", "new"]
    assert shown.status == 130
    assert shown.complaints == []


def test_ten_records_first_unless_it_is_said(path: Path) -> None:
    path.write_bytes(line() * 20)
    assert len(Shown(path).lines) == 1 + 10


def test_file_that_is_not_there_is_told_once(path: Path) -> None:
    shown = Shown(path, lambda: None, lambda: None, lambda: path.write_bytes(line()))
    assert shown.complaints == [f"{path} is not there yet; waiting for it"]
    assert len(shown.lines) == 2


def test_damaged_line_is_shown_and_does_not_end_it(path: Path) -> None:
    path.write_bytes(b"\x1b[2J\n" + line()[:300] + b"\n" + line(vm=5) + line(schema=7) + line())
    assert Shown(path).lines == [
        "damaged line: it is not JSON",
        "damaged line: it is cut off: its end is missing",
        "damaged line: vm: it is 5, but must be a string",
        "damaged line: its schema is 7, and the newest that is known here is 4",
        "2026-11-23",
        "17:18:06  vm1  tool(1000)    savevm t1     rewritten  40.0 ms",
    ]


def test_damaged_line_has_a_colour_if_there_are_some(path: Path) -> None:
    path.write_bytes(b"x\n")
    assert Shown(path, is_coloured=True).lines == ["\x1b[31mdamaged line: it is not JSON\x1b[0m"]


def test_details_instead_of_lines(path: Path) -> None:
    path.write_bytes(line())
    shown = Shown(path, has_details=True)
    assert shown.lines[0].endswith("  vm1 on node7  'savevm t1'  rewritten: done by snapshot jobs")
    assert shown.lines[1] == "    asked by /usr/bin/tool (pid 4242, uid 1000)"


def test_record_of_version_1_is_shown(path: Path) -> None:
    path.write_bytes(line(schema=1))
    assert "savevm t1     rewritten  40.0 ms" in Shown(path).lines[1]


def test_it_ends_when_nobody_reads_the_output_any_more(path: Path) -> None:
    path.write_bytes(line())
    shown = Shown(path, gone)
    assert (shown.status, len(shown.lines)) == (0, 2)


# -- the program ----------------------------------------------------------------------------------------------------------

_CODE: Final = """
import sys
from audit.follow import follow
sys.exit(follow(sys.argv[1], sys.stdout, lambda text: sys.stderr.write(text + "\\n"), last=10))
"""


@pytest.fixture
def running(path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    """Start it, and see that it ends."""
    started: list[subprocess.Popen[bytes]] = []

    def start(argument: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-X", "dev", "-W", "error", "-c", _CODE, argument]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def read_line(process: subprocess.Popen[bytes]) -> bytes:
    """Read a record's line, below that of its day."""
    assert process.stdout is not None
    text = process.stdout.readline()
    return process.stdout.readline() if text == b"2026-11-23\n" else text


def test_ctrl_c_ends_it(path: Path, running: Callable[[str], subprocess.Popen[bytes]]) -> None:
    path.write_bytes(line())
    process = running(str(path))
    assert b" savevm t1 " in read_line(process)
    append(path, line(vm="new"))
    assert b"  new  " in read_line(process)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=DEADLINE_S) == (b"", b"")
    assert process.returncode == 130


def test_reader_that_is_gone_ends_it_without_another_record(
    path: Path, running: Callable[[str], subprocess.Popen[bytes]]
) -> None:
    """As `| head -1` does, which the shell would wait for otherwise."""
    path.write_bytes(line())
    process = running(str(path))
    read_line(process)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(DEADLINE_S) == 0
    assert process.stderr.read() == b""


def test_standard_input_is_followed_to_its_end(running: Callable[[str], subprocess.Popen[bytes]]) -> None:
    process = running("-")
    assert process.stdin is not None
    for number in range(20):
        process.stdin.write(line(vm=f"vm{number}"))
        process.stdin.flush()
        assert b"  vm%d  " % number in read_line(process)
    output, errors = process.communicate(line(vm="last")[:-1], timeout=DEADLINE_S)
    assert b"  last  " in output
    assert (errors, process.returncode) == (b"", 0)


def test_pipe_by_its_path(path: Path, running: Callable[[str], subprocess.Popen[bytes]]) -> None:
    os.mkfifo(path)
    process = running(str(path))
    path.write_bytes(line())
    output, errors = process.communicate(timeout=DEADLINE_S)
    assert (output.count(b"\n"), errors, process.returncode) == (2, b"", 0)


def test_file_that_comes_later(path: Path, running: Callable[[str], subprocess.Popen[bytes]]) -> None:
    process = running(str(path))
    assert process.stderr is not None
    assert process.stderr.readline() == f"{path} is not there yet; waiting for it\n".encode()
    path.write_bytes(line())
    assert b" savevm t1 " in read_line(process)


_WRITER: Final = """
import os, sys
path = sys.argv[1]
for rotation in range(20):
    file = open(path, "ab", buffering=0)
    for number in range(200):
        file.write(b"%d-%d\\n" % (rotation, number))
        if number == 150 and sys.stdin.readline():
            os.rename(path, f"{path}.{rotation}")
"""


def test_nothing_is_lost_while_the_log_is_rotated(path: Path) -> None:
    """The writer is in another process, and opens the new file a while after the old one was moved."""
    tail = Tail(str(path), last=0)
    command = [sys.executable, "-W", "ignore", "-c", _WRITER, str(path)]
    found: list[bytes] = []
    rotations = 0
    deadline = time.monotonic() + DEADLINE_S
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        while len(found) < 20 * 200 and time.monotonic() < deadline:
            found += tail.read()
            if b"%d-150" % rotations in found[-200:]:
                process.stdin.write(b"go on\n")
                process.stdin.flush()
                rotations += 1
            time.sleep(0 if found else _RETRY_S)
    tail.close()
    assert found == [b"%d-%d" % (rotation, number) for rotation in range(20) for number in range(200)]
