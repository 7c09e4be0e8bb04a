"""What a domain has for its emulator: QEMU itself, or the wrapper in front of it."""

import json
import sys
from typing import Any, Final

from tests.integration.qemu_vm import qemu_binary
from tests.integration.tools.libvirt_host import LibvirtHost
from tests.support.checkout import ROOT

__all__ = ["emulator", "records_of"]

# libvirt passes on little of its environment, and not what Python keeps compiled.
_WRAPPER: Final = """#!/bin/sh
export PYTHONPATH={root} PYTHONPYCACHEPREFIX={folder}/compiled
exec {python} -m proxy wrap --qemu {qemu} --audit {folder}/audit.jsonl -- qemu-system-x86_64 "$@"
"""


def emulator(host: LibvirtHost, way: str) -> str:
    """Return the path of a domain's emulator. way: "native" or "wrapped"."""
    if way == "native":
        return qemu_binary()
    path = host.folder / "qemu-system-x86_64"
    if not path.exists():
        path.write_text(_WRAPPER.format(root=ROOT, folder=host.folder, python=sys.executable, qemu=qemu_binary()))
        path.chmod(0o755)
    return str(path)


def records_of(host: LibvirtHost) -> list[dict[str, Any]]:
    """Return the audit records of all wrapped domains so far."""
    return [json.loads(line) for line in (host.folder / "audit.jsonl").read_text().splitlines()]
