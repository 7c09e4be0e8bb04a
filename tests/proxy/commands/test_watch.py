"""`hmp-proxy status --watch` at a terminal and elsewhere."""

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyte
import pytest

from proxy.command_line.invocations import AskInvocation, Question
from proxy.commands.ask import ask
from proxy.commands.asking import NoProxyError
from proxy.commands.watch import Look, frame, watch
from proxy.control.status import State
from tests.support.checkout import ROOT
from tests.support.processes.vm_statuses import BUSY, OFF, as_told
from tests.support.proxy.answering_proxy import answering
from tests.support.proxy.asked_sockets import short_folder
from tests.support.raw_client import DEADLINE_S


class Terminal(io.StringIO):
    """Looks like one, with 20 columns and 4 lines."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return 1


@pytest.fixture
def path() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder / "c"


def looks(*texts: str | Exception) -> Look:
    """Return a look that sees these, and is interrupted after the last."""
    left = iter(texts)

    def look(_: os.terminal_size | None) -> str:
        text = next(left, None)
        if text is None:
            raise KeyboardInterrupt
        if isinstance(text, Exception):
            raise text
        return text

    return look


def no_sleep(_: float) -> None:
    pass


def test_elsewhere_one_comes_after_the_other() -> None:
    output = io.StringIO()
    watch(looks("a\nb", "c", NoProxyError("/c", "gone\x1b"), "d"), output, no_sleep)
    assert output.getvalue() == "a\nb\n\nc\n\n" + "cannot ask the proxy at /c: gone\\x1b; trying again\n\n" + "d\n\n"


def test_no_proxy_at_first_is_an_error() -> None:
    with pytest.raises(NoProxyError):
        watch(looks(NoProxyError("/c", "none")), io.StringIO(), no_sleep)


def test_reader_that_goes_is_the_end() -> None:
    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    watch(looks("a", "b"), Closed(), no_sleep)


def test_terminal_shows_the_last_and_has_its_own_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((20, 4)))
    shown: list[list[str]] = []
    output = Terminal()
    screen = pyte.Screen(20, 4)
    stream = pyte.Stream(screen)

    def see(_: float) -> None:
        stream.feed(output.getvalue())
        output.seek(0)
        output.truncate()
        shown.append([line.rstrip() for line in screen.display])

    watch(looks("one\ntwo\nthree", "1\n" + "x" * 30 + "\n3\n4\n5", "last"), output, see)
    assert shown == [["one", "two", "three", ""], ["1", "x" * 20, "3", "… and 2 more lines"], ["last", "", "", ""]]
    assert output.getvalue() == "\x1b[?25h\x1b[?1049llast\n"


def test_frame_clears_nothing_that_it_writes() -> None:
    assert frame("a\nb", 5, 5) == "\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J"


def test_status_of_many_vms_fits_the_terminal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((80, 24)))
    screens: list[list[str]] = []
    output = Terminal()
    screen = pyte.Screen(80, 24)

    def see(_: float) -> None:
        pyte.Stream(screen).feed(output.getvalue())
        screens.append([line.rstrip() for line in screen.display])
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "__defaults__", (see,))
    vms = [replace(OFF, name=f"vm{number}", state=State.SERVED, problem=None) for number in range(1, 45)]
    with answering(path, json.dumps({"return": as_told(*vms, replace(BUSY, name="z"))}).encode()):
        assert ask(AskInvocation(Question.STATUS, str(path), watches=True), output) == 0
    ((head, first, *_, last),) = screens
    assert "FAILED  RUNNING" in head
    assert first.startswith("z  ")
    assert "savevm nightly" in first
    assert last == "… and 25 more VMs"


def test_status_is_watched(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("proxy.commands.watch.time.sleep", interrupt)
    monkeypatch.setattr(watch, "__defaults__", (interrupt,))
    output = io.StringIO()
    with answering(path, json.dumps({"return": as_told(OFF)}).encode()):
        assert ask(AskInvocation(Question.STATUS, str(path), watches=True), output) == 0
    assert output.getvalue().startswith("VM         STATE ")


def test_ctrl_c_ends_it_with_status_0(path: Path) -> None:
    told = json.dumps({"return": as_told(OFF)}).encode()
    command = [sys.executable, "-m", "proxy", "status", "--watch", "--control", str(path)]
    with (
        answering(path, told),
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process,
    ):
        stdout: Any = process.stdout
        assert stdout.readline().startswith("VM         STATE ")
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, errors) == (0, "")
