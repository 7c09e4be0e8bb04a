"""Standard input and output as QEMU keeps them while a monitor has them (chardev/char-stdio.c, qemu_chr_set_echo_stdio)."""

import contextlib
import os
import signal
import termios
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["kept_in_order", "raw_terminal"]

_INPUT: Final = 0
_STREAMS: Final = (0, 1)
# What termios.tcgetattr returns.
_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6
_INPUT_CHANGES: Final = (
    *(termios.IGNBRK, termios.BRKINT, termios.PARMRK, termios.ISTRIP),
    *(termios.INLCR, termios.IGNCR, termios.ICRNL, termios.IXON),
)
_LOCAL_CHANGES: Final = (termios.ECHO, termios.ECHONL, termios.ICANON, termios.IEXTEN)


@contextlib.contextmanager
def kept_in_order() -> Iterator[None]:
    """Have reads and writes block again at the end, if they did: a shell may share what is opened there."""
    blocking = [(number, os.get_blocking(number)) for number in _STREAMS]
    try:
        yield
    finally:
        for number, was_blocking in blocking:
            os.set_blocking(number, was_blocking)


@contextlib.contextmanager
def raw_terminal(*, has_signals: bool) -> Iterator[None]:
    """Have what is typed come key by key and without echo, and put the modes back at the end.

    has_signals: whether Ctrl-C is a signal. It does nothing where standard input is no terminal.
    """
    if not os.isatty(_INPUT):
        yield
        return
    before = termios.tcgetattr(_INPUT)
    modes = _raw(before, has_signals=has_signals)
    termios.tcsetattr(_INPUT, termios.TCSANOW, modes)
    # While we are stopped a shell has modes of its own. It takes the terminal back without asking, and we may put it in order.
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
