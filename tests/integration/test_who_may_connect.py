"""A proxy in front of a real QEMU lets in whom its sockets are for, and nobody else."""

import os
from pathlib import Path

import pytest

from tests.integration.other_user import LET_IN, NOBODY, REFUSED, connects_as
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")


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
