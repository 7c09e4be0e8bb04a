"""From the call to QEMU's start: the command line is read, its monitors are opened, the proxy is forked, and QEMU begins."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from host.errors import ProgramError
from proxy.qemu_command_line.command_line import CommandLine, read
from proxy.qemu_command_line.endpoints import Descriptor, Endpoint, Stdio
from proxy.qemu_command_line.loadvm import LoadVM, find_loadvm
from proxy.qemu_command_line.monitors import Monitor
from proxy.qemu_command_line.options import walk
from proxy.wrapping.children import (
    Parent,
    become,
    can_watch_processes,
    close_all,
    fork_proxy,
    open_descriptors,
)
from proxy.wrapping.doors import Door, open_door
from proxy.wrapping.invocation import WrapInvocation, parse_wrap, read_call_as_qemu
from proxy.wrapping.qemu_name import is_name_of_qemu
from proxy.wrapping.qemu_program import find_qemu, mark_environment, refuse_circle, version_of
from proxy.wrapping.start import Start, prepare
from shim.printable import printable

if TYPE_CHECKING:  # the proxy's process has them
    from host.audit_log.log import AuditLog

__all__ = ["main", "wrap"]

_STANDARD_STREAMS: Final = frozenset({0, 1, 2})
# os-posix.c, os_daemonize
_UMASK_IN_BACKGROUND: Final = 0o027
# As in proxy/program.py.
_INTERRUPTED: Final = 130


def main(arguments: Sequence[str]) -> int:
    """Become QEMU. arguments: begin with the program's name. Returns an exit status if that fails."""
    _fill_standard_streams()
    try:
        if is_name_of_qemu(arguments[0]):
            invocation = read_call_as_qemu(arguments[0], arguments[1:], os.environ)
        else:
            invocation = parse_wrap(arguments[2:], os.environ)
        wrap(invocation, os.environ, arguments[0])
    except ProgramError as exc:
        _say(printable(str(exc)))
        return exc.exit_status
    except KeyboardInterrupt:
        return _INTERRUPTED


def wrap(invocation: WrapInvocation, environment: Mapping[str, str], own_path: str) -> NoReturn:
    """Start QEMU, and serve its monitors. own_path: of this program. Raises NoQEMUError or AuditError before that."""
    refuse_circle(environment)
    program = invocation.qemu or find_qemu(invocation.name, environment, own_path)
    _Wrapper(invocation, program, environment).run()


@dataclass(frozen=True, slots=True)
class _Opened:
    """What was opened for a command line: its doors, and what QEMU is started with."""

    doors: list[Door]
    start: Start

    @property
    def has_terminal(self) -> bool:
        """Whether a monitor is on a terminal."""
        return any(isinstance(door.endpoint.address, Stdio) and os.isatty(0) for door in self.doors)

    @property
    def has_descriptor(self) -> bool:
        """Whether a monitor's socket was inherited, from a caller that keeps track of QEMU's process (libvirt)."""
        return any(door.descriptor is not None for door in self.doors)

    def close(self) -> None:
        """Close it all in this process: the proxy has it."""
        self.start.close()
        for sock in (sock for door in self.doors for sock in door.sockets):
            sock.close()


class _Wrapper:
    """One start."""

    def __init__(self, invocation: WrapInvocation, program: str, environment: Mapping[str, str]) -> None:
        self._invocation = invocation
        self._program = program
        self._environment = environment
        self._name = os.path.basename(invocation.name)
        # The descriptors that our caller has handed to QEMU.
        self._inherited = open_descriptors() - _STANDARD_STREAMS

    def run(self) -> NoReturn:
        load = self._find_load()
        line = self._read(self._invocation.words if load is None else load.words)
        if line.untouched is not None and not (load is not None and line.can_be_controlled):
            self._run_as_it_came(line.notice)
        if not can_watch_processes():
            self._run_as_it_came("not covered by the proxy: this Linux is older than 5.3, and has no pidfd_open")
        audit_log = self._open_audit_log()
        try:
            opened = self._open(line)
        except OSError as exc:
            # QEMU reports in its own words what it cannot open; what only we cannot open, nobody else would report.
            self._run_as_it_came(f"not covered by the proxy: {exc.strerror or exc}")
        if line.notice is not None:
            _say(line.notice)
        self._start(opened, load, audit_log)

    def _find_load(self) -> LoadVM | None:
        """Return what `-loadvm` asks for; None if QEMU is to do it itself."""
        config, load = self._invocation.config, find_loadvm(self._invocation.words)
        if load is None or load.excluded_by is not None:
            return None
        from shim.graph.policy import Mode  # here, because most starts load nothing
        from shim.hmp.quoting import quote_tag

        if quote_tag(load.tag) is None:
            return None
        return None if config is not None and config.policy.mode is Mode.OBSERVE else load

    def _read(self, words: Sequence[str]) -> CommandLine:
        line = read(words, _read_text)
        if line.depends_on_version and line.served:
            line = read(words, _read_text, version_of(self._program))
        return line

    def _run_as_it_came(self, notice: str | None) -> NoReturn:
        if notice is not None:
            _say(notice)
        self._become(self._invocation.words)

    def _become(self, words: Sequence[str]) -> NoReturn:
        become(self._program, [self._invocation.name, *words], mark_environment(self._program, self._environment))

    def _open_audit_log(self) -> "AuditLog | None":
        config = self._invocation.config
        if config is None or config.audit is None:
            return None
        from host.audit_log.log import open_audit_log  # here, because most starts have no log

        return open_audit_log(config.audit)

    def _open(self, line: CommandLine) -> _Opened:
        """Open everything, or nothing. Raises OSError."""
        doors: list[Door] = []
        with ExitStack() as undone:
            with _umask_of_qemu(line.words):
                for monitor in _in_order(line):
                    doors.append(open_door(monitor))
                    undone.callback(doors[-1].close)
            start = prepare(line)
            undone.callback(start.close)
            for door in doors:
                if door.endpoint.waits:
                    self._wait_at(door)
            undone.pop_all()
        return _Opened(doors, start)

    def _wait_at(self, door: Door) -> None:
        """Wait for a client before QEMU starts, and say so as QEMU does (tcp_chr_wait_connected)."""
        option = door.monitor.definition or door.monitor.option
        sys.stderr.write(f"{self._name}: {option}: info: QEMU waiting for connection on: disconnected:{door}\n")
        sys.stderr.flush()
        door.accept_first()

    def _start(self, opened: _Opened, load: LoadVM | None, audit_log: "AuditLog | None") -> NoReturn:
        for door in opened.doors:
            if door.descriptor is not None:
                os.set_inheritable(door.descriptor, False)
        if opened.has_terminal or (load is not None and not opened.has_descriptor):
            self._start_as_child(opened, load, audit_log)
        qemu = os.pidfd_open(os.getpid())
        serve = self._serving(opened, load, audit_log, qemu, None)
        fork_proxy(serve, has_terminal=False)
        self._become(opened.start.words)

    def _start_as_child(self, opened: _Opened, load: LoadVM | None, audit_log: "AuditLog | None") -> NoReturn:
        parent = Parent()
        parent.start(lambda: self._become(opened.start.words))
        fork_proxy(self._serving(opened, load, audit_log, parent.qemu, parent), has_terminal=opened.has_terminal)
        opened.close()
        parent.release()
        parent.end()

    def _serving(
        self, opened: _Opened, load: LoadVM | None, audit_log: "AuditLog | None", qemu: int, parent: Parent | None
    ) -> Callable[[], None]:
        """Return the function that runs in the proxy's process."""
        starter, uid = os.getppid(), os.getuid()
        has_terminal = opened.has_terminal

        def serve() -> None:  # pragma: no cover - in a process of its own: test_wrapped_processes_on_qemu.py
            close_all(self._inherited)
            opened.start.close_inherited()
            if parent is not None:
                parent.leave_to_proxy()
            import proxy.lean_start  # noqa: F401 - before asyncio

            # isort: split
            from host.net.addresses import process
            from proxy.wrapping.loading import Load
            from proxy.wrapping.serving import Serving

            Serving(
                self._invocation,
                opened.start,
                opened.doors,
                process(starter, uid),
                self._name,
                qemu,
                parent=parent,
                load=None if load is None else Load(load.tag, load.stays_paused),
                audit_log=audit_log,
                detaches=_daemonizes(self._invocation.words),
                has_terminal=has_terminal,
            ).run()

        return serve


def _in_order(line: CommandLine) -> list[Monitor]:
    """Return the served monitors in the order in which QEMU opens their character devices, inherited sockets first.

    QEMU may run on with an inherited socket that we cannot use, and then no client may have come to a door already.
    """

    def place(monitor: Monitor) -> tuple[bool, int]:
        is_inherited = isinstance(monitor.verdict, Endpoint) and isinstance(monitor.verdict.address, Descriptor)
        option = monitor.definition or monitor.option
        return not is_inherited, -1 if option is None else option.at

    return sorted(line.served, key=place)


def _daemonizes(words: Sequence[str]) -> bool:
    return any(option.name == "daemonize" for option in walk(words))


@contextmanager
def _umask_of_qemu(words: Sequence[str]) -> Iterator[None]:
    """Set the umask with which QEMU creates its sockets' files."""
    if not _daemonizes(words):
        yield
        return
    before = os.umask(_UMASK_IN_BACKGROUND)
    try:
        yield
    finally:
        os.umask(before)


def _fill_standard_streams() -> None:
    """Make sure that descriptors 0 to 2 are open, or whatever is opened next would become a standard stream.

    Our caller may have closed them (`nohup QEMU <&- >&-`), and QEMU would then find them closed.
    """
    while (number := os.open(os.devnull, os.O_RDWR)) in _STANDARD_STREAMS:
        pass
    os.close(number)
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - for as long as this process runs


def _say(notice: str) -> None:
    sys.stderr.write(f"hmp-proxy: {notice}\n")
    sys.stderr.flush()


def _read_text(path: str) -> str | None:
    """Read a file for `-readconfig`. What can be read only once is left to QEMU."""
    if not os.path.isfile(path):
        return None
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return None
