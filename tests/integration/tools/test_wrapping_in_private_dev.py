"""The wrapper and QEMU with a /dev of their own, in which there is little: libvirt's service makes one for each domain."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.integration.qemu_vm import qemu_binary
from tests.support.checkout import ROOT
from tests.support.proxy_command import SLOW_CALLBACK

# What is mounted is seen by this program and what it starts. $1: a folder.
_PRIVATE_DEV: Final = """
mount --make-rprivate / && touch "$1/null" && mount --bind /dev/null "$1/null" && mount --rbind "$1" /dev && shift && exec "$@"
"""
_UNSHARE: Final = ("unshare", "--mount")


def can_mount() -> bool:
    return (
        os.geteuid() == 0
        and shutil.which("unshare") is not None
        and not subprocess.run([*_UNSHARE, "true"], capture_output=True).returncode
    )


@pytest.mark.skipif(not can_mount(), reason="only root can have a /dev of its own, and not in every container")
def test_qemu_starts_without_dev_fd(tmp_path: Path) -> None:
    wrapped = (sys.executable, "-m", "proxy", "wrap", "--qemu", qemu_binary(), "--", "qemu-system-x86_64")
    machine = ("-machine", "pc", "-accel", "tcg", "-m", "32", "-display", "none", "-nodefaults", "-S", "-qmp", "stdio")
    commands = "".join(json.dumps({"execute": name}) for name in ("qmp_capabilities", "query-status", "quit"))
    ended = subprocess.run(
        [*_UNSHARE, "sh", "-c", _PRIVATE_DEV, "sh", tmp_path, *wrapped, *machine],
        cwd=ROOT,
        input=commands,
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, SLOW_CALLBACK.sub("", ended.stderr)) == (0, "")
    replies = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [reply["return"]["status"] for reply in replies if reply.get("return")] == ["prelaunch"]
