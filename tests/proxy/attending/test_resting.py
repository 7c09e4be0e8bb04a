"""A connection to QEMU that nobody uses."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from proxy.attending.resting import Resting
from proxy.net.ends import SocketEnd
from proxy.net.qmp_connection import Connected
from proxy.relaying.counters import Counters
from tests.support.processes.running_daemon import run, until
from tests.support.routing.pure_router import EVENT, a_monitor, greeting


@dataclass
class Stage:
    qemu: socket.socket
    counters: Counters = field(default_factory=Counters)
    told: list[str] = field(default_factory=list)

    def rest(self, ours: socket.socket, rest: bytes, *, pretty: bool) -> Resting:
        end = SocketEnd(ours, takes_descriptors=False)
        connected = Connected(end, a_monitor(greeting(pretty=pretty)), rest)
        return Resting(connected, self.counters, lambda: self.told.append("lost"), lambda: self.told.append("odd"))


@contextmanager
def staged(rest: bytes = b"", *, pretty: bool = False) -> Iterator[tuple[Stage, Resting]]:
    ours, qemu = socket.socketpair()
    with ours, qemu:
        stage = Stage(qemu)
        yield stage, stage.rest(ours, rest, pretty=pretty)


@pytest.mark.parametrize("cut", [0, 1, len(EVENT) - 1])
def test_next_message_is_found(cut: int) -> None:
    async def main() -> None:
        with staged(EVENT + EVENT[:3]) as (stage, resting):
            stage.qemu.sendall(EVENT[3:] + EVENT + EVENT[:cut])
            await until(lambda: stage.counters.from_qemu_bytes == 2 * len(EVENT) - 3 + cut)
            assert resting.wake().rest == EVENT[:cut]
        assert stage.told == []

    run(main)


def test_message_of_many_lines_ends_with_its_brace() -> None:
    async def main() -> None:
        with staged(b'{\r\n    "event": {\r\n    }\r\n}\r\n{\r\n    "ev', pretty=True) as (_, resting):
            assert resting.wake().rest == b'{\r\n    "ev'

    run(main)


def test_close_is_the_end() -> None:
    async def main() -> None:
        with staged() as (stage, resting):
            resting.close()
            assert stage.qemu.recv(1) == b""
        assert stage.told == []

    run(main)


def test_end_of_qemu_is_told() -> None:
    async def main() -> None:
        with staged() as (stage, _):
            stage.qemu.close()
            await until(lambda: stage.told == ["lost"])

    run(main)


def test_what_has_no_end_is_told() -> None:
    async def main() -> None:
        with staged() as (stage, resting):
            stage.qemu.sendall(b"x" * 70_000)
            await until(lambda: stage.told)
            resting.close()
        assert stage.told == ["odd"]

    run(main)
