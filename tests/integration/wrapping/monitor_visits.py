"""A QEMU of which every monitor is asked something where the command line has it: what a tool sees of a start, and of the end.

Both starts of a comparison run in the same folder with the same descriptors, one after the other.
"""

import os
import select
import shutil
import signal
import socket
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, assert_never

from proxy.qemu_command_line.command_line import CommandLine, read
from proxy.qemu_command_line.endpoints import Descriptor, Endpoint, Refused, Stdio, TCPSocket, UnixSocket, Version, verdict_on
from proxy.qemu_command_line.monitors import Kind, Monitor
from tests.integration.qemu_vm import IDLE_ROM, RETRY_S
from tests.integration.wrapping.monitor_lines import CONFIG_FILES, IDLE_BIOS, Places
from tests.integration.wrapping.monitor_talk import Talk
from tests.integration.wrapping.wrapped_qemu import EndedError, Started, accepted, connected
from tests.support.raw_client import DEADLINE_S

__all__ = ["Visit", "read_in", "visit", "visited_in"]

# The same in both starts, because they stand on the command line. A program that is tested has none of these open.
_LISTENING, _CONNECTED, _FILE, _CONTROL = 150, 151, 152, 153
# Below those that the system chooses. Each process has some of its own, since QEMU may listen at all addresses.
_PORTS: Final = range(20_000, 32_000, 40)
_CONTROL_FILE: Final = f"""
[chardev "test"]
  backend = "socket"
  fd = "{_CONTROL}"
[mon "test"]
  chardev = "test"
  mode = "control"
"""
_CONTROL_LABEL: Final = "the test's own"


@dataclass(frozen=True, slots=True)
class Visit:
    """What was seen.

    Attributes:
        said: what each monitor has said, by its label; empty if QEMU ended by itself.
        last: what each has said since it was to end.
        command: QEMU's words with the program, as the system has them.
        modes: the permissions of each socket's file while QEMU ran.
        status: of the process that was started.
        files: what is left in the folder, each with whether it is a socket.
    """

    said: Mapping[str, bytes] = field(default_factory=dict)
    last: Mapping[str, bytes] = field(default_factory=dict)
    command: Sequence[str] = ()
    modes: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None
    stdout: str = ""
    stderr: str = ""
    files: Mapping[str, bool] = field(default_factory=dict)


class _Scene:
    """What is around a QEMU: its folder, sockets that it inherits, and those to which it connects."""

    def __init__(self, places: Places, stack: ExitStack) -> None:
        self.places = places
        self._stack = stack
        self._handed = stack.enter_context(ExitStack())
        for name, text in CONFIG_FILES.items():
            (places.folder / name).write_text(text)
        (places.folder / IDLE_BIOS).write_bytes(IDLE_ROM)
        self.dialed = {name: self._listen(str(places.folder / name)) for name in ("c0", "c1", "c10", "c11", "c12")}
        self.dialed_port = self._listen((places.host, places.dialed))
        with self._listen(str(places.folder / "inherited")) as listening:
            self._hand_over(listening.fileno(), _LISTENING)
        self.connected = self.pair(_CONNECTED)

    def _listen(self, address: str | tuple[str, int]) -> socket.socket:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        listener = self._stack.enter_context(socket.socket(family))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
        return listener

    def _hand_over(self, descriptor: int, number: int) -> None:
        os.dup2(descriptor, number)
        self._handed.callback(os.close, number)

    def pair(self, number: int) -> socket.socket:
        """Make a connection, and return the test's end; QEMU has that number for its own."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._hand_over(theirs.fileno(), number)
        return self._stack.enter_context(ours)

    def file(self, text: str) -> None:
        """Have QEMU inherit a file with this text."""
        file = os.memfd_create("configuration")
        os.write(file, text.encode())
        self._hand_over(file, _FILE)
        os.close(file)

    def leave(self) -> None:
        """Close what QEMU has by now, so that its end is seen."""
        self._handed.close()


@contextmanager
def visited_in() -> Iterator[Places]:
    """Have a folder for both starts, and places around it."""
    # A unix socket's path has few bytes, so not pytest's folder.
    folder = Path(tempfile.mkdtemp(prefix="w", dir="/tmp"))
    own = f"127.{os.getpid() >> 16 & 127}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
    port = _PORTS[os.getpid() % len(_PORTS)]
    try:
        yield Places(folder, _LISTENING, _CONNECTED, own, port + 1, port)
    finally:
        shutil.rmtree(folder)


def read_in(words: Sequence[str], version: Version = None) -> CommandLine:
    """Read a command line as it is read in the folder."""
    return read(words, CONFIG_FILES.get, version)


def visit(
    command: Sequence[str], words: Sequence[str], line: CommandLine, places: Places, environment: Mapping[str, str]
) -> Visit:
    """Start QEMU, ask each monitor, end it, and look at what is left.

    command: what stands in front of QEMU's words. line: those words, as they are read.
    """
    for path in places.folder.iterdir():
        path.unlink()
    talking = [monitor for monitor in map(_waited_for, line.monitors) if _has_client(monitor, places)]
    with ExitStack() as stack:
        scene = _Scene(places, stack)
        inherited = [_LISTENING, _CONNECTED]
        control: socket.socket | None = None
        # Nobody else can tell when QEMU is there.
        if not talking:
            control = scene.pair(_CONTROL)
            scene.file(_CONTROL_FILE)
            inherited += [_FILE, _CONTROL]
            words = ["-readconfig", f"/dev/fd/{_FILE}", *words]
        qemu = stack.enter_context(Started([*command, *words], places.folder, inherited, environment))
        stack.callback(_end_in_background, places.folder)
        scene.leave()
        return _visited(qemu, scene, talking, control)


def _waited_for(monitor: Monitor) -> Monitor:
    """Return a monitor that QEMU refuses with the client for whom it waits before, if it does."""
    device = Refused() if monitor.chardev is None else verdict_on(monitor.chardev, has_display=False)
    is_waited_for = isinstance(device, Endpoint) and device.waits
    return replace(monitor, verdict=device) if is_waited_for else monitor


def _has_client(monitor: Monitor, places: Places) -> bool:
    endpoint = monitor.verdict
    if not isinstance(endpoint, Endpoint):
        return False
    match endpoint.address:
        case UnixSocket(path):
            return not Path(path).name.startswith("n")
        case Descriptor(number):
            return number == (places.listening if endpoint.listens else places.connected)
    return True


def _visited(qemu: Started, scene: _Scene, monitors: Sequence[Monitor], control: socket.socket | None) -> Visit:
    try:
        talks = _talks(qemu, scene, monitors)
        if control is not None:
            talks[_CONTROL_LABEL] = Talk(Kind.QMP, control.fileno(), control.fileno())
        for talk in talks.values():
            talk.ask()
        pid = _pid(qemu, scene.places.folder)
        command = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
        modes = {name: stat.filemode(mode) for name, mode in _modes(scene.places.folder).items() if stat.S_ISSOCK(mode)}
        process = os.pidfd_open(pid)
        try:
            said = {label: talk.said() for label, talk in talks.items()}
            next(iter(talks.values())).quit()
            last = {label: talk.last() for label, talk in talks.items()}
            assert select.select([process], [], [], DEADLINE_S)[0], "QEMU does not end"
        finally:
            os.close(process)
    except EndedError:
        said, last, command, modes = {}, {}, [], {}
    stdout, stderr = qemu.process.communicate(timeout=DEADLINE_S)
    if any(_is_at_stdio(monitor) for monitor in monitors):
        stdout = b""  # it is what the monitor has said, or the beginning of it
    _wait_until_nobody_is_in(scene.places.folder)
    files = {name: stat.S_ISSOCK(mode) for name, mode in _modes(scene.places.folder).items()}
    return Visit(said, last, command, modes, qemu.process.returncode, stdout.decode(), stderr.decode(), files)


def _is_at_stdio(monitor: Monitor) -> bool:
    return isinstance(monitor.verdict, Endpoint) and isinstance(monitor.verdict.address, Stdio)


def _talks(qemu: Started, scene: _Scene, monitors: Sequence[Monitor]) -> dict[str, Talk]:
    """Come to each monitor, and first to those for whose clients QEMU waits. Raises EndedError."""

    def order(monitor: Monitor) -> tuple[bool, int]:
        option = monitor.definition or monitor.option
        waits = isinstance(monitor.verdict, Endpoint) and monitor.verdict.waits
        return not waits, 0 if option is None else option.at

    talks = {}
    for monitor in sorted(monitors, key=order):
        assert isinstance(monitor.verdict, Endpoint)
        talks[monitor.label] = Talk(monitor.kind, *_came_to(qemu, scene, monitor.verdict))
    return talks


def _came_to(qemu: Started, scene: _Scene, endpoint: Endpoint) -> tuple[int, int]:
    """Return the descriptors for reading and writing."""
    folder, client = scene.places.folder, None
    match endpoint.address:
        case UnixSocket(path) if endpoint.listens:
            client = connected(qemu, str(folder / path))
        case UnixSocket(path):
            client = accepted(qemu, scene.dialed[Path(path).name])
        case TCPSocket(host, port) if endpoint.listens:
            client = connected(qemu, (host or "127.0.0.1", int(port)))
        case TCPSocket():
            client = accepted(qemu, scene.dialed_port)
        case Descriptor() if endpoint.listens:
            client = connected(qemu, str(folder / "inherited"))
        case Descriptor():
            client = scene.connected
        case Stdio():
            assert qemu.process.stdin is not None
            assert qemu.process.stdout is not None
            return qemu.process.stdout.fileno(), qemu.process.stdin.fileno()
        case _:
            assert_never(endpoint.address)
    if client is None:
        raise EndedError
    return client.fileno(), client.fileno()


def _pid(qemu: Started, folder: Path) -> int:
    """Return QEMU's process; one that went into the background has written it down."""
    if not qemu.daemonizes:
        return qemu.process.pid
    assert qemu.process.wait(DEADLINE_S) == 0
    return int((folder / "pid").read_text())


def _end_in_background(folder: Path) -> None:
    """Kill a QEMU that has gone there, where it has not ended by itself."""
    with suppress(OSError):
        pid = int((folder / "pid").read_text())
        if "-daemonize" in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
            os.kill(pid, signal.SIGKILL)


def _modes(folder: Path) -> dict[str, int]:
    return {path.name: path.lstat().st_mode for path in sorted(folder.iterdir())}


def _wait_until_nobody_is_in(folder: Path) -> None:
    """Wait for a proxy that stays a moment longer than QEMU."""
    deadline = time.monotonic() + DEADLINE_S
    while any(_cwd(pid) == str(folder) for pid in filter(str.isdigit, os.listdir("/proc"))):
        assert time.monotonic() < deadline, "somebody is still there"
        time.sleep(RETRY_S)


def _cwd(pid: str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return None
