"""`hmp-repl` itself at a real pseudo-terminal."""

import codecs
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from typing import Any, Final

from tests.integration.machines import Machine
from tests.integration.prompt.sitting import brake, freeze
from tests.support.checkout import ROOT
from tests.support.raw_client import DEADLINE_S
from tests.support.repl.screen import CTRL_C, ENTER, Screen

__all__ = ["Seat", "leave_a_save"]

IGNORED: Final = ("NO_COLOR", "PROMPT_TOOLKIT_NO_CPR")
LOOK_S: Final = 0.05
READ_BYTES: Final = 65536


class Seat:
    """The program at a terminal of this size, with its screen. Leaving the context ends it, if it has not ended."""

    def __init__(
        self, *arguments: str, columns: int = 80, rows: int = 24, terminal: str = "xterm-256color", **environment: str
    ) -> None:
        self.screen = Screen(columns, rows)
        self._ours, self._its = pty.openpty()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self.set_size(columns, rows)
        self.modes = self.terminal_modes
        self.screen.answer_with(self.type)
        inherited = {key: value for key, value in os.environ.items() if key not in IGNORED}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "repl", *arguments],
            cwd=ROOT,
            env=inherited | {"TERM": terminal, "LANG": "C.UTF-8"} | environment,
            preexec_fn=lambda: os.login_tty(self._its),
            pass_fds=(self._its,),
        )

    def __enter__(self) -> "Seat":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)
        os.close(self._its)

    @property
    def terminal_modes(self) -> list[Any]:
        return termios.tcgetattr(self._its)

    def set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._its, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def until(self, condition: Callable[[], bool], what: str, *, look_s: float = LOOK_S) -> None:
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"not seen: {what}\n{self.screen.text}"
            self.look(look_s)

    def look(self, wait_s: float = LOOK_S) -> None:
        """Show what is written meanwhile."""
        if select.select([self._ours], [], [], wait_s)[0]:
            self.screen.write(self._decoder.decode(os.read(self._ours, READ_BYTES)))

    def sees(self, pattern: str) -> re.Match[str]:
        """Wait until the screen matches."""
        self.until(lambda: re.search(pattern, self.screen.text) is not None, pattern)
        found = re.search(pattern, self.screen.text)
        assert found is not None
        return found

    def sees_line(self, line: str) -> None:
        """Wait until this stands between the prompt and the cursor."""

        def is_there() -> bool:
            row, column = self.screen.cursor
            return self.screen.lines[row].ljust(column)[:column] == f"hmp> {line}"

        self.until(is_there, f"the line {line!r}")

    def ends(self) -> int:
        """Wait for the end, and give the exit status."""
        self.until(lambda: self.process.poll() is not None, "the end")
        while select.select([self._ours], [], [], 0)[0]:
            self.look()
        return self.process.returncode


def leave_a_save(seat: Seat, slow: Machine) -> None:
    """Begin to save `new`, and do not wait for it: QEMU stands still in the middle until `thaw`."""
    seat.sees(r"running")
    brake(slow)
    seat.type("savevm new" + ENTER)
    seat.sees(r"savevm new .* the VM stands still for .*Ctrl-C: do not wait")
    freeze(slow)
    seat.type(CTRL_C)
    seat.sees("goes on in QEMU")
