"""`python -m demo` on a real QEMU: it tells its story, and whatever ends it, no process and no file stays behind."""

import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from demo.screen import Screen
from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S

_LAST_STEP: Final = "9. For a VM of your own"
_KEY_LINES: Final = (
    r"""<-- {"return": "Error: Device 'pflash1' is writable but does not support snapshots\r\n"}""",
    '<-- {"return": ""}',
    "All 64 KiB are 0xaa again: the disk's content is back.",
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: pytest's own are too long for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="d", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


def _start(folder: Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder), **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _run(folder: Path, **environment: str) -> tuple[int, str, str]:
    with _start(folder, **environment) as demo:
        output, errors = demo.communicate(timeout=DEADLINE_S)
    return demo.returncode, output, errors


def _read_up_to(demo: subprocess.Popen[str], mark: str) -> None:
    assert demo.stdout is not None
    for line in demo.stdout:
        if mark in line:
            return
    pytest.fail(f"the demo does not print {mark!r}")


def _processes_in(folder: Path) -> list[str]:
    """Find what runs with the folder in its command line: QEMU and the proxy have their sockets there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


def _assert_nothing_left(folder: Path) -> None:
    assert _processes_in(folder) == []
    assert list(folder.iterdir()) == []


def _assert_one_line(text: str, *, says: str) -> None:
    assert text.startswith("demo: ")
    assert text.count("\n") == 1
    assert says in text


def test_demo_tells_its_story_and_leaves_nothing(folder: Path) -> None:
    status, output, errors = _run(folder)
    assert (status, errors) == (0, "")
    assert [line for line in _KEY_LINES if line not in output] == []
    assert _LAST_STEP in output
    assert "skips pflash1 (raw): varstore of format raw, which cannot hold a snapshot" in output
    _assert_nothing_left(folder)


def test_demo_sends_the_same_bytes_with_and_without_the_proxy(folder: Path) -> None:
    _, output, _ = _run(folder)
    sent = [line for line in output.splitlines() if "--> " in line and "savevm t1" in line]
    assert len(sent) == 2
    assert len(set(sent)) == 1


@pytest.mark.parametrize(
    "mark",
    [
        "1. A VM with",
        "QEMU's own output: wrote",
        "2. What a legacy tool",
        "3. The same bytes",
        "python -m proxy",
        '"command-line": "savevm t1"',
        "event STOP",
        "5. The guest's disk",
        "6. Back to",
        "7. The snapshot is removed",
        "8. What the audit log",
    ],
)
def test_ctrl_c_leaves_nothing(folder: Path, mark: str) -> None:
    with _start(folder) as demo:
        _read_up_to(demo, mark)
        demo.send_signal(signal.SIGINT)
        rest, errors = demo.communicate(timeout=DEADLINE_S)
    if demo.returncode == 0:
        # On a busy machine the signal can come when the story is told; it must not harm then either.
        assert _LAST_STEP in rest
        assert errors == ""
    else:
        assert demo.returncode == 130
        _assert_one_line(errors, says="interrupted")
    _assert_nothing_left(folder)


@pytest.mark.parametrize("delay_ms", [0, 5, 10, 20, 30, 50])
def test_ctrl_c_before_the_first_line_leaves_nothing(folder: Path, delay_ms: int) -> None:
    """From where the demo has its folder, which is before QEMU starts, to where it prints."""
    with _start(folder) as demo:
        deadline = time.monotonic() + DEADLINE_S
        while not any(folder.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.001)
        # Not a wait for something, but the moment that is tried.
        time.sleep(delay_ms / 1000)
        demo.send_signal(signal.SIGINT)
        _, errors = demo.communicate(timeout=DEADLINE_S)
    assert demo.returncode == 130
    _assert_one_line(errors, says="interrupted")
    _assert_nothing_left(folder)


def test_sigterm_leaves_nothing(folder: Path) -> None:
    with _start(folder) as demo:
        _read_up_to(demo, "1. A VM with")
        demo.terminate()
        _, errors = demo.communicate(timeout=DEADLINE_S)
    assert demo.returncode == 143
    _assert_one_line(errors, says="interrupted")
    _assert_nothing_left(folder)


def test_a_second_ctrl_c_does_not_disturb_the_cleaning_up(folder: Path) -> None:
    with _start(folder) as demo:
        _read_up_to(demo, "1. A VM with")
        for _ in range(20):
            demo.send_signal(signal.SIGINT)
            time.sleep(0.002)
        _, errors = demo.communicate(timeout=DEADLINE_S)
    assert demo.returncode == 130
    _assert_one_line(errors, says="interrupted")
    _assert_nothing_left(folder)


def test_missing_qemu_is_one_line(folder: Path) -> None:
    status, _, errors = _run(folder, QEMU_SYSTEM="no-such-qemu")
    assert status == 1
    _assert_one_line(errors, says="no-such-qemu is not installed")
    _assert_nothing_left(folder)


def test_qemu_that_ends_at_once_is_one_line(folder: Path) -> None:
    status, _, errors = _run(folder, QEMU_SYSTEM="false")
    assert status == 1
    _assert_one_line(errors, says="QEMU has ended")
    _assert_nothing_left(folder)


def test_reader_that_goes_away_leaves_nothing(folder: Path) -> None:
    with _start(folder) as demo:
        assert demo.stdout is not None
        assert demo.stderr is not None
        demo.stdout.readline()
        demo.stdout.close()
        errors = demo.stderr.read()
    assert demo.returncode == 1
    _assert_one_line(errors, says="nobody reads")
    _assert_nothing_left(folder)


def test_temporary_folder_too_long_for_sockets_is_not_used(folder: Path) -> None:
    long = folder / ("x" * 80)
    long.mkdir()
    status, _, errors = _run(long)
    assert (status, errors) == (0, "")
    _assert_nothing_left(long)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environment", "is_coloured"),
    [
        (_Terminal(), {}, True),
        (_Terminal(), {"NO_COLOR": ""}, True),
        (_Terminal(), {"NO_COLOR": "1"}, False),
        (_Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colours_need_a_terminal_and_no_no_color(stream: io.StringIO, environment: dict[str, str], is_coloured: bool) -> None:
    Screen(stream, environment).step("title")
    assert ("\x1b[" in stream.getvalue()) is is_coloured


def test_long_command_is_split_before_options_and_stays_one_command() -> None:
    stream = io.StringIO()
    command = "program " + " ".join(f"--option-{number} value-{number}" for number in range(10))
    Screen(stream, {}).shell(command)
    lines = stream.getvalue().splitlines()
    assert len(lines) > 1
    assert all(line.lstrip().startswith("--option") for line in lines[1:])
    assert " ".join(line.strip().removesuffix("\\").strip() for line in lines) == f"$ {command}"
