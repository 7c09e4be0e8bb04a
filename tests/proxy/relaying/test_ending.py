"""The orderly end of a relay; tests/proxy/test_vm_proxy.py has its ends with clients."""

import socket

import pytest

from proxy.net.ends import SocketEnd
from proxy.relaying.ending import finish
from shim.client import Client
from tests.support.processes.running_daemon import run, until
from tests.support.proxy.lone_relay import lone_relay
from tests.support.routing.pure_router import CAPABILITIES, NAME


@pytest.mark.parametrize("is_stuck", [False, True])
def test_end_waits_for_what_was_begun_and_no_longer_than_it_may(caplog: pytest.LogCaptureFixture, is_stuck: bool) -> None:
    async def main() -> None:
        ours, qemu = socket.socketpair()
        theirs, client = socket.socketpair()
        with qemu, client:
            relay = lone_relay(ours)
            relay.start()
            relay.add_client(SocketEnd(theirs), Client(1, 2, "/bin/tool"))
            if is_stuck:  # QEMU never answers
                client.sendall(CAPABILITIES + NAME)
                await until(lambda: not relay.clients.dispatcher.owes_nothing)
            await finish(relay, relay.clients.leaving, 0.01)
            relay.close()

    run(main)
    told = "stop_timeout is over: what runs in QEMU goes on there without the proxy"
    assert (told in caplog.messages) is is_stuck
