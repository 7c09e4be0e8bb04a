"""`hmp-proxy status --watch`: show a text again every second, in place if the output is a terminal."""

import contextlib
import os
import time
from collections.abc import Callable
from typing import Final, TextIO, TypeAlias

from proxy.commands.asking import NoProxyError
from shim.printable import printable

__all__ = ["Look", "frame", "watch"]

_PERIOD_S: Final = 1.0
# ECMA-48 and xterm's additions: switch to another screen without a cursor, and back.
_BEGIN: Final = "\x1b[?1049h\x1b[?25l"
_END: Final = "\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_END_OF_LINE: Final = "\x1b[K"
_REST: Final = "\x1b[J"


# Returns the text, for a terminal of this size; None if the output is not a terminal.
Look: TypeAlias = Callable[[os.terminal_size | None], str]


def watch(look: Look, output: TextIO, sleep: Callable[[float], object] = time.sleep) -> None:
    """Show what `look` returns until Ctrl-C, or until nobody reads it. Raises NoProxyError if there is no proxy at first.

    If the proxy goes away later, wait for it: it may be upgraded.
    """
    is_terminal = output.isatty()
    text = look(_size(output))
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        try:
            if is_terminal:
                output.write(_BEGIN)
            while True:
                output.write(f"{text}\n\n" if (size := _size(output)) is None else frame(text, *size))
                output.flush()
                sleep(_PERIOD_S)
                text = _look_again(look, _size(output))
        finally:
            if is_terminal:
                output.write(f"{_END}{text}\n")  # the last text stays visible
                output.flush()


def frame(text: str, columns: int, lines: int) -> str:
    """Return the sequence that shows a text over the previous one, or says how many more lines it has. Nothing flickers, as
    nothing is cleared before it is rewritten."""
    shown = text.split("\n")
    if len(shown) > lines:
        shown[lines - 1 :] = [f"… and {len(shown) - lines + 1} more lines"]
    return _HOME + "\r\n".join(f"{line[:columns]}{_END_OF_LINE}" for line in shown) + _REST


def _size(output: TextIO) -> os.terminal_size | None:
    return os.get_terminal_size(output.fileno()) if output.isatty() else None


def _look_again(look: Look, size: os.terminal_size | None) -> str:
    try:
        return look(size)
    except NoProxyError as exc:
        return f"{printable(str(exc))}; trying again"
