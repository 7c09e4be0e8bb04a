"""A listener that speaks telnet sends what QEMU's telnet devices send, to clients of QMP and at the prompt."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from proxy.net.telnet import NEGOTIATION
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM
from tests.support.raw_client import DEADLINE_S
from tests.support.waiting import wait_for

pytestmark = pytest.mark.versions

# What telnet(1) answers, and what it sends when its window has a size or a person types ^] and "send ayt".
ANSWERS: Final = b"\xff\xfd\x03\xff\xfb\x18\xff\xfb\x1f\xff\xfd\x01\xff\xfb\x00"
WINDOW_SIZE: Final = b"\xff\xfa\x1f\x00P\x00\x18\xff\xf0"
ARE_YOU_THERE: Final = b"\xff\xf6"
NEGOTIATE: Final = b'{"execute": "qmp_capabilities"}\r\n'

# With how many messages they are answered, the greeting among them.
QMP: Final = {
    "answers": ((ANSWERS, NEGOTIATE, b'{"execute": "query-status"}\r\n'), 3),
    "in a command": ((NEGOTIATE[:9] + ANSWERS + NEGOTIATE[9:], b'{"execute": "query-\xff\xf3name", "id": "\xff\xfb\x18"}'), 3),
    "cut": ((NEGOTIATE + b"\xff", b"\xfb", b'\x18{"execute": "query-name"}'), 3),
    "eaten": ((NEGOTIATE, ARE_YOU_THERE + b'?{"execute": "query-name"}\n'), 3),
    "window size": ((NEGOTIATE, WINDOW_SIZE + b'{"execute": "query-name"}\n'), 3),
    "doubled": ((NEGOTIATE, b'{"execute": "query-\xff\xff"}\n', b'{"execute": "query-name"}\n'), 4),
    "CR NUL": ((NEGOTIATE, b'{"execute": "query-name"}\r\0', b'{"execute": "query-uuid"}\r\0'), 3),
}
TYPED: Final = {
    "answers": (ANSWERS, b"info name\r\0"),
    "in a line": (b"info" + ANSWERS + b" status\r\n",),
    "cut": (b"info\xff", b"\xfb", b"\x18 name\n"),
    "eaten": (ARE_YOU_THERE + b"iinfo name\n",),
    "window size": (WINDOW_SIZE + b"\x17info name\n",),
    "break": (b"in\xff\xf3fo uuid\n",),
}


@dataclass(frozen=True, slots=True)
class Sockets:
    """Of QEMU's own telnet monitors, and of the proxy's telnet listeners."""

    qmp: tuple[Path, Path]
    prompts: tuple[Path, Path]


@pytest.fixture(scope="module")
def sockets() -> Iterator[Sockets]:
    devices = [f"socket,id={name},path={name}.sock,server=on,wait=off,telnet=on" for name in ("qmp-telnet", "hmp-telnet")]
    args = ["-chardev", devices[0], "-mon", "qmp-telnet,mode=control", "-chardev", devices[1], "-mon", "hmp-telnet"]
    with QEMUVM(args) as vm:
        ours = Sockets(
            (vm.path("qmp-telnet.sock"), vm.path("ours.sock")), (vm.path("hmp-telnet.sock"), vm.path("ours-hmp.sock"))
        )
        options = ["--listen", f"unix:{ours.qmp[1]},telnet=on", "--hmp-listen", f"unix:{ours.prompts[1]},telnet=on"]
        with ProxyProcess(vm.folder, vm.qmp_path, options) as proxy:
            wait_for(lambda: f"listening on unix:{ours.prompts[1]} " in proxy.stderr)
            yield ours


def received(path: Path, pieces: tuple[bytes, ...], lines: int = 0) -> bytes:
    """Send the pieces, and no more once so many lines have come; return all that comes."""
    got = b""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(str(path))
        for piece in pieces:
            client.sendall(piece)
        while got.count(b"\n") < lines:
            data = client.recv(1 << 16)
            assert data, got
            got += data
        client.shutdown(socket.SHUT_WR)
        while data := client.recv(1 << 16):
            got += data
    return got


@pytest.mark.parametrize("name", QMP)
def test_client_of_qmp(sockets: Sockets, name: str) -> None:
    pieces, messages = QMP[name]
    native, ours = (received(path, pieces, messages) for path in sockets.qmp)
    assert ours == native
    assert native.startswith(NEGOTIATION + b'{"QMP": ')


@pytest.mark.parametrize("name", TYPED)
def test_client_at_the_prompt(sockets: Sockets, name: str) -> None:
    native, ours = (received(path, TYPED[name]) for path in sockets.prompts)
    assert ours == native
    assert native.startswith(NEGOTIATION + b"QEMU ")
