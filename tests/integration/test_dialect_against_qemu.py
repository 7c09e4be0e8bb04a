"""What CommandFramer makes of a stream, against what a real QEMU answers to the same bytes (seen with 7.2.22)."""

import json
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from proxy.framing import Command, CommandFramer, Malformed
from tests.test_framing import NESTED_1024, SNIPPETS, STREAMS

DEADLINE_S: Final = 60
RETRY_S: Final = 0.01
MAX_UNIX_PATH_BYTES: Final = 107


class Monitor:
    """A negotiated QMP connection that sends bytes as they are."""

    def __init__(self, path: Path) -> None:
        self._socket = _connect(path)
        self._lines = self._socket.makefile("rb")
        self._last_id = 0
        self._read()
        self.ask(b"", b'{"execute":"qmp_capabilities","id":"negotiated"}', "negotiated")

    def ask(self, stream: bytes, last: bytes, last_id: str) -> list[Any]:
        """Give the replies to `stream` and `last`, up to the one with `last_id`."""
        self._socket.sendall(stream + last)
        replies = [self._read()]
        while replies[-1].get("id") != last_id:
            replies.append(self._read())
        return replies

    def _read(self) -> Any:
        line = self._lines.readline()
        assert line, "QEMU closed the connection"
        return json.loads(line)

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


def _connect(path: Path) -> socket.socket:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(DEADLINE_S)
            sock.connect(str(path))
        except OSError:
            sock.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_S)
        else:
            return sock


@pytest.fixture(scope="module")
def monitor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Monitor]:
    binary = shutil.which("qemu-system-x86_64")
    assert binary is not None, "qemu-system-x86_64 is not installed"
    path = tmp_path_factory.mktemp("q") / "qmp"
    assert len(bytes(path)) <= MAX_UNIX_PATH_BYTES
    args = ["-accel", "tcg", "-m", "32", "-display", "none", "-nodefaults", "-S", "-qmp", f"unix:{path},server=on,wait=off"]
    process = subprocess.Popen([binary, *args])
    try:
        opened = Monitor(path)
        try:
            yield opened
        finally:
            opened.close()
    finally:
        process.kill()
        process.wait()


def _check(monitor: Monitor, stream: bytes) -> None:
    """Compare what QEMU and the framer say, with a resynchronisation and a known command behind `stream`."""
    last = b'\xff\n{"execute":"query-name","id":"last"}'
    expected = CommandFramer().receive_data(stream + last)
    assert isinstance(expected[-1], Command)
    answers = [_seen(reply) for reply in monitor.ask(stream, last, "last")]
    assert answers == [item.desc if isinstance(item, Malformed) else None for item in expected]


def _seen(reply: dict[str, Any]) -> str | None:
    """Give the text of an error about the bytes; None for any reply to a command."""
    error = reply.get("error", {"desc": ""})
    if error["desc"].startswith(("JSON ", "QMP input must be a JSON object")):
        assert reply == {"error": {"class": "GenericError", "desc": error["desc"]}}
        return str(error["desc"])
    return None


@pytest.mark.parametrize("stream", [stream for stream, _ in STREAMS], ids=lambda part: repr(part)[:60])
def test_qemu_says_the_same_to_a_known_stream(monitor: Monitor, stream: bytes) -> None:
    _check(monitor, stream)


@pytest.mark.parametrize("byte", range(256))
def test_qemu_says_the_same_to_every_byte_in_every_place(monitor: Monitor, byte: int) -> None:
    one = bytes([byte])
    _check(monitor, one + b"\n{" + one + b'}\n"a' + one + b'"\n"\\' + one + b'"\n1' + one + b"\n1." + one + b"\n1e" + one)
    _check(monitor, b"tru" + one + b"\n0" + one + b"\n-" + one + b"\n1.5" + one + b"\n1e5" + one + b"\n1e-" + one)
    _check(monitor, b"'" + one + b"'\n'\\" + one + b"'\n#" + one + b"{}")


@pytest.mark.parametrize("value", [
    "18446744073709551615", "18446744073709551616", "-9223372036854775808", "-9223372036854775809", "-0", "0.1",
    "1e3", "9" * 300, '"\\u00e9\\ud83d\\ude00\\u0000\x7f"', "'it\\'s'", '{"b":[null,true,1.0]}',
])  # fmt: skip
def test_qemu_reads_the_same_value(monitor: Monitor, value: str) -> None:
    stream = b'{"execute":"query-name","id":["%s",%s]}' % (b"x", value.encode())
    (command,) = CommandFramer().receive_data(stream)
    assert isinstance(command, Command)
    reply = monitor.ask(stream, b'{"execute":"query-name","id":"last"}', "last")[0]
    assert _as_double(reply["id"]) == _as_double(command.message["id"])


def _as_double(value: Any) -> str:
    # QEMU writes 1.0 as 1.
    return json.dumps(json.loads(json.dumps(value, sort_keys=True), parse_int=float))


def test_qemu_nests_as_deep(monitor: Monitor) -> None:
    _check(monitor, NESTED_1024)
    _check(monitor, b'{"a":' + b"[" * 1030 + b"]" * 1030 + b"}")


VALID: Final = [
    b'{"execute":"query-name","id":[1,-0.5e3,true,null,{"a":"b"}]}\r\n',
    b"{'execute': 'no-such-command', 'arguments': {'a': [1, 2, 'x\\u00e9\\ud83d\\ude00']}}",
    b'{"execute":"query-name","arguments":{},"id":"\xc3\xa9\xf0\x9f\x98\x80\\n\\/"}\n{"execute":"query-name"}',
]


def _mutated(rng: random.Random) -> bytes:
    stream = bytearray(b"".join(rng.choice(VALID) for _ in range(rng.randrange(1, 4))))
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(stream) + 1)
        match rng.randrange(4):
            case 0:
                stream[at:at] = rng.choice(SNIPPETS)
            case 1:
                del stream[at : at + rng.randrange(1, 4)]
            case 2:
                stream[at : at + 1] = rng.randbytes(1)
            case _:
                stream[at:at] = stream[rng.randrange(len(stream) + 1) :][: rng.randrange(8)]
    return bytes(stream)


@pytest.mark.parametrize("seed", range(400))
def test_qemu_says_the_same_to_mutated_commands(monitor: Monitor, seed: int) -> None:
    _check(monitor, _mutated(random.Random(seed)))


@pytest.mark.parametrize("seed", range(200))
def test_qemu_says_the_same_to_garbage(monitor: Monitor, seed: int) -> None:
    rng = random.Random(seed)
    _check(monitor, b"".join(rng.choice(SNIPPETS) for _ in range(rng.randrange(1, 60))))
