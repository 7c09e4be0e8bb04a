"""A monitor of a wrapped QEMU at standard input and output: at a terminal as QEMU keeps one, and at pipes."""

import json
import os
import pty
import signal
import subprocess
import termios
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import pytest

from tests.integration.waiting import until
from tests.integration.wrapping.wrapped_process import HMP, QMP, WAYS, Place, ended
from tests.integration.wrapping.wrapped_qemu import bytes_of
from tests.support.raw_client import DEADLINE_S

EACH_WAY = pytest.mark.parametrize("way", WAYS)


class Terminal:
    """A terminal with QEMU at it."""

    def __init__(self, place: Place, way: str, words: str) -> None:
        self._ours, self._its = pty.openpty()
        # With Ctrl-C, the kernel sends the signal and then drops what is on its way to the screen: QEMU may be that quick.
        modes = self.modes
        modes[3] |= termios.NOFLSH
        termios.tcsetattr(self._its, termios.TCSANOW, modes)
        self.before = self.modes
        its = self._its
        self.process = place.start(
            way, words, stdin=its, stdout=its, stderr=its, preexec_fn=lambda: os.login_tty(its), pass_fds=(its,)
        )
        self._read = bytes_of(self._ours)
        self.seen = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._ours)
        os.close(self._its)

    @property
    def modes(self) -> list[Any]:
        return termios.tcgetattr(self._its)

    @property
    def is_blocking(self) -> bool:
        return os.get_blocking(self._its)

    def type(self, text: bytes) -> None:
        os.write(self._ours, text)

    def wait_ready(self) -> None:
        """Wait until QEMU hears signals, which it may not yet when its prompt is there."""
        self.wait_for(b"(qemu) ")
        self.type(b"info status\r")
        self.wait_for(b"VM status: running")
        self.wait_for(b"(qemu) ")

    def hang_up(self) -> None:
        os.close(self._ours)
        self._ours = os.dup(self._its)

    def wait_for(self, text: bytes) -> None:
        """Wait until this is on the terminal, after what was waited for before."""
        while text not in self.seen:
            self.seen += self._read()
        self.seen = self.seen.partition(text)[2]


@pytest.fixture
def place() -> Iterator[Place]:
    with Place() as place:
        yield place


@EACH_WAY
def test_terminal_is_in_order_when_the_process_has_ended(place: Place, way: str) -> None:
    with Terminal(place, way, "-monitor stdio") as terminal:
        terminal.wait_ready()
        assert not terminal.modes[3] & (termios.ECHO | termios.ICANON)
        assert terminal.modes[3] & termios.ISIG
        terminal.type(b"quit\r")
        assert terminal.process.wait(DEADLINE_S) == 0
        assert terminal.modes == terminal.before
        assert terminal.is_blocking
    place.wait_gone()


def test_modes_are_those_of_qemu(place: Place) -> None:
    found = []
    for way in WAYS:
        with Terminal(place, way, "-monitor stdio") as terminal:
            terminal.wait_for(b"(qemu) ")
            found.append(terminal.modes)
            terminal.type(b"quit\r")
            assert terminal.process.wait(DEADLINE_S) == 0
    assert found[0] == found[1]


@EACH_WAY
def test_interrupt_at_the_terminal_ends_it_in_order(place: Place, way: str) -> None:
    with Terminal(place, way, "-monitor stdio") as terminal:
        terminal.wait_ready()
        terminal.type(b"\x03")
        terminal.wait_for(b"terminating on signal 2")
        assert terminal.process.wait(DEADLINE_S) == 0
        assert terminal.modes == terminal.before
    place.wait_gone()


@EACH_WAY
def test_qmp_leaves_the_modes_alone(place: Place, way: str) -> None:
    with Terminal(place, way, "-qmp stdio") as terminal:
        terminal.wait_for(b'{"QMP"')
        assert terminal.modes == terminal.before
        terminal.type(b'{"execute": "qmp_capabilities"} {"execute": "quit"}\n')
        assert terminal.process.wait(DEADLINE_S) == 0
        assert terminal.modes == terminal.before
    place.wait_gone()


@EACH_WAY
def test_killed_process_at_a_terminal_leaves_nobody(place: Place, way: str) -> None:
    with Terminal(place, way, "-monitor stdio") as terminal:
        terminal.wait_for(b"(qemu) ")
        terminal.process.kill()
        assert terminal.process.wait(DEADLINE_S) == -signal.SIGKILL
        place.wait_gone()


@EACH_WAY
def test_hang_up_of_the_terminal_ends_it(place: Place, way: str) -> None:
    with Terminal(place, way, "-monitor stdio") as terminal:
        terminal.wait_ready()
        terminal.hang_up()
        assert terminal.process.wait(DEADLINE_S) == 0
    place.wait_gone()


@pytest.mark.parametrize("option", ["-monitor", "-qmp"])
@pytest.mark.parametrize("name", ["/dev/null", "typed"])
@EACH_WAY
def test_file_at_standard_input_is_read(place: Place, way: str, name: str, option: str) -> None:
    """A service has none; its end is not QEMU's."""
    place.path("typed").write_text("quit\n" if option == "-monitor" else '{"execute": "qmp_capabilities"} {"execute": "quit"}')
    with place.path(name).open() as file:
        process = place.start(way, f"{option} stdio -chardev socket,id=h,path=h,server=on,wait=off -mon h", stdin=file)
    if name == "/dev/null":
        with place.connect("h") as person:
            assert b"monitor - type 'help'" in person.socket.recv(4096)
            process.terminate()
    code, stdout, _ = ended(process)
    assert code == 0
    assert ("monitor - type 'help'" if option == "-monitor" else '"QMP"') in stdout
    place.wait_gone()


@EACH_WAY
def test_closed_standard_streams_are_nothing(place: Place, way: str) -> None:
    process = place.start(way, QMP, preexec_fn=lambda: os.closerange(0, 3))
    with place.negotiated() as client:
        assert client.returned("query-status")["status"] == "running"
        client.returned("quit")
    assert process.wait(DEADLINE_S) == 0
    place.wait_gone()


@EACH_WAY
def test_ends_of_children_may_be_ignored(place: Place, way: str) -> None:
    """By whoever starts QEMU, for all that it starts."""
    process = place.start(way, QMP, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    with place.negotiated() as client:
        client.returned("quit")
    assert ended(process) == (0, "", "")


@EACH_WAY
def test_pipes_of_a_parent_are_a_client(place: Place, way: str) -> None:
    """As multipass has it. Its end is not QEMU's."""
    process = place.start(way, f"-qmp stdio {HMP}", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert b'"QMP"' in process.stdout.readline()
    process.stdin.write(b'{"execute": "qmp_capabilities"}\n')
    process.stdin.flush()
    assert process.stdout.readline().split() == [b'{"return":', b"{}}"]
    process.stdin.close()
    process.stdin = None
    with place.connect("h") as person:
        assert b"monitor - type 'help'" in person.socket.recv(4096)
        assert place.qemus() == [process.pid]
        process.terminate()
    code, _, stderr = ended(process)
    assert code == 0
    assert "terminating on signal 15" in stderr
    until(lambda: not place.processes())


@EACH_WAY
def test_client_whose_input_has_ended_hears_events_until_qemu_ends(place: Place, way: str) -> None:
    """A script writes its commands in advance, and reads for as long as the VM runs."""
    place.path("typed").write_text('{"execute": "qmp_capabilities"}')
    with place.path("typed").open() as file:
        process = place.start(way, f"-qmp stdio {QMP}", stdin=file)
    with place.negotiated() as other:
        for command in ("stop", "cont", "quit"):
            other.returned(command)
    code, stdout, _ = ended(process)
    assert code == 0
    messages = [json.loads(line) for line in stdout.splitlines()]
    assert list(messages[0]) == ["QMP"]
    assert messages[1] == {"return": {}}
    assert [message["event"] for message in messages[2:]] == ["STOP", "RESUME", "SHUTDOWN"]
