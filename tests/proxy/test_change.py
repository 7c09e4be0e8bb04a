"""A configuration that is read again: its rules hold at once, and nobody can keep the proxy from looking at the disks."""

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from host.net.addresses import UnixAddress
from host.settings.config import VMConfig
from proxy.change import Change, own_client
from proxy.errors import HungUpError, UpstreamError
from proxy.net.ends import End
from shim.client import Client
from shim.graph.policy import Policy
from shim.rules.permissions import Role
from tests.fakes.qemu import FakeQEMU, When, two_disks
from tests.support.processes.running_daemon import RunningDaemon, run, table, until
from tests.support.raw_client import RawClient, command_bytes
from tests.support.shim.graphs import patterns

QEMU = UnixAddress("/q")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path (unix(7): 107 bytes)."""
    with tempfile.TemporaryDirectory(prefix="c", dir="/tmp") as name:
        yield Path(name)


@pytest.mark.parametrize("is_strict", [False, True])
def test_what_holds_at_once(is_strict: bool) -> None:
    running = VMConfig(QEMU, max_clients=5)
    terms = replace(running.terms, role=Role.READ_ONLY)
    other = VMConfig(QEMU, policy=Policy(exclude=patterns("d1")), is_strict=is_strict, terms=terms)
    change = Change(running, other)
    assert change.whole == other
    assert change.whole.policy.exclusions is running.policy.exclusions
    assert change.at_once == (replace(other, policy=running.policy) if is_strict else change.whole)
    assert change.stays == ("; the running policy stays" if is_strict else "")
    assert change.is_compared
    assert not Change(other, replace(other, max_clients=6)).is_compared
    assert not Change(other, replace(other, policy=Policy())).is_compared


def test_it_comes_as_itself_and_is_told_that_qemu_goes() -> None:
    admitted: list[Client] = []

    def admit(end: End, client: Client) -> None:
        admitted.append(client)
        end.close()

    async def run() -> None:
        with pytest.raises(HungUpError):
            async with own_client(admit, QEMU, str, "vm"):
                pytest.fail("nobody has greeted")

    asyncio.run(run())
    assert [client.is_proxy for client in admitted] == [True]


def test_no_descriptor_is_left_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    async def run() -> None:
        monkeypatch.setattr(socket, "socketpair", refuse)
        with pytest.raises(UpstreamError, match="cannot connect to QEMU at unix:/q: Too many open files"):
            async with own_client(print, QEMU, str, "vm"):
                pytest.fail("nobody has come")

    asyncio.run(run())


def test_clients_cannot_keep_the_proxy_from_looking_at_the_disks(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Neither by taking all places, nor by being slow to negotiate."""
    caplog.set_level("DEBUG", logger="proxy.relaying.clients")
    lines = "max_clients = 2", "max_user_clients = 2", "max_negotiating = 1", "strict = true", 'include = "d0"'

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a", *lines)) as running:
            await until(lambda: "client gone" in caplog.text)  # who has looked whether the daemon is there
            caplog.set_level("INFO", logger="proxy.relaying.clients")
            with RawClient.connect(folder / "a") as client:
                await asyncio.to_thread(client.negotiate)
                with RawClient.connect(folder / "a") as silent:
                    await asyncio.to_thread(silent.receive_message)
                    changed = table(qemu, folder / "a", *lines, 'rules = [{ deny = "query-name" }]')
                    assert await running.read_again(caplog, changed) == ["the policy and the rules were read again"]
                assert "is not allowed" in str(await asyncio.to_thread(client.execute, "query-name"))

    run(main)


def test_rules_hold_at_once_whatever_the_patterns_say(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            with RawClient.connect(folder / "a") as client:
                await asyncio.to_thread(client.negotiate)
                rules = 'rules = [{ deny = "query-name" }]'
                changed = table(qemu, folder / "a", rules, "strict = true", 'exclude = ["usbstick", "d1"]')
                (message,) = await running.read_again(caplog, changed)
                assert "'usbstick' matches no block node" in message
                assert message.endswith("; the running policy stays")
                assert "is not allowed" in str(await asyncio.to_thread(client.execute, "query-name"))
                assert await asyncio.to_thread(client.hmp, "savevm t") == ""
            assert [node.count("t") for node in qemu.vm.graph.nodes if node.driver == "qcow2"] == [1, 1]

    run(main)


def test_rules_hold_before_the_disks_are_seen(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A VM that is slow to answer must not make an operator wait who takes a right away."""

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            with RawClient.connect(folder / "a") as client:
                await asyncio.to_thread(client.negotiate)
                qemu.hold("query-block", When.RECEIVED)
                rules = 'rules = [{ deny = "query-name" }]'
                running.path.write_text(table(qemu, folder / "a", rules, "strict = true", 'exclude = "d1"'))
                os.kill(os.getpid(), signal.SIGHUP)
                await qemu.reached("query-block")
                client.send(command_bytes("query-name"))
                await until(lambda: "'query-name' of" in caplog.text)
                qemu.release()
                assert "is not allowed" in str(await asyncio.to_thread(client.receive))
                await until(lambda: "the policy and the rules were read again" in caplog.messages)

    run(main)


def test_disks_that_cannot_be_asked_for_are_told_of(
    folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError(24, "Too many open files")

    async def main() -> None:
        async with FakeQEMU(two_disks()) as qemu, RunningDaemon(folder, table(qemu, folder / "a")) as running:
            monkeypatch.setattr(socket, "socketpair", refuse)
            why = f"cannot connect to QEMU at unix:{qemu.path}: Too many open files"
            told = f"its disks cannot be compared with the patterns: {why}"
            strict = table(qemu, folder / "a", "strict = true", 'exclude = "d1"')
            (message,) = await running.read_again(caplog, strict)
            assert message == f"{told}; the running policy stays"
            await running.read_again(caplog, table(qemu, folder / "a", 'exclude = "d1"'))
            await until(lambda: caplog.messages == ["the policy and the rules were read again", told])

    run(main)
