"""What there is to say of a VM that is served."""

import asyncio
import contextlib
import socket
from dataclasses import replace

from host.settings.admission import Refusal
from host.settings.config import AuditSettings
from proxy.control.status import Totals, Waits
from proxy.net.ends import SocketEnd
from proxy.recording.audit_writer import AuditWriter
from proxy.relaying.lasting import Standing
from proxy.relaying.looking import client_statuses, totals_of
from proxy.relaying.relay import Relay
from shim.client import Client
from tests.support.processes.running_daemon import until
from tests.support.proxy.lone_relay import lone_relay
from tests.support.proxy.stuck_disk import StuckDisk
from tests.support.raw_client import DEADLINE_S
from tests.support.routing.pure_router import NAME, ModelQEMU, hmp

NEGOTIATION = b'{"execute": "qmp_capabilities"}\n'
TOOL = Client(5, 7, "/bin/tool", listener="unix:/l")


class Scene:
    """A relay with clients, before a QEMU that says nothing by itself."""

    def __init__(self) -> None:
        self.qemu, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.relay: Relay = lone_relay(theirs)
        self.relay.start()
        self.clients: list[socket.socket] = []
        self._model = ModelQEMU()

    async def settle(self) -> None:
        """Answer what the relay asks at first."""
        self.qemu.setblocking(False)
        await until(self._answer)

    def _answer(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            self.qemu.sendall(self._model.receive(self.qemu.recv(10_000)))
        dispatcher = self.relay.clients.dispatcher
        return not dispatcher.owed and not dispatcher.plans.works

    def join(self, client: Client = TOOL) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        ours.settimeout(DEADLINE_S)
        self.relay.add_client(SocketEnd(theirs), client)
        ours.sendall(NEGOTIATION)
        self.clients.append(ours)
        return ours

    def waits(self) -> list[Waits | None]:
        return [client.waits_for for client in client_statuses(self.relay)]

    async def until_waits(self, *waits: Waits | None) -> None:
        await until(lambda: self.waits() == list(waits))

    def close(self) -> None:
        self.relay.close()
        for sock in (self.qemu, *self.clients):
            sock.close()


def test_clients_are_told_with_what_they_wait_for() -> None:
    async def main() -> None:
        scene = Scene()
        await scene.settle()
        first, second = scene.join(), scene.join(replace(TOOL, pid=6))
        scene.join(replace(TOOL, is_proxy=True))
        await until(lambda: all(session.is_negotiated for session in scene.relay.clients.streams))
        await scene.until_waits(None, None)
        one, other = client_statuses(scene.relay)
        assert (one.number, one.who, one.pid, one.uid, one.program) == (1, str(TOOL), 5, 7, "/bin/tool")
        assert (other.number, other.pid, other.listener, other.address) == (2, 6, "unix:/l", None)
        first.sendall(NAME)
        await scene.until_waits(Waits.QEMU, None)
        first.sendall(hmp("savevm t"))
        await scene.until_waits(Waits.OWN_COMMAND, None)
        second.sendall(NAME)
        await scene.until_waits(Waits.OWN_COMMAND, Waits.OTHERS_COMMAND)
        assert totals_of(Standing(), scene.relay, None).waiting == 1
        scene.close()

    asyncio.run(main())


def test_client_waits_for_the_end_of_a_pause() -> None:
    async def main() -> None:
        scene = Scene()
        scene.relay.turns.pause.begin()
        client = scene.join()
        client.sendall(hmp("savevm t"))
        await scene.until_waits(Waits.PAUSE)
        scene.relay.turns.pause.end()
        await scene.until_waits(Waits.OWN_COMMAND)
        scene.close()

    asyncio.run(main())


def test_who_goes_while_it_is_paused_is_noticed() -> None:
    """It is not read meanwhile, and nobody else may send anything for hours."""

    async def main() -> None:
        scene = Scene()
        scene.relay.turns.pause.begin()
        client = scene.join()
        client.sendall(hmp("savevm t"))
        await scene.until_waits(Waits.PAUSE)
        client.close()
        await until(lambda: not scene.relay.clients.streams)
        scene.close()

    asyncio.run(main())


def test_totals_are_those_of_now_and_of_all_connections() -> None:
    async def main() -> None:
        scene = Scene()
        standing = Standing(counters=scene.relay.clients._counters)
        await scene.settle()
        client = scene.join()
        client.sendall(NAME + hmp("info block"))
        await until(lambda: totals_of(standing, scene.relay, None).commands == 2)
        audit = AuditWriter(StuckDisk().log(), AuditSettings("/log"))
        audit.losses.add(3, "why")
        totals = totals_of(standing, scene.relay, audit)
        assert (totals.clients, totals.clients_ever, totals.commands) == (1, 1, 2)
        assert (totals.records_lost, totals.records_queued) == (3, 0)
        standing.counters.note_refusal(Refusal.LIMIT)
        assert totals_of(standing, scene.relay, audit).refused == {"limit": 1, "not_allowed": 0, "tls": 0}
        assert totals.from_clients_bytes == len(NEGOTIATION + NAME + hmp("info block"))
        client.close()
        await until(lambda: scene._answer() and not scene.relay.clients.streams)
        scene.close()
        totals = totals_of(standing, None, None)
        assert (totals.clients, totals.clients_ever, totals.commands, totals.reconnects) == (0, 1, 2, 0)
        assert totals_of(Standing(), None, None) == Totals()

    asyncio.run(main())
