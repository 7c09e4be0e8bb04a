"""Standard input and output, set up as QEMU does while a monitor uses them (chardev/char-stdio.c, qemu_chr_set_echo_stdio)."""

import contextlib
import os
import signal
import termios
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["kept_in_order", "raw_terminal"]

_INPUT: Final = 0
_STREAMS: Final = (0, 1)
# Indexes into what termios.tcgetattr returns.
_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6
_INPUT_CHANGES: Final = (
    *(termios.IGNBRK, termios.BRKINT, termios.PARMRK, termios.ISTRIP),
    *(termios.INLCR, termios.IGNCR, termios.ICRNL, termios.IXON),
)
_LOCAL_CHANGES: Final = (termios.ECHO, termios.ECHONL, termios.ICANON, termios.IEXTEN)


@contextlib.contextmanager
def kept_in_order() -> Iterator[None]:
    """Restore blocking reads and writes at the end: a shell may share the open files."""
    blocking = [(number, os.get_blocking(number)) for number in _STREAMS]
    try:
        yield
    finally:
        for number, was_blocking in blocking:
            os.set_blocking(number, was_blocking)


@contextlib.contextmanager
def raw_terminal(*, has_signals: bool) -> Iterator[None]:
    """Have typed characters arrive key by key and without echo, and restore the terminal's modes at the end.

    has_signals: whether Ctrl-C is a signal. Does nothing if standard input is not a terminal.
    """
    if not os.isatty(_INPUT):
        yield
        return
    before = termios.tcgetattr(_INPUT)
    modes = _raw(before, has_signals=has_signals)
    termios.tcsetattr(_INPUT, termios.TCSANOW, modes)
    # While we are stopped, a shell uses modes of its own. When we continue, it may still be taking the terminal back: with
    # SIGTTOU ignored, we may set the modes anyway.
    signal.signal(signal.SIGCONT, lambda *_: termios.tcsetattr(_INPUT, termios.TCSANOW, modes))
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGCONT, signal.SIG_DFL)
        with contextlib.suppress(termios.error):  # it has hung up
            termios.tcsetattr(_INPUT, termios.TCSANOW, before)


def _raw(before: list[Any], *, has_signals: bool) -> list[Any]:
    modes = list(before)
    for flag in _INPUT_CHANGES:
        modes[_IFLAG] &= ~flag
    for flag in (*_LOCAL_CHANGES, *(() if has_signals else (termios.ISIG,))):
        modes[_LFLAG] &= ~flag
    modes[_OFLAG] |= termios.OPOST
    modes[_CFLAG] = modes[_CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    control = list(modes[_CC])
    control[termios.VMIN], control[termios.VTIME] = 1, 0
    modes[_CC] = control
    return modes
