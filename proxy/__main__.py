"""`hmp-proxy`: the command. As a wrapper around QEMU it starts without what only the proxy needs, so that QEMU starts soon."""

import gc
import sys

from proxy.wrapping.qemu_name import is_name_of_qemu

__all__ = ["main"]

_WRAP = "wrap"


def main() -> int:
    """Run the proxy, or QEMU with its monitors moved to the proxy, and return the exit status that `--help` lists."""
    if is_name_of_qemu(sys.argv[0]) or sys.argv[1:2] == [_WRAP]:
        gc.disable()  # as in proxy/lean_start.py; the proxy that is forked enables it again
        from proxy.wrapping.command import main as wrap

        return wrap(sys.argv)
    from proxy.program import main as serve

    return serve()


if __name__ == "__main__":  # pragma: no cover - only in a process of its own, such as those of tests/proxy/test_vm_proxy.py
    sys.exit(main())
