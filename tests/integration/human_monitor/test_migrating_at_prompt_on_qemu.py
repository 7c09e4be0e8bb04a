"""`migrate` at the prompt: it ends with the migration, and what is typed meanwhile waits, as twins show of QEMU's own."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.command_lines import BIOS
from tests.integration.human_monitor.human_twins import HumanTwins, human_twins
from tests.integration.machines import Machine
from tests.support.raw_client import DEADLINE_S
from tests.support.routing.keyboard import echo
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]


@pytest.fixture(scope="module")
def twins() -> Iterator[HumanTwins]:
    with human_twins(BIOS, {}) as running:
        yield running


@pytest.mark.parametrize(
    "script",
    [
        b'migrate "exec:cat >/dev/null"\ninfo status\ncont\n',
        b"migrate exec:false\ninfo status\n",
        b"migrate nosuch:1\ninfo status\n",
        b"migrate\nmigrate -x u\nmigrate -r exec:false\nmigrate -r -d u\nmigrate u v\nmigrate fd:no\nmigrate -d fd:no\n",
        b"migrate_set_capability pause-before-switchover on\nmigrate exec:cat>/dev/null\ninfo status\nmigrate_cancel\n",
    ],
    ids=["completed", "failed", "not begun", "wrong", "paused before its end"],
)
def test_script_goes_on_when_the_migration_has_ended(twins: HumanTwins, script: bytes) -> None:
    twins.assert_same(script)


def test_detached_migration_is_not_waited_for(twins: HumanTwins) -> None:
    """It could not end: it is slow, and is cancelled by the same script."""
    twins.assert_same(
        b"migrate_set_parameter max-bandwidth 1\nmigrate -d exec:cat>/dev/null\nmigrate_cancel\ninfo status\n",
    )


def cancelled(machine: Machine, path: Path) -> bytes:
    """Return what is printed of a migration that another monitor cancels, and of what is typed meanwhile."""
    machine.observer.hmp("migrate_set_parameter max-bandwidth 1")
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(str(path))
        file = client.makefile("rb")
        banner = file.readline() + file.read(len("(qemu) "))
        client.sendall(b"migrate exec:cat>/dev/null\n")
        line = file.readline()
        wait_for(lambda: machine.observer.returned("query-migrate").get("status") == "active")
        client.sendall(b"info status\n")
        machine.observer.hmp("migrate_cancel")
        client.shutdown(socket.SHUT_WR)
        return banner + line + file.read()


def test_migration_that_is_cancelled_elsewhere() -> None:
    with human_twins(BIOS, {}) as twins:
        printed = [cancelled(one, path) for one, path in ((twins.ours, twins.our_path), (twins.native, twins.native_path))]
        assert printed[0] == printed[1]
        assert printed[0].endswith(b"(qemu) " + echo(b"info status") + b"VM status: running\r\n(qemu) ")
