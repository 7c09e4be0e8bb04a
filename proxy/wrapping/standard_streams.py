"""Standard input and output as a client's connection, even if standard input is a file: `-monitor stdio </dev/null`."""

import errno
import os
import select
from typing import Final

from proxy.net.ends import End, PipeEnd

__all__ = ["standard_end"]

_INPUT: Final = 0
_OUTPUT: Final = 1


class _StandardEnd(PipeEnd):
    """A client at the standard streams: it gets events until QEMU ends, even when there is no more input."""

    ends_with_input = False


class _FileEnd(_StandardEnd):
    """A file as input. epoll(7) takes no files, so an eventfd that is always readable stands for it."""

    def __init__(self, read_fd: int, write_fd: int) -> None:
        super().__init__(read_fd, write_fd)
        self._always_readable = os.eventfd(1, os.EFD_CLOEXEC)

    def read_fd(self) -> int:
        return self._always_readable

    def close(self) -> None:
        super().close()
        os.close(self._always_readable)


def standard_end() -> End:
    """Return an end on copies of standard input and output; the originals stay open after the client's end."""
    make_end = _StandardEnd if _can_be_waited_for(_INPUT) else _FileEnd
    return make_end(os.dup(_INPUT), os.dup(_OUTPUT))


def _can_be_waited_for(number: int) -> bool:
    with select.epoll() as poll:
        try:
            poll.register(number, 0)
        except OSError as exc:
            return exc.errno != errno.EPERM
    return True
