"""How a VM's proxy comes to its connection to QEMU; tests/proxy/served/test_while_away.py has it in a whole proxy."""

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from host.errors import ConfigError
from host.net.addresses import parse_upstream_address
from host.settings.config import VMConfig
from proxy.change import PolicyCheck
from proxy.connector import Connector
from proxy.entrance.front import Front
from proxy.errors import ListenError, UpstreamError
from proxy.net.qmp_connection import QMPConnection
from proxy.net.upstream import Upstream
from shim.graph.patterns import Pattern
from shim.graph.policy import Policy
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.processes.running_daemon import run, until


@dataclass
class Place:
    """What a connector needs of a VM's proxy, and what it was told."""

    config: VMConfig
    begun: list[bool] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    # Raised once when a QEMU is to be served.
    failure: Exception | None = None
    name: str = "a"

    def own_client(self) -> None: ...

    def use(self, config: VMConfig) -> None: ...

    def begin(self, connection: QMPConnection, is_first: bool) -> None:
        connection.close()
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        self.begun.append(is_first)

    @property
    def connector(self) -> Connector:
        new_id: Callable[[], str] = map("hmpshim-{}".format, itertools.count(1)).__next__
        upstream = Upstream(self.config.upstream, name=None, new_id=new_id)
        front = Front(self.config, upstream, lambda end, client: None, lambda: True)
        return Connector(self, upstream, front, PolicyCheck(self), self.begin)  # type: ignore[arg-type]


def a_place(qemu: FakeQEMU | str, *, is_strict: bool = False, pattern: str | None = None) -> Place:
    address = qemu if isinstance(qemu, str) else qemu.path
    policy = Policy() if pattern is None else Policy(exclude=(Pattern.parse(pattern),))
    return Place(VMConfig(parse_upstream_address(f"unix:{address}"), policy=policy, is_strict=is_strict))


def test_first_time_and_again() -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            place = a_place(qemu)
            connector = place.connector
            await connector.connect(is_first=True)
            assert await connector.connect_again(place.problems.append)
            assert place.begun == [True, False]

    run(main)


def test_nobody_there() -> None:
    async def main() -> None:
        place = a_place("/nowhere/q")
        with pytest.raises(UpstreamError):
            await place.connector.connect(is_first=True)
        assert not await place.connector.connect_again(place.problems.append, is_patient=False)
        assert not place.problems
        assert not place.begun

    run(main)


def test_attempts_that_fail_alike_all_night_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Who waits for QEMU has told so once; the status knows the reason, and `--verbose` shows each attempt."""

    async def main() -> None:
        place = a_place("/nowhere/q")
        waiting = asyncio.create_task(place.connector.connect_again(place.problems.append))
        await until(lambda: len(place.problems) > 2)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting

    run(main)
    assert caplog.messages == []
    caplog.set_level("DEBUG")
    run(main)
    assert len(caplog.messages) > 2


def test_listener_that_cannot_be_opened() -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            place = a_place(qemu)
            place.failure = ListenError("unix:/l", "in use")
            with pytest.raises(ListenError):
                await place.connector.connect_again(place.problems.append, is_first=True)
            place.failure = ListenError("unix:/l", "in use")
            assert await place.connector.connect_again(place.problems.append)
            assert place.begun == [False]
            assert "in use" in place.problems[0]

    run(main)


def test_strict_configuration_that_does_not_fit(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu:
            place = a_place(qemu, is_strict=True, pattern="nosuch")
            connector = place.connector
            with pytest.raises(ConfigError, match="nosuch"):
                await connector.connect(is_first=True)
            await qemu.wait_gone()
            await connector.connect(is_first=False)
            assert place.begun == [False]

    run(main)
    assert "nosuch" in caplog.text
