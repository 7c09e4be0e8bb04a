"""The proxy needs no root: it serves as another user, without capabilities, who can never get any, as in systemd's units."""

import os
import sys

import pytest

from tests.integration.permissions.other_user import NOBODY
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM, make_qcow2
from tests.support.raw_client import command_bytes

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as another user")


def test_other_user_without_capabilities_serves_and_saves() -> None:
    vm = QEMUVM(["-drive", "if=none,id=d0,file=d0.qcow2,format=qcow2"])
    make_qcow2(vm.path("d0.qcow2"))
    with vm:
        vm.folder.chmod(0o755)
        os.chown(vm.qmp_path, NOBODY, NOBODY)
        own = vm.path("own")
        own.mkdir(mode=0o700)
        os.chown(own, NOBODY, NOBODY)
        dropped = ("--clear-groups", "--no-new-privs", "--bounding-set", "-all", "--inh-caps", "-all")
        user = ("setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), *dropped)
        program = (*user, "env", f"STATE_DIRECTORY={own}", sys.executable, "-m", "proxy")
        with ProxyProcess(own, vm.qmp_path, program=program) as proxy, proxy.negotiated() as client:
            client.send(command_bytes("human-monitor-command", {"command-line": "savevm t1"}, 1))
            assert b'"return": ""' in client.read_until_reply()[-1]
            assert os.stat(proxy.path).st_uid == NOBODY
        assert proxy.records[-1]["action"] == "rewritten"
