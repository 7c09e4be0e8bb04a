"""A proxy in front of a real QEMU lets in whom its sockets are for, and nobody else."""

import os
import re
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

import pytest

from tests.integration.permissions.other_user import LET_IN, NOBODY, REFUSED, TURNED_AWAY, connects_as, knocking_as
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM
from tests.support.raw_client import RawClient

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")

# A few seconds, in which there are about 5000 connections each.
KNOCKS: Final = 15_000
# As users run it: what Python checks in development takes time.


def took_s(client: RawClient) -> float:
    began = time.monotonic()
    client.returned("query-status")
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        ([], REFUSED),
        (["--socket-mode", "0666"], LET_IN),
        (["--socket-mode", "0660", "--socket-group", str(NOBODY)], LET_IN),
        (["--socket-owner", str(NOBODY)], LET_IN),
        (["--socket-mode", "0660"], REFUSED),
    ],
)
def test_other_user_comes_in_where_that_is_wanted(options: list[str], outcome: str) -> None:
    before = os.umask(0)
    try:
        with QEMUVM([]) as vm:
            Path(vm.folder).chmod(0o755)
            with ProxyProcess(vm.folder, vm.qmp_path, options) as proxy:
                assert connects_as(NOBODY, proxy.path) == outcome
                assert connects_as(0, proxy.path) == LET_IN
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        (["--allow-user", "0"], TURNED_AWAY),
        (["--allow-user", "0", "--allow-user", str(NOBODY)], LET_IN),
        (["--allow-user", "0", "--allow-group", str(NOBODY)], LET_IN),
        (["--allow-user", "0", "--allow-group", "12345"], LET_IN),
        (["--allow-user", "0", "--allow-group", "54321"], TURNED_AWAY),
        (["--allow-executable", os.path.realpath(sys.executable)], LET_IN),
        (["--allow-executable", "/bin/true"], TURNED_AWAY),
    ],
)
def test_other_user_comes_in_by_name(options: list[str], outcome: str) -> None:
    with QEMUVM([]) as vm:
        Path(vm.folder).chmod(0o755)
        with ProxyProcess(vm.folder, vm.qmp_path, ["--socket-mode", "0666", *options]) as proxy:
            for _ in range(3):
                assert connects_as(NOBODY, proxy.path, groups=[12345]) == outcome
            if "--allow-user" in options:
                assert connects_as(0, proxy.path) == LET_IN
        refused = [line for line in proxy.stderr.splitlines() if "refused" in line and f"uid {NOBODY}" in line]
        assert len(refused) == (2 if outcome == TURNED_AWAY else 0)
        assert all(f"unix:{proxy.path}" in line for line in refused)


def test_silent_connections_of_one_user_keep_no_other_out() -> None:
    """Each of the other's makes one of them go, and its own user is refused."""
    with QEMUVM([]) as vm, ExitStack() as stack:
        Path(vm.folder).chmod(0o755)
        options = ["--socket-mode", "0666", "--max-negotiating", "4"]
        proxy = stack.enter_context(ProxyProcess(vm.folder, vm.qmp_path, options))
        silent = [stack.enter_context(proxy.connect()) for _ in range(4)]
        for client in silent:
            client.receive_message()
        assert connects_as(0, proxy.path) == TURNED_AWAY
        assert connects_as(NOBODY, proxy.path) == LET_IN
        assert silent[0].expect_eof() == b""
        silent[1].send(b'{"execute": "qmp_capabilities"}')
        assert silent[1].receive() == {"return": {}}


def test_one_who_is_turned_away_comes_again_and_again_and_exhausts_nothing() -> None:
    with QEMUVM([]) as vm:
        Path(vm.folder).chmod(0o755)
        options = ["--socket-mode", "0666", "--allow-user", "0"]
        proxy = ProxyProcess(vm.folder, vm.qmp_path, options)
        with proxy, proxy.negotiated() as client:
            assert proxy.process is not None
            descriptors = Path(f"/proc/{proxy.process.pid}/fd")
            quiet_s = median(took_s(client) for _ in range(300))
            open_before, mib_before = len(list(descriptors.iterdir())), proxy.resident_mib
            waited_s = []
            with knocking_as(NOBODY, proxy.path, KNOCKS) as knocking:
                while knocking.poll() is None:
                    waited_s.append(took_s(client))
                assert knocking.stdout is not None
                assert knocking.stdout.read() == f"{TURNED_AWAY}\n"
            assert median(waited_s) < 10 * quiet_s
            assert proxy.peak_mib < mib_before + 4
            assert connects_as(NOBODY, proxy.path) == TURNED_AWAY
            assert len(list(descriptors.iterdir())) == open_before
            assert connects_as(0, proxy.path) == LET_IN
        refused = [line for line in proxy.stderr.splitlines() if f"uid {NOBODY}" in line]
        counts = [int(count) for line in refused for count in re.findall("([0-9]+) within a minute", line)]
        assert len(refused) < 10
        assert len(refused) - len(counts) + sum(counts) == KNOCKS + 1
