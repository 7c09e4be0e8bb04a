"""Standard input and output as QEMU keeps them, on a pseudo-terminal in their place."""

import os
import pty
import signal
import termios
from collections.abc import Iterator
from typing import Any

import pytest

from proxy.wrapping.terminal import kept_in_order, raw_terminal


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    handlers = [(number, signal.getsignal(number)) for number in (signal.SIGCONT, signal.SIGTTOU)]
    kept = [os.dup(number) for number in (0, 1)]
    yield
    for number, copy in enumerate(kept):
        os.dup2(copy, number)
        os.close(copy)
    for signal_number, handler in handlers:
        signal.signal(signal_number, handler)


@pytest.fixture
def terminal() -> Iterator[int]:
    """A terminal that is standard input and output; our end of it."""
    ours, its = pty.openpty()
    for number in (0, 1):
        os.dup2(its, number)
    os.close(its)
    yield ours
    os.close(ours)


def flags() -> tuple[bool, bool, bool, bool]:
    """Tell of echo, lines, signals, and output processing."""
    _, output, _, local, *_ = termios.tcgetattr(0)
    return bool(local & termios.ECHO), bool(local & termios.ICANON), bool(local & termios.ISIG), bool(output & termios.OPOST)


@pytest.mark.parametrize("has_signals", [True, False])
def test_keys_come_one_by_one(terminal: int, has_signals: bool) -> None:
    before = termios.tcgetattr(0)
    with raw_terminal(has_signals=has_signals):
        assert flags() == (False, False, has_signals, True)
        os.write(terminal, b"x\r")
        assert os.read(0, 1) == b"x"
        assert os.read(0, 1) == b"\r"
    assert termios.tcgetattr(0) == before


def test_modes_come_back_after_an_error(terminal: int) -> None:
    before = termios.tcgetattr(0)
    with pytest.raises(KeyError), raw_terminal(has_signals=True):
        raise KeyError
    assert termios.tcgetattr(0) == before


def test_modes_are_set_again_after_a_stop(terminal: int) -> None:
    before = termios.tcgetattr(0)
    with raw_terminal(has_signals=True):
        termios.tcsetattr(0, termios.TCSANOW, before)
        signal.raise_signal(signal.SIGCONT)
        assert flags() == (False, False, True, True)


def test_terminal_that_has_gone_needs_no_order(terminal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise termios.error(5, "Input/output error")

    with raw_terminal(has_signals=True):
        monkeypatch.setattr(termios, "tcsetattr", fail)


def test_pipe_has_no_modes() -> None:
    reader, writer = os.pipe()
    os.dup2(reader, 0)
    with raw_terminal(has_signals=True):
        assert signal.getsignal(signal.SIGCONT) is signal.SIG_DFL
    os.close(reader)
    os.close(writer)


def test_streams_block_again_at_the_end(terminal: int) -> None:
    os.set_blocking(1, True)
    with kept_in_order():
        os.set_blocking(0, False)
        os.set_blocking(1, False)
    assert os.get_blocking(0)
    assert os.get_blocking(1)
