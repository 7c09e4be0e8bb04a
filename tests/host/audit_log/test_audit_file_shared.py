"""Several processes write one audit log while it is rotated, moved, and while some of them are killed: no record is lost."""

import json
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final

import pytest

from host.audit_log.file import FileSink
from tests.support.checkout import ROOT

PROCESSES: Final = 6
RECORDS: Final = 250

# It tells on its standard output what it has written.
WRITER: Final = """\
import sys
from host.audit_log.file import FileSink
path, name, count, rotate_bytes, keep = sys.argv[1:]
sink = FileSink(path, rotate_bytes=int(rotate_bytes) or None, keep=int(keep))
for number in range(int(count)):
    size = (number * 37 % 11) ** 4
    sink.write(b'{"n":"%s-%d","pad":"%s"}' % (name.encode(), number, b"x" * size))
    sys.stdout.write(f"{name}-{number}\\n")
    sys.stdout.flush()
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


def start(path: Path, name: str, *, count: int, rotate_bytes: int, keep: int = 100_000) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(path), name, str(count), str(rotate_bytes), str(keep)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def output(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout


def written(folder: Path) -> Counter[str]:
    """Count the records of all files. Each of them has to be whole."""
    lines = (line for file in folder.glob("log*") for line in file.read_text().splitlines())
    return Counter(json.loads(line)["n"] for line in lines if line)


def expected(names: Iterable[str]) -> Counter[str]:
    return Counter(f"{name}-{number}" for name in names for number in range(RECORDS))


@pytest.mark.parametrize("rotate_bytes", [1, 30_000, 0], ids=["at each record", "often", "never"])
def test_processes_share_a_file_that_is_rotated(path: Path, rotate_bytes: int) -> None:
    """Each record is there once, as a whole, in one of the files."""
    count = 60 if rotate_bytes == 1 else RECORDS
    names = [f"p{number}" for number in range(PROCESSES)]
    writers = [start(path, name, count=count, rotate_bytes=rotate_bytes) for name in names]
    for writer in writers:
        assert len(writer.communicate()[0].splitlines()) == count
        assert writer.returncode == 0
    assert written(path.parent) == Counter(f"{name}-{number}" for name in names for number in range(count))
    sizes = [file.stat().st_size for file in path.parent.glob("log*")]
    assert (len(sizes) > 1) is (rotate_bytes > 0)
    assert 0 not in sizes


def test_file_is_moved_from_outside_while_processes_write(path: Path) -> None:
    names = [f"p{number}" for number in range(PROCESSES)]
    writers = [start(path, name, count=RECORDS, rotate_bytes=0) for name in names]
    for move in range(20):
        output(writers[0]).readline()
        if path.exists():
            path.rename(path.with_name(f"log-{move}"))
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    assert written(path.parent) == expected(names)


@pytest.mark.parametrize("seed", range(4))
def test_killed_processes_lose_nothing_that_was_written(path: Path, seed: int) -> None:
    """They are killed at any point of writing and rotating; the others go on, and so do those that come after them."""
    chance = random.Random(seed)
    told: list[str] = []
    for round_number in range(3):
        # Their number is one that they never reach.
        writers = [start(path, f"r{round_number}p{number}", count=10**9, rotate_bytes=1) for number in range(3)]
        for writer in writers:
            told += [output(writer).readline().strip() for _ in range(chance.randrange(1, 20))]
            writer.send_signal(signal.SIGKILL)
            told += output(writer).read().split()
            assert writer.wait() == -signal.SIGKILL
            output(writer).close()
    found = whole_records(path.parent)
    assert set(told) - set(found) == set()
    assert [record for record, count in found.items() if count > 1] == []


def whole_records(folder: Path) -> Counter[str]:
    """Count the records. One that its process was killed in may be torn."""
    found: Counter[str] = Counter()
    for file in folder.glob("log*"):
        for line in file.read_text().splitlines():
            try:
                found[json.loads(line)["n"]] += 1
            except ValueError:
                assert '{"n":"'.startswith(line[:6])
    return found


def test_stopped_process_holds_nobody_up(path: Path) -> None:
    """Wherever it is stopped, also while it rotates."""
    stopped = start(path, "s", count=100_000, rotate_bytes=1, keep=3)
    for _ in range(10):
        for _ in range(3):
            output(stopped).readline()
        stopped.send_signal(signal.SIGSTOP)
        sink = FileSink(str(path), rotate_bytes=1, keep=3)
        for number in range(5):
            sink.write(f'{{"n":"{number}"}}'.encode())
        sink.close()
        stopped.send_signal(signal.SIGCONT)
    stopped.kill()
    output(stopped).close()
    stopped.wait()
