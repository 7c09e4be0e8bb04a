"""A program in a terminal of its own, whose screen can be read and whose keys can be pressed."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Self

import pyte

from demo.errors import DemoError

__all__ = ["Terminal"]

_DEADLINE_S: Final = 20.0
_READ_BYTES: Final = 64 * 1024


class Terminal:
    """A program in a pseudo-terminal; leaving the context ends it.

    screen: what it shows (pyte's Screen: `display`, and `buffer` with the look of each character).
    """

    def __init__(self, command: Sequence[str], *, columns: int, rows: int, environment: dict[str, str]) -> None:
        self.screen: Any = pyte.Screen(columns, rows)
        self._ours, its = pty.openpty()
        self._stream: Any = pyte.ByteStream(self.screen)
        try:
            fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            self.process = subprocess.Popen(
                command, stdin=its, stdout=its, stderr=its, start_new_session=True, env={**os.environ, **environment}
            )
        except BaseException:
            os.close(self._ours)
            raise
        finally:
            os.close(its)

    def __enter__(self) -> Self:
        # A terminal answers when the program asks where the cursor is.
        self.screen.write_process_input = self.press
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.terminate()
        self.process.wait()
        os.close(self._ours)

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.screen.display)

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def wait_for(self, text: str) -> None:
        """Wait until the screen shows a text. Raises DemoError if that takes too long, or if the program ends."""
        deadline = time.monotonic() + _DEADLINE_S
        while text not in self.text:
            if not select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise DemoError(f"{text!r} is not shown:\n{self.text}")
            try:
                self._stream.feed(os.read(self._ours, _READ_BYTES))
            except OSError as exc:  # EIO: the program has closed it
                raise DemoError(f"it ended without showing {text!r}:\n{self.text}") from exc
