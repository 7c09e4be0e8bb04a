"""The processes: QEMU in this process's place or as its child, and the proxy beside it.

The proxy is forked twice, so that it is nobody's child: QEMU must not find a child that it did not start. In a session of its
own, it does not get signals meant for QEMU's process group, such as those of a terminal or a time limit. It ends when QEMU
does.
"""

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NoReturn

__all__ = ["FAILED", "Parent", "become", "can_watch_processes", "close_all", "fork_proxy", "open_descriptors"]

# What Python has changed and a new program would inherit (see subprocess, restore_signals).
_CHANGED_SIGNALS: Final = (signal.SIGPIPE, signal.SIGXFSZ)
_PASSED_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# The proxy ends when QEMU ends, whatever else a terminal or a service manager sends to all processes.
_IGNORED_SIGNALS: Final = (*_PASSED_SIGNALS, signal.SIGQUIT)
# What the proxy writes to the parent if it ended QEMU because something that was asked for at the start has failed.
FAILED: Final = b"1"
_GO: Final = b"g"
_PR_SET_PDEATHSIG: Final = 1
_NOT_FOUND: Final = 127
_NOT_EXECUTABLE: Final = 126


def become(program: str, words: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Replace this process. words: begin with the program's name. A failure is reported as in a shell, and ends this
    process."""
    for number in _CHANGED_SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(program, list(words), dict(environment))
    except OSError as exc:
        sys.stderr.write(f"hmp-proxy: cannot run {program}: {exc.strerror}\n")
        sys.stderr.flush()
        os._exit(_NOT_FOUND if isinstance(exc, FileNotFoundError) else _NOT_EXECUTABLE)


def fork_proxy(serve: Callable[[], object], *, has_terminal: bool) -> None:
    """Run serve() in a process of its own, which is nobody's child. Returns in this process only, once the other one exists."""
    child = os.fork()
    if not child:  # pragma: no cover - the forked process; test_children.py looks at it from outside
        _fork_again(serve, has_terminal=has_terminal)
    with contextlib.suppress(ChildProcessError):  # if SIGCHLD is ignored, there is nobody to wait for
        os.waitpid(child, 0)


def _fork_again(serve: Callable[[], object], *, has_terminal: bool) -> NoReturn:  # pragma: no cover - in a forked process
    # Nothing of the parent's may run here: its exception handlers and exit handlers are its own.
    status = 1
    try:
        if not os.fork():
            if not has_terminal:
                os.setsid()
            for number in _IGNORED_SIGNALS:
                signal.signal(number, signal.SIG_IGN)
            serve()
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(status)


def can_watch_processes() -> bool:
    """Return whether the kernel has process descriptors (pidfd_open(2)), without which nobody's end is noticed."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def open_descriptors() -> set[int]:
    """Return the numbers of all open descriptors."""
    return {number for number in map(int, os.listdir("/proc/self/fd")) if _is_open(number)}


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:  # the one used for the listing itself
        return False
    return True


def close_all(numbers: Iterable[int]) -> None:
    """Close descriptors: whoever waits until QEMU has closed something must wait for QEMU only, and not for us."""
    for number in numbers:
        with contextlib.suppress(OSError):
            os.close(number)


class Parent:
    """This process, when it stands for QEMU, its child.

    Call `start`, fork the proxy, call `release`, and `end`. qemu: a pidfd of the child. own: a pidfd of this process; the proxy
    ends QEMU when this process has been killed. to_parent: the pipe to which the proxy writes FAILED, and which it closes when
    the parent no longer has to wait for it.
    """

    def __init__(self) -> None:
        # If our caller ignores SIGCHLD, so do all processes that it starts, and then the kernel keeps no exit status.
        self._of_children = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self.own = os.pidfd_open(os.getpid())
        self.qemu = -1
        self._child = 0
        self._wait, self._go_ahead = os.pipe()
        self._from_proxy, self.to_parent = os.pipe()

    def start(self, become_qemu: Callable[[], NoReturn]) -> None:
        """Fork QEMU, which waits for `release`. become_qemu: called in its process."""
        self._child = os.fork()
        if not self._child:  # pragma: no cover - the forked process; test_children.py looks at it from outside
            os.close(self._go_ahead)
            _die_with_parent()
            # End of file without the byte: the parent was killed before there was a proxy that would end QEMU with it.
            if os.read(self._wait, 1) != _GO:
                os._exit(_NOT_FOUND)
            signal.signal(signal.SIGCHLD, self._of_children)
            become_qemu()
        os.close(self._wait)
        self.qemu = os.pidfd_open(self._child)

    def leave_to_proxy(self) -> None:
        """In the proxy's process, close what belongs to the parent."""
        close_all((self._go_ahead, self._from_proxy))

    def release(self) -> None:
        """Let QEMU begin, and pass signals on to it from now on.

        They are passed on although nohup(1) has them ignored: QEMU handles them all the same (os_setup_signal_handling in
        os-posix.c), once it has begun.
        """
        for number in _PASSED_SIGNALS:
            signal.signal(number, self._pass_on)
        os.close(self.to_parent)
        os.write(self._go_ahead, _GO)
        os.close(self._go_ahead)

    def wait(self) -> int:
        """Wait for QEMU and for the proxy. Return the status to end with, negative for a signal."""
        _, status = os.waitpid(self._child, 0)
        has_failed = os.read(self._from_proxy, 1) == FAILED
        return 1 if has_failed else os.waitstatus_to_exitcode(status)

    def end(self) -> NoReturn:  # pragma: no cover - test_children.py has it end a process of its own
        """Wait for QEMU and for the proxy, and end as QEMU has ended."""
        code = self.wait()
        if code < 0:
            _die_by(-code)
        os._exit(code)

    def _pass_on(self, number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.qemu, number)


def _die_with_parent() -> None:  # pragma: no cover - in a forked process
    """Have this process killed when its parent ends (prctl(2), PR_SET_PDEATHSIG). That survives exec, but not a change of user.

    QEMU changes its user for `-runas`; then only the proxy ends it.
    """
    import ctypes  # here, because QEMU is seldom a child

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _die_by(number: int) -> NoReturn:  # pragma: no cover - test_children.py has it end a process of its own
    """End by a signal, without a core dump: QEMU has left one already."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):  # SIGKILL's action cannot be changed
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    raise AssertionError("the signal that has ended QEMU ends a process")
