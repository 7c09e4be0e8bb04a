"""`python -m demo.prompt`: hmp-repl on a VM to play with, which is gone after leaving the prompt."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from demo.errors import DemoError
from demo.vm import ROOT, VM, is_listening, running, temporary_folder

__all__ = ["main", "playground"]

_START_DEADLINE_S: Final = 10.0
_RETRY_S: Final = 0.01
_INTRODUCTION: Final = """\
A small VM with the disks of a UEFI guest: d0 (qcow2), and pflash1, a raw varstore that cannot hold a snapshot.
Try: savevm t1, info snapshots, plan loadvm t1, help. Tab completes. Ctrl-D leaves, and the VM is gone then.
"""


def main() -> int:
    """Run the prompt, and return its exit status."""
    # Ctrl-C is for the prompt, which has the terminal.
    signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with playground() as vm:
            sys.stdout.write(_INTRODUCTION)
            sys.stdout.flush()
            command = [sys.executable, "-m", "repl", str(vm.qmp_path), "--history", "", *sys.argv[1:]]
            with subprocess.Popen(command, cwd=ROOT) as prompt:
                for number in (signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, lambda *_: prompt.terminate())
                return prompt.wait()
    except (DemoError, OSError) as exc:
        sys.stderr.write(f"demo: {exc}\n")
        return 1


@contextmanager
def playground() -> Iterator[VM]:
    """Start a VM in a folder of its own; both are gone when the context ends. Raises DemoError."""
    with temporary_folder() as folder:
        vm = VM(folder)
        vm.make_images()
        with running("QEMU", vm.command(), vm.log) as qemu:
            deadline = time.monotonic() + _START_DEADLINE_S
            while not is_listening(vm.qmp_path):
                qemu.check_alive()
                if time.monotonic() > deadline:
                    raise DemoError("QEMU does not open its monitor")
                time.sleep(_RETRY_S)
            yield vm


if __name__ == "__main__":
    sys.exit(main())
