"""`hmp-audit follow`: shows each record as it is written, even across the log's rotation."""

import contextlib
import io
import os
import select
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TextIO, TypeAlias

from audit.errors import DamagedLine, SourceError
from audit.lines import Lines, details, paint
from audit.log.reading import decode, modernize
from audit.log.schema import problems
from audit.log.sources import MAX_LINE_BYTES, STANDARD_INPUT
from shim.printable import printable

__all__ = ["QUIET_READS", "LineSplitter", "StreamTail", "Tail", "follow"]

INTERRUPTED: Final = 130
_STANDARD_INPUT_FD: Final = 0
_POLL_MS: Final = 200
_READ_BYTES: Final = 64 * 1024
# A moved log is still read until this many reads have found nothing (at least 8 s): its writers open the new log one after the
# other, and logrotate creates it before it tells them (logrotate(8), create and postrotate).
QUIET_READS: Final = 40
# The most files to keep open. Nobody follows a log that is rotated faster than this.
_MOST_FILES: Final = 8


class LineSplitter:
    """Joins pieces to whole lines. A line that is too long for a record is cut, as Source does."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that end in this piece, without their line ends."""
        first, *others = data.split(b"\n")
        self._add(first)
        lines = []
        for part in others:
            lines.append(self.take_rest())
            self._add(part)
        return lines

    def take_rest(self) -> bytes:
        """Return what has no line end yet, and start over."""
        rest, self._rest = bytes(self._rest), bytearray()
        return rest

    def _add(self, part: bytes) -> None:
        self._rest += part[: MAX_LINE_BYTES - len(self._rest)]


class _File:
    """An open regular file, and how far it was read."""

    def __init__(self, descriptor: int, position: int = 0) -> None:
        self._descriptor = descriptor
        self._splitter = LineSplitter()
        self.position = position
        # How many reads in a row have found nothing.
        self.quiet_reads = 0

    def read(self) -> list[bytes]:
        """Return the next whole lines, [] if there are none yet. Raises OSError."""
        if os.fstat(self._descriptor).st_size < self.position:
            self.position = 0
            self._splitter.take_rest()
        while data := os.pread(self._descriptor, _READ_BYTES, self.position):
            self.position += len(data)
            if lines := self._splitter.feed(data):
                self.quiet_reads = 0
                return lines
        self.quiet_reads += 1
        return []

    def is_same(self, status: os.stat_result) -> bool:
        return os.path.samestat(os.fstat(self._descriptor), status)

    def close(self) -> list[bytes]:
        """Close the file, and return its last line if that is not whole."""
        os.close(self._descriptor)
        rest = self._splitter.take_rest()
        return [rest] if rest else []


class Tail:
    """The lines of a file that grows, is moved away and created anew, or is truncated. Nothing here waits.

    last: how many of the existing lines to begin with. A file that does not exist yet is read from its beginning.
    """

    is_over: Final = False
    input_fd: Final = None

    def __init__(self, path: str, *, last: int) -> None:
        """Open the file. Raises SourceError if it exists and cannot be opened."""
        self._path = path
        # Moved files first, each before the one that replaced it.
        self._files: list[_File] = []
        self._open_newest(last)

    @property
    def is_missing(self) -> bool:
        """Return whether the file has not existed yet."""
        return not self._files

    def read(self) -> list[bytes]:
        """Return the next lines, without line ends; [] if nothing was written since. Raises SourceError."""
        try:
            self._open_newest()
            for file in self._files:
                if lines := file.read():
                    return lines
        except OSError as exc:
            raise SourceError(self._path, exc.strerror or str(exc)) from exc
        return self._retire()

    def close(self) -> None:
        while self._files:
            self._files.pop().close()

    def _open_newest(self, last: int | None = None) -> None:
        try:
            status = os.stat(self._path)
            if any(file.is_same(status) for file in self._files):
                return
            # If it is a FIFO, opening it must not wait for a writer.
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise SourceError(self._path, exc.strerror or str(exc)) from exc
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise SourceError(self._path, "it is not a file")
        self._files.append(_File(descriptor, 0 if last is None else _start_of_last(descriptor, last)))

    def _retire(self) -> list[bytes]:
        """Close moved files that nobody writes to any more, and return their unfinished last lines."""
        lines = []
        for file in self._files[:-1]:
            is_finished = file.quiet_reads >= QUIET_READS and self._files[-1].position > 0
            if is_finished or len(self._files) > _MOST_FILES:
                self._files.remove(file)
                lines += file.close()
        return lines


def _start_of_last(descriptor: int, count: int) -> int:
    """Return the position where the last `count` whole lines begin."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        begin = max(0, end - _READ_BYTES)
        data = os.pread(descriptor, end - begin, begin)
        at = len(data)
        while (at := data.rfind(b"\n", 0, at)) >= 0:
            count -= 1
            if count < 0:
                return begin + at + 1
        end = begin
    return 0


class StreamTail:
    """The lines of a pipe, as they arrive. Nothing here waits. is_over: whether its end was read."""

    is_missing: Final = False

    def __init__(self, name: str, descriptor: int) -> None:
        self._name = name
        self._splitter = LineSplitter()
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)
        self.input_fd = descriptor
        self.is_over = False

    def read(self) -> list[bytes]:
        """Return the next lines, without line ends; [] if nothing has arrived since. Raises SourceError."""
        try:
            while self._poll.poll(0):
                data = os.read(self.input_fd, _READ_BYTES)
                if not data:
                    self.is_over = True
                    rest = self._splitter.take_rest()
                    return [rest] if rest else []
                if lines := self._splitter.feed(data):
                    return lines
        except OSError as exc:
            raise SourceError(self._name, exc.strerror or str(exc)) from exc
        return []

    def close(self) -> None:
        if self.input_fd != _STANDARD_INPUT_FD:
            os.close(self.input_fd)


_Tail: TypeAlias = Tail | StreamTail


@dataclass(frozen=True, slots=True)
class _View:
    """How lines of the log are shown."""

    lines: Lines
    has_details: bool

    def text(self, line: bytes) -> str:
        try:
            record = decode(line)
            wrong = problems(record)
        except DamagedLine as exc:
            wrong = [str(exc)]
        if wrong:
            return paint(f"damaged line: {printable(wrong[0])}", "failure", is_coloured=self.lines.is_coloured)
        return details(record) if self.has_details else self.lines.give(modernize(record))


def follow(
    path: str,
    output: TextIO,
    complain: Callable[[str], object],
    *,
    last: int,
    has_details: bool = False,
    is_coloured: bool = False,
    wait: Callable[[], object] | None = None,
) -> int:
    """Show the last records and each new one; return the exit status after Ctrl-C, or when nobody reads the output any more.

    path: `-` is standard input, whose records are all shown, and whose end ends this. complain: called with a sentence without
    a line end. wait: returns when it is time to look again, and raises BrokenPipeError if nobody reads the output. Raises
    SourceError.
    """
    tail = _open(path, last)
    try:
        _show(tail, output, _View(Lines(is_coloured), has_details), wait or _waiting(tail, output), complain, path)
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        _discard(output)
        return 0
    finally:
        tail.close()


def _open(path: str, last: int) -> _Tail:
    if path == STANDARD_INPUT:
        return StreamTail("standard input", _STANDARD_INPUT_FD)
    try:
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
            return StreamTail(path, os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as exc:
        raise SourceError(path, exc.strerror or str(exc)) from exc
    return Tail(path, last=last)


def _show(
    tail: _Tail, output: TextIO, view: _View, wait: Callable[[], object], complain: Callable[[str], object], path: str
) -> None:
    if tail.is_missing:
        complain(f"{printable(path)} is not there yet; waiting for it")
    while not tail.is_over:
        if lines := [line for line in tail.read() if line.strip()]:
            output.write("".join(f"{view.text(line)}\n" for line in lines))
            output.flush()
        elif not tail.is_over:
            wait()


def _waiting(tail: _Tail, output: TextIO) -> Callable[[], None]:
    """Return a function that waits, but not longer than until the pipe has data, or until nobody reads the output any more."""
    poll, output_fd = select.poll(), output.fileno()
    # Errors and hang-ups are always reported (poll(2)).
    poll.register(output_fd, 0)
    if tail.input_fd is not None:
        poll.register(tail.input_fd, select.POLLIN)

    def wait() -> None:
        if any(descriptor == output_fd for descriptor, _ in poll.poll(_POLL_MS)):
            raise BrokenPipeError

    return wait


def _discard(output: TextIO) -> None:
    """Redirect the output to /dev/null, so that Python's flush of the buffer at exit does not fail."""
    with contextlib.suppress(io.UnsupportedOperation):
        output_fd = output.fileno()
        null = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        os.dup2(null, output_fd)
        os.close(null)
