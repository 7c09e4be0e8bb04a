"""Twins with a human monitor each: one's is QEMU's own, the other's is the proxy's before a QEMU without one."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.integration.machines import Machine, machine
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM
from tests.integration.twins import normal_text
from tests.support.routing.keyboard import difference, typed
from tests.support.waiting import wait_for

__all__ = ["MONITOR", "HumanTwins", "human_twins", "proxied"]

MONITOR: Final = "-monitor unix:hmp.sock,server=on,wait=off"

# A socket holds some 270 writes that nobody has read, and each key is one. What waits beyond them QEMU drops at the end.
_UNREAD_BYTES: Final = 1000


@contextmanager
def proxied(vm: QEMUVM) -> Iterator[tuple[Path, Path]]:
    """Yield the sockets of QEMU's monitor and of the proxy's."""
    ours = vm.path("ours.sock")
    with ProxyProcess(vm.folder, vm.qmp_path, ["--hmp-listen", f"unix:{ours}"]) as proxy:
        wait_for(lambda: f"listening on unix:{ours} " in proxy.stderr)  # the other listener opens first
        yield vm.path("hmp.sock"), ours


@dataclass(frozen=True, slots=True)
class HumanTwins:
    """native_path, our_path: of the two monitors. native, ours: the machines behind them."""

    native: Machine
    native_path: Path
    ours: Machine
    our_path: Path

    def assert_same(self, *writes: bytes, descriptors: Sequence[int] = ()) -> None:
        """Type this into both, a connection each, and compare all that is printed. descriptors: go with the first write."""
        ours = typed(self.our_path, *writes, descriptors=descriptors)
        expected_bytes = len(ours) if len(ours) > _UNREAD_BYTES else 0
        native = typed(self.native_path, *writes, expected_bytes=expected_bytes, descriptors=descriptors)
        ours, native = _normal(ours), _normal(native)
        assert ours == native, difference(b"".join(writes), ours, native)


def _normal(printed: bytes) -> bytes:
    return normal_text(printed.decode("latin-1")).encode("latin-1")


@contextmanager
def human_twins(args: str, images: Mapping[str, str]) -> Iterator[HumanTwins]:
    """Start two machines with these arguments and images, with the monitor that both have."""
    with (
        machine(f"{MONITOR} {args}", images) as native,
        machine(f"{MONITOR} {args}", images) as ours,
        proxied(ours.vm) as (_, our_path),
    ):
        yield HumanTwins(native, native.vm.path("hmp.sock"), ours, our_path)
