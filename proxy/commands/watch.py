"""`hmp-proxy status --watch`: show a text again every second, in place if the output is a terminal."""

import contextlib
import os
import time
from collections.abc import Callable
from typing import Final, TextIO

from proxy.commands.asking import NoProxyError
from shim.printable import printable

__all__ = ["frame", "watch"]

_PERIOD_S: Final = 1.0
# ECMA-48 and xterm's additions: switch to another screen without a cursor, and back.
_BEGIN: Final = "\x1b[?1049h\x1b[?25l"
_END: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_END_OF_LINE: Final = "\x1b[K"
_REST: Final = "\x1b[J"


def watch(look: Callable[[], str], output: TextIO, sleep: Callable[[float], object] = time.sleep) -> None:
    """Show what `look` returns until Ctrl-C, or until nobody reads it. Raises NoProxyError if there is no proxy at first.

    If the proxy goes away later, wait for it: it may be upgraded.
    """
    text = look()
    is_terminal = output.isatty()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        try:
            if is_terminal:
                output.write(_BEGIN)
            while True:
                output.write(frame(text, *os.get_terminal_size(output.fileno())) if is_terminal else f"{text}\n\n")
                output.flush()
                sleep(_PERIOD_S)
                text = _look_again(look)
        finally:
            if is_terminal:
                output.write(f"{_END}{text}\n")  # the last text stays visible
                output.flush()


def frame(text: str, columns: int, lines: int) -> str:
    """Return the sequence that shows a text over the previous one. Nothing flickers, as nothing is cleared before it is
    rewritten."""
    shown = text.split("\n")[:lines]
    return _HOME + "\r\n".join(f"{line[:columns]}{_END_OF_LINE}" for line in shown) + _REST


def _look_again(look: Callable[[], str]) -> str:
    try:
        return look()
    except NoProxyError as exc:
        return f"{printable(str(exc))}; trying again"
