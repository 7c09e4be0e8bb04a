"""Tools that start QEMU by themselves: how each has QEMU open a monitor, and how it writes and reads there.

Each is written after a tool that people use, with its habits and nothing better. What an `Opened` asks is an HMP command, and
the answer is its text, by whichever way the tool sends it.
"""

import json
import os
import pty
import re
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.integration.qemu_vm import RETRY_S
from tests.integration.tools.tool_host import Ask, ToolHost
from tests.integration.wrapping.wrapped_qemu import EndedError, Reader, bytes_of
from tests.support.proxy.running_vm_proxy import free_port
from tests.support.raw_client import DEADLINE_S

__all__ = [
    "TOOLS",
    "Multipass",
    "Opened",
    "Opener",
    "RefusedError",
    "close_after_echo",
    "fire_and_forget",
    "gns3",
    "lima",
    "socat_script",
    "syzkaller",
    "utm",
]

_PROMPT: Final = b"(qemu) "
# A line of the wrapper's log, which stands at a terminal among what the monitor says.
_LOG_LINE: Final = re.compile(r"hmp-proxy: .*\r\n")
_HOST: Final = "127.0.0.1"
_IAC, _DONT, _DO, _WONT, _WILL = 0xFF, 0xFE, 0xFD, 0xFC, 0xFB
# A command and its option, both of telnet.
_NEGOTIATION: Final = re.compile(rb"\xff([\xfb-\xfe])(.)", re.DOTALL)


# A unix socket's path, or a port.
Address = Path | int


@dataclass(frozen=True, slots=True)
class Opened:
    """A running QEMU, and the tool's way to it. address: where the tool connects anew for each command, if it does."""

    process: "subprocess.Popen[bytes]"
    ask: Ask
    address: Address | None = None


# Takes a host and words of the test's own, starts QEMU, and opens the tool's way to it.
Opener = Callable[..., Opened]


def _connecting(process: "subprocess.Popen[bytes]", address: Address, say: Callable[[socket.socket, str], str]) -> Opened:
    """Return a way that is a new connection for each command. say: sends the command there and returns its text."""

    def ask(line: str) -> str:
        with _connect(process, address) as sock:
            return say(sock, line)

    return Opened(process, ask, address)


def _connect(process: "subprocess.Popen[bytes]", address: Address) -> socket.socket:
    """Connect as soon as somebody listens."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        sock = socket.socket(socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET)
        try:
            sock.settimeout(DEADLINE_S)
            sock.connect(str(address) if isinstance(address, Path) else (_HOST, address))
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            assert process.poll() is None, "QEMU has ended"
            assert time.monotonic() < deadline, address
        else:
            return sock
        time.sleep(RETRY_S)


# --- At HMP's prompt --------------------------------------------------------------------------------------------------


class _Typist:
    """Types at the prompt and reads up to the next one."""

    def __init__(self, read: Reader, write: Callable[[bytes], object]) -> None:
        self._read = read
        self._write = write

    def until_prompt(self) -> bytes:
        data = b""
        while not data.endswith(_PROMPT):
            data += self._read()
        return data

    def ask(self, line: str) -> str:
        self._write(line.encode() + b"\n")
        return _text(self.until_prompt())


def _text(data: bytes) -> str:
    """Return what stands between the echo and the prompt. A terminal makes CR CR LF of a line's end."""
    return data.decode().replace("\r\r\n", "\r\n").partition("\r\n")[2].removesuffix(_PROMPT.decode())


def _typed_at(sock: socket.socket) -> _Typist:
    return _Typist(bytes_of(sock.fileno()), sock.sendall)


def gns3(host: ToolHost, *words: str) -> Opened:
    """A TCP connection for each command, which reads up to the prompt. It calls QEMU by its path."""
    port = free_port()
    process = host.start("-display", "none", "-monitor", f"tcp:{_HOST}:{port},server,nowait", *words, program=host.qemu)
    return _connecting(process, port, _type_at_prompt)


def _type_at_prompt(sock: socket.socket, line: str) -> str:
    typist = _typed_at(sock)
    typist.until_prompt()
    return typist.ask(line)


def close_after_echo(opened: Opened, line: str) -> None:
    """Type a command, and leave as soon as it is seen to be typed."""
    assert opened.address is not None
    with _connect(opened.process, opened.address) as sock, sock.makefile("rb") as lines:
        sock.sendall(line.encode() + b"\n")
        assert any(line.encode() in echoed for echoed in lines)


def nixos_test_driver(host: ToolHost, *words: str) -> Opened:
    """The tool listens, and QEMU connects to it."""
    path = host.path("monitor")
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.settimeout(DEADLINE_S)
        process = host.start("-display", "none", "-monitor", f"unix:{path}", *words)
        sock, _ = listener.accept()
    typist = _typed_at(host.stack.enter_context(sock))
    typist.until_prompt()
    return Opened(process, typist.ask)


def expect(host: ToolHost, *words: str) -> Opened:
    """A terminal, at which the next key is pressed when the one before has been echoed."""
    ours, its = pty.openpty()
    for end in (ours, its):
        host.stack.callback(os.close, end)
    streams: dict[str, Any] = {"stdin": its, "stdout": its, "stderr": its, "pass_fds": (its,)}
    words = ("-display", "none", "-monitor", "stdio", *words)
    process = host.start(*words, **streams, preexec_fn=lambda: os.login_tty(its))
    read = bytes_of(ours)

    def write(line: bytes) -> None:
        for key in line[:-1]:
            os.write(ours, bytes([key]))
            echo = b""
            while not echo.endswith(b"\x1b[K"):
                echo += read()
        os.write(ours, line[-1:])

    typist = _Typist(read, write)
    typist.until_prompt()
    return Opened(process, lambda line: _LOG_LINE.sub("", typist.ask(line)))


class _TelnetClient:
    """Grants what the server offers and asks for, and hands on the rest."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._read = bytes_of(sock.fileno())
        self.negotiated: list[tuple[int, int]] = []

    def read(self) -> bytes:
        data = self._read()
        while data[-1] == _IAC or data[-2:-1] == bytes([_IAC]):
            data += self._read()
        for verb, option in _NEGOTIATION.findall(data):
            self.negotiated.append((verb[0], option[0]))
            self._sock.sendall(bytes([_IAC, _DO if verb[0] == _WILL else _WILL, option[0]]))
        return _NEGOTIATION.sub(b"", data)

    def write(self, line: bytes) -> None:
        self._sock.sendall(line.replace(b"\n", b"\r\0"))


def telnet(host: ToolHost, *words: str) -> Opened:
    """A client that answers all that is negotiated."""
    port = free_port()
    process = host.start("-display", "none", "-monitor", f"telnet:{_HOST}:{port},server,nowait", *words)
    client = _TelnetClient(host.stack.enter_context(_connect(process, port)))
    typist = _Typist(client.read, client.write)
    typist.until_prompt()
    # Echo, no go-ahead, and bytes of eight bits both ways, as QEMU has it (chardev/char-socket.c).
    assert client.negotiated == [(_WILL, 1), (_WILL, 3), (_WILL, 0), (_DO, 0)]
    return Opened(process, typist.ask)


# --- Scripts ----------------------------------------------------------------------------------------------------------


def socat_script(host: ToolHost, *words: str) -> Opened:
    """`echo COMMAND | socat - UNIX-CONNECT:PATH`, which waits until QEMU closes."""
    path = host.path("monitor")
    process = host.start("-display", "none", "-monitor", f"unix:{path},server,nowait", *words)

    def ask(line: str) -> str:
        _connect(process, path).close()
        command = ["socat", f"-t{DEADLINE_S}", "-", f"UNIX-CONNECT:{path}"]
        return _last_text(subprocess.run(command, input=f"{line}\n".encode(), capture_output=True, check=True).stdout)

    return Opened(process, ask, path)


def half_closing_script(host: ToolHost, *words: str) -> Opened:
    """`echo COMMAND | nc -N 127.0.0.1 PORT`: it has sent all, and goes on reading."""
    port = free_port()
    process = host.start("-display", "none", "-monitor", f"tcp:{_HOST}:{port},server=on,wait=off", *words)
    return _connecting(process, port, _send_and_half_close)


def _send_and_half_close(sock: socket.socket, line: str) -> str:
    sock.sendall(f"{line}\n".encode())
    sock.shutdown(socket.SHUT_WR)
    return _last_text(_to_the_end(bytes_of(sock.fileno())))


def fire_and_forget(opened: Opened, line: str) -> None:
    """`echo COMMAND | socat -,shut-down unix-connect:PATH >/dev/null`, which waits half a second for anything."""
    _connect(opened.process, opened.address or 0).close()
    command = ["socat", "-,shut-down", f"unix-connect:{opened.address}"]
    subprocess.run(command, input=f"{line}\n".encode(), stdout=subprocess.DEVNULL, check=True)


def _last_text(data: bytes) -> str:
    """Return the text of a script's only command: what comes after the banner, its prompt, and the echo."""
    _, _, rest = data.partition(_PROMPT)
    return _text(rest)


def _to_the_end(read: Reader) -> bytes:
    data = b""
    while True:
        try:
            data += read()
        except EndedError:
            return data


# --- By QMP -----------------------------------------------------------------------------------------------------------


class RefusedError(Exception):
    """The reply is a QMP error."""


class _Dialect:
    """How a tool writes a QMP command, and how it finds the reply."""

    def __init__(self, spell: Callable[[dict[str, Any]], str], **arguments: Any) -> None:
        self._spell = spell
        self._arguments = arguments

    def ask(self, sock: socket.socket, line: str) -> str:
        """Send an HMP command on a connection that has just been made. Raises RefusedError."""
        with sock.makefile("rb") as lines:
            json.loads(lines.readline())
            assert self._call(sock, lines, {"execute": "qmp_capabilities"}) == {}
            arguments = {"command-line": line, **self._arguments}
            text: str = self._call(sock, lines, {"execute": "human-monitor-command", "arguments": arguments})
            return text

    def _call(self, sock: socket.socket, lines: Any, command: dict[str, Any]) -> Any:
        sock.sendall(self._spell(command).encode())
        reply = next(message for message in map(json.loads, lines) if "return" in message or "error" in message)
        if "error" in reply:
            raise RefusedError(reply["error"]["desc"])
        return reply["return"]


def _sorted(command: dict[str, Any]) -> str:
    return json.dumps(command, sort_keys=True, separators=(",", ":"))


def _compact(command: dict[str, Any]) -> str:
    return json.dumps(command, separators=(",", ":"))


def _indented(command: dict[str, Any]) -> str:
    return json.dumps(command, sort_keys=True, indent=4) + "\n"


def _line(command: dict[str, Any]) -> str:
    return json.dumps(command) + "\n"


def _with_id(command: dict[str, Any]) -> str:
    return json.dumps({**command, "id": "k2Xp9QaZ"}) + "\n\n"


def lima(host: ToolHost, *words: str) -> Opened:
    """A connection for each command; keys are sorted, and no newline follows."""
    path = host.path("qmp.sock")
    device = ("-chardev", f"socket,id=char-qmp,path={path},server=on,wait=off", "-qmp", "chardev:char-qmp")
    process = host.start("-display", "none", *device, "-name", "lima-default", "-pidfile", str(host.path("pid")), *words)
    return _connecting(process, path, _Dialect(_sorted).ask)


def avocado_vt(host: ToolHost, *words: str) -> Opened:
    """An id, two newlines after each command, and `-mon` on a device."""
    path = host.path("qmp.sock")
    device = ("-chardev", f"socket,id=qmp_id_qmpmonitor1,path={path},server=on,wait=off")
    process = host.start("-display", "none", *device, "-mon", "chardev=qmp_id_qmpmonitor1,mode=control", *words)
    return _connecting(process, path, _Dialect(_with_id).ask)


def syzkaller(host: ToolHost, *words: str) -> Opened:
    """TCP, and always a `cpu-index`."""
    port = free_port()
    process = host.start("-display", "none", "-qmp", f"tcp:{_HOST}:{port},server=on,wait=off", *words)
    return _connecting(process, port, _Dialect(_line, **{"cpu-index": 0}).ask)


def utm(host: ToolHost, *words: str) -> Opened:
    """TCP, and no newline. QEMU is started paused; the test sends the `cont`."""
    port = free_port()
    process = host.start("-display", "none", "-S", "-qmp", f"tcp:{_HOST}:{port},server,nowait", *words)
    return _connecting(process, port, _Dialect(_compact).ask)


class Multipass:
    """QMP on standard input and output. Of what one read brings, only the first message is looked at.

    spelling: "compact", without a newline, or "indented", of earlier releases.
    """

    def __init__(self, host: ToolHost, spelling: str, *words: str) -> None:
        self._spell = {"compact": _compact, "indented": _indented}[spelling]
        console = ("-chardev", "null,id=char0", "-serial", "chardev:char0", "-nographic")
        self.process = host.start("-qmp", "stdio", *console, *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self._read = bytes_of(self.process.stdout.fileno())
        # It does not wait for the greeting.
        self.send({"execute": "qmp_capabilities"})
        assert "QMP" in self.receive()
        assert self._returned() == {}

    def send(self, command: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(self._spell(command).encode())
        self.process.stdin.flush()

    def send_hmp(self, line: str) -> None:
        self.send({"execute": "human-monitor-command", "arguments": {"command-line": line}})

    def receive(self) -> dict[str, Any]:
        lines = self._read().split(b"\n")
        message: dict[str, Any] = json.loads(next(line for line in lines if line.startswith(b"{")))
        return message

    def _returned(self) -> Any:
        while "return" not in (message := self.receive()):
            pass
        return message["return"]

    def ask(self, line: str) -> str:
        self.send_hmp(line)
        text: str = self._returned()
        return text

    def kill_at_resume(self) -> None:
        """Wait for the event that means "saved", and kill QEMU."""
        while self.receive().get("event") != "RESUME":
            pass
        self.process.kill()
        self.process.wait(DEADLINE_S)


TOOLS: Final[dict[str, Opener]] = {
    "gns3": gns3,
    "nixos-test-driver": nixos_test_driver,
    "expect": expect,
    "telnet": telnet,
    "socat script": socat_script,
    "half-closing script": half_closing_script,
    "lima": lima,
    "avocado-vt": avocado_vt,
    "syzkaller": syzkaller,
    "utm": utm,
}
