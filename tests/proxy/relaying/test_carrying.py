"""A relay that holds still, and what it says about what cannot be carried. tests/proxy/handover has it carried."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from host.net.addresses import UnixAddress
from host.settings.config import VMConfig
from proxy.net.ends import PipeEnd, SocketEnd
from proxy.net.telnet import TelnetEnd
from proxy.qmp_json.framing import CommandFramer
from proxy.relaying.carrying import HoldingStill, let_go, take_up
from proxy.relaying.relay import Relay
from proxy.routing.turns import Turns
from shim.client import Client
from tests.support.processes.running_daemon import run
from tests.support.proxy.lone_relay import lone_relay
from tests.support.routing.pure_router import CAPABILITIES, EVENT, NAME

WHO = Client(1, 2, "/bin/tool")


@dataclass
class Stage:
    """A relay between a QEMU and one client, whose ends the test has."""

    relay: Relay
    qemu: socket.socket
    client: socket.socket

    @property
    def still(self) -> HoldingStill:
        return HoldingStill(self.relay, Turns())

    async def settle(self) -> None:
        """Have the client negotiate, and answer what the relay asks at its start."""
        self.client.sendall(CAPABILITIES)
        while b'"return"' not in await asyncio.to_thread(self.client.recv, 1 << 16):
            pass
        still = self.still
        while still.why_not_yet() is not None:
            with contextlib.suppress(BlockingIOError):
                asked = self.qemu.recv(1 << 16, socket.MSG_DONTWAIT).count(b"\n")
                self.qemu.sendall(b'{"return": []}\r\n' * asked)
            await asyncio.sleep(0)


@contextmanager
def staged() -> Iterator[Stage]:
    """Begin a relay with a client."""
    ours, qemu = socket.socketpair()
    theirs, client = socket.socketpair()
    relay = lone_relay(ours)
    relay.start()
    with qemu, client:
        relay.add_client(SocketEnd(theirs), WHO)
        yield Stage(relay, qemu, client)
        relay.close()


def test_quiet_relay_can_be_carried() -> None:
    async def main() -> None:
        with staged() as stage:
            await stage.settle()
            still = stage.still
            assert still.why_never() is None
            assert not still.runs_plan
            value = still.carried()
            assert [one.client for one in value.clients] == [WHO]
            assert still.is_as_carried

    run(main)


def test_what_no_query_tells_goes_along() -> None:
    async def main() -> None:
        with staged() as before, staged() as after:
            await before.settle()
            known = before.relay.parts[1].plans.known
            known.is_loaded = True
            known.unplugs.ask("v1")
            take_up(after.relay, replace(before.still.carried(), clients=()), VMConfig(UnixAddress("/q")))
            found = after.relay.parts[1].plans.known
            assert (found.is_loaded, found.unplugs.devices) == (True, ("/machine/peripheral/v1",))

    run(main)


def test_relay_that_holds_still_reads_nobody_and_goes_on() -> None:
    async def main() -> None:
        with staged() as stage:
            await stage.settle()
            still = stage.still
            still.begin(spares_oob=False)
            still.carried()
            stage.client.sendall(NAME)
            stage.qemu.sendall(EVENT)
            for _ in range(5):
                await asyncio.sleep(0)
            with pytest.raises(BlockingIOError):
                stage.client.recv(1, socket.MSG_DONTWAIT)
            still.go_on()
            assert await asyncio.to_thread(stage.client.recv, 1 << 16) == EVENT

    run(main)


def test_end_that_is_no_socket_is_never_carried() -> None:
    async def main() -> None:
        with staged() as stage:
            read, write = os.pipe()
            other_read, other_write = os.pipe()
            stage.relay.add_client(PipeEnd(read, other_write), WHO)
            assert stage.still.why_never() == f"{WHO} has TLS, telnet, or standard input and output"
            os.close(write)
            os.close(other_read)

    run(main)


def test_telnet_is_never_carried() -> None:
    async def main() -> None:
        with staged() as stage:
            ours, theirs = socket.socketpair()
            with theirs:
                stage.relay.add_client(TelnetEnd(SocketEnd(ours)), WHO)
                assert stage.still.why_never() == f"{WHO} has TLS, telnet, or standard input and output"

    run(main)


def test_answer_that_waits_for_its_record_is_waited_for() -> None:
    async def main() -> None:
        with staged() as stage:
            await stage.settle()
            still = stage.still
            (stream,) = stage.relay.clients.streams.values()
            stream.hold()
            assert still.why_not_yet() == f"an answer to {WHO} waits for its record"
            stream.release()
            assert still.why_not_yet() is None

    run(main)


def test_qemu_that_reads_slowly_is_waited_for() -> None:
    async def main() -> None:
        with staged() as stage:
            await stage.settle()
            still = stage.still
            _, _, upstream, _ = stage.relay.parts
            upstream.hold()
            upstream.write(NAME)
            assert still.why_not_yet() == "QEMU has not read everything yet"
            upstream.release()

    run(main)


def test_relay_whose_qemu_goes_meanwhile_is_not_as_it_was_carried() -> None:
    async def main() -> None:
        with staged() as stage:
            still = stage.still
            still.begin(spares_oob=False)
            still.carried()
            stage.relay.close()
            assert not still.is_as_carried
            still.go_on()

    run(main)


def test_relay_that_is_let_go_closes_nothing_of_others() -> None:
    async def main() -> None:
        with staged() as stage:
            await stage.settle()
            still = stage.still
            value = still.carried()
            copies = [socket.socket(fileno=os.dup(number)) for number in (value.number, value.clients[0].number)]
            let_go(stage.relay)
            for copy, other in zip(copies, (stage.qemu, stage.client), strict=True):
                with copy:
                    copy.sendall(b"x")
                    assert other.recv(1) == b"x"

    run(main)


def test_connection_to_qemu_that_is_no_plain_socket_is_never_carried() -> None:
    async def main() -> None:
        with staged() as stage:
            _, _, upstream, _ = stage.relay.parts
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(upstream, "end", TelnetEnd(upstream.end))
                assert stage.still.why_never() == "its connection to QEMU has TLS"

    run(main)


def test_client_that_has_sent_a_part_of_what_is_refused_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        with staged() as stage:
            await stage.settle()
            monkeypatch.setattr(CommandFramer, "begun", None)
            assert stage.still.why_not_yet() == f"{WHO} has sent a part of what QEMU refuses"

    run(main)
