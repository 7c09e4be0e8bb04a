"""What CommandFramer makes of a stream, against what a real QEMU answers to the same bytes (seen with 5.2 to 11.1)."""

import json
import random
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from proxy.qmp_json.framing import Command, CommandFramer, Malformed
from shim.qmp import QEMUVersion
from tests.integration.qemu_vm import QEMUVM, version
from tests.support.raw_client import DEADLINE_S, RawClient
from tests.support.streams import NESTED_1024, SNIPPETS, STREAMS, STREAMS_FROM_11_1, read_all

pytestmark = pytest.mark.versions

NEGOTIATION: Final = b'{"execute":"qmp_capabilities"}'


class Monitor:
    """A negotiated connection with a framer that gets the same bytes: QEMU 11.1 counts them from the first one."""

    def __init__(self, client: RawClient, version: QEMUVersion) -> None:
        self.version = version
        self._client = client
        self._framer = CommandFramer(version)
        client.receive_message()
        self.frame(NEGOTIATION)
        self.ask(NEGOTIATION)

    def frame(self, stream: bytes) -> list[Command | Malformed]:
        return read_all(self._framer, stream)

    def ask(self, stream: bytes, last_id: str | None = None) -> list[Any]:
        """Return the replies to `stream`, up to the one with `last_id`."""
        self._client.send(stream)
        replies = [self._client.receive()]
        while replies[-1].get("id") != last_id:
            replies.append(self._client.receive())
        return replies


@pytest.fixture(scope="module")
def vm() -> Iterator[QEMUVM]:
    with QEMUVM(["-S"]) as running:
        yield running


@pytest.fixture(scope="module")
def qemu(vm: QEMUVM) -> QEMUVersion:
    return version(vm)


@pytest.fixture(scope="module")
def monitor(vm: QEMUVM, qemu: QEMUVersion) -> Iterator[Monitor]:
    """One connection for all streams, so that what one leaves behind shows in the next."""
    with vm.connect() as client:
        client.deadline_s = 3 * DEADLINE_S
        yield Monitor(client, qemu)


def _check(monitor: Monitor, stream: bytes) -> None:
    """Compare what QEMU and the framer say, with a resynchronisation and a known command behind `stream`."""
    stream += b'\xff\n{"execute":"query-name","id":"last"}'
    expected = monitor.frame(stream)
    assert isinstance(expected[-1], Command)
    answers = [_seen(reply) for reply in monitor.ask(stream, "last")]
    assert answers == [item.desc if isinstance(item, Malformed) else None for item in expected]


ABOUT_BYTES: Final = re.compile("([1-9][0-9]*:[1-9][0-9]*: )?JSON |QMP input must be a JSON object")


def _seen(reply: dict[str, Any]) -> str | None:
    """Return the text of an error about the bytes; None for any reply to a command."""
    error = reply.get("error", {"desc": ""})
    if ABOUT_BYTES.match(error["desc"]):
        assert reply == {"error": {"class": "GenericError", "desc": error["desc"]}}
        return str(error["desc"])
    return None


@pytest.mark.parametrize("stream", [stream for stream, _ in STREAMS + STREAMS_FROM_11_1], ids=lambda part: repr(part)[:60])
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
    (command,) = monitor.frame(stream)
    assert isinstance(command, Command)
    last = b'{"execute":"query-name","id":"last"}'
    monitor.frame(last)
    reply = monitor.ask(stream + last, "last")[0]
    assert _as_double(reply["id"]) == _as_double(command.message["id"])


def _as_double(value: Any) -> str:
    # QEMU writes 1.0 as 1.
    return json.dumps(json.loads(json.dumps(value, sort_keys=True), parse_int=float))


def test_qemu_nests_as_deep(monitor: Monitor) -> None:
    _check(monitor, NESTED_1024)
    for left_over in (b"]" * 1024 + b"}", b"]" * 1030 + b"}#", b"#", b"1,]#\n{}", b'\n\n{"a"', b"tru\n"):
        _check(monitor, b'{"a":' + b"[" * 1024 + left_over)
        _check(monitor, b"{,[" + b"[" * 1024 + left_over)


@pytest.mark.parametrize("stream", [b'{"a" 1,', b'{"a":1 "b"', b"{,", b'["\\q"', b"{1:", b"[tru ", b'{"a":1,"a":2 '])
def test_qemu_says_it_as_early(monitor: Monitor, stream: bytes) -> None:
    """Of an unfinished value QEMU 11.1 says at once what is wrong, and older ones nothing."""
    expected = [item.desc for item in monitor.frame(stream) if isinstance(item, Malformed)]
    assert len(expected) == (monitor.version >= (11, 1))
    assert [monitor.ask(stream)[0]["error"]["desc"] for _ in expected] == expected
    _check(monitor, b"")


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
