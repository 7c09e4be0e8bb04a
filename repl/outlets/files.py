"""A text in a file, written on a thread: a disk may take any time, and waiting for it cannot be interrupted.

As in a shell, `>` overwrites a file, follows links, and keeps its owner and mode. A named pipe that nobody reads is an error,
where a shell would wait for a reader.
"""

import errno
import os
import stat
from dataclasses import dataclass
from typing import Final

from host.errors import ProgramError
from repl.outlets.redirection import ToFile

__all__ = ["FileError", "Written", "write"]

# Do not wait for the other end of a named pipe, and do not make a terminal the controlling one.
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class FileError(ProgramError):
    """A file could not be written, or not completely."""

    template = "cannot write {subject}: {reason}"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written. replaced: how many bytes of earlier content were overwritten."""

    path: str
    lines: int
    appends: bool
    replaced: int

    def __str__(self) -> str:
        lines = "1 line" if self.lines == 1 else f"{self.lines} lines"
        if self.appends:
            return f"{lines} appended to {self.path}"
        over = f", over the {self.replaced} bytes that were there" if self.replaced else ""
        return f"{lines} written to {self.path}{over}"


def write(target: ToFile, text: str) -> Written:
    """Write a text unchanged. Raises FileError."""
    path = os.path.expanduser(target.path)
    data = memoryview(text.encode(errors="surrogatepass"))
    done = replaced = 0
    try:
        descriptor = os.open(path, _FLAGS | (os.O_APPEND if target.appends else 0), 0o666)
        # Closed within the try, because a file on a network may report its last error only then.
        with open(descriptor, "wb", buffering=0) as file:
            os.set_blocking(descriptor, True)
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and not target.appends:
                replaced = status.st_size
                os.ftruncate(descriptor, 0)
            while done < len(data):
                done += file.write(data[done:])
    except (OSError, ValueError) as exc:
        raise FileError(target.path, _reason(exc, done, len(data))) from exc
    return Written(target.path, text.count("\n"), target.appends, replaced)


def _reason(error: OSError | ValueError, done: int, of: int) -> str:
    if not isinstance(error, OSError):
        return str(error)
    reason = "nobody reads it" if error.errno == errno.ENXIO else error.strerror
    return f"{reason}; only {done} of {of} bytes were written" if done else f"{reason}"
