"""A domain of libvirt's, from its definition to its end, with what a test sees of its disk and its memory."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.integration.machines import pattern_of
from tests.integration.tools.libvirt_guest import KEYS, TYPED_AT, Varstore, domain_xml, make_files
from tests.integration.tools.libvirt_host import LibvirtHost
from tests.integration.waiting import until

__all__ = ["Domain", "running_domain"]

_RELEASED = 0xF0


@dataclass(frozen=True, slots=True)
class Domain:
    host: LibvirtHost
    name: str

    def run(self, command: str, *words: str) -> str:
        """Run a command of virsh that takes a domain."""
        return self.host.virsh(command, self.name, *words)

    def hmp(self, line: str) -> str:
        return self.run("qemu-monitor-command", "--hmp", line)

    @property
    def state(self) -> str:
        """The state and how the domain came to it, such as `running (booted)`."""
        return self.run("domstate", "--reason")

    @property
    def snapshots(self) -> list[str]:
        """Their names, as libvirt knows them."""
        return self.run("snapshot-list", "--name").split()

    @property
    def disks(self) -> dict[str, str]:
        """The file of each disk that libvirt knows, by its name in the guest."""
        rows = self.run("domblklist").splitlines()
        return dict(row.split(maxsplit=1) for row in rows)

    @property
    def pid(self) -> int:
        """The process that libvirt takes for QEMU."""
        return int((self.host.folder / f"run/libvirt/qemu/run/{self.name}.pid").read_text())

    @property
    def image(self) -> Path:
        return self.host.folder / f"{self.name}.qcow2"

    def type(self, keys: str) -> None:
        """Press keys in turn, and wait until the guest has them in its memory."""
        expected = self.typed() + keys
        for key in keys:
            self.run("send-key", f"KEY_{key}")
        until(lambda: self.typed() == expected)

    def typed(self) -> str:
        """Return the keys that are in the guest's memory."""
        rows = self.hmp(f"xp /32bx {TYPED_AT:#x}").splitlines()
        codes = bytes(int(code, 16) for row in rows for code in re.findall(r" 0x(\w\w)", row))
        pressed = re.sub(rb"\xf0.", b"", codes.rstrip(b"\0"), flags=re.DOTALL)
        return "".join(KEYS[code] for code in pressed)

    def write(self, pattern: int, disk: str = "scsi0-0-0-0") -> None:
        """Fill the first 64 KiB of a disk with a byte. disk: as QEMU knows it."""
        assert self.hmp(f'qemu-io -d {disk} "write -q -P {pattern:#x} 0 64k"') == ""

    def pattern(self, disk: str = "scsi0-0-0-0", image: Path | None = None) -> int:
        """Return what `write` wrote to the content that is now current."""
        assert self.hmp(f"qemu-io -d {disk} flush") == ""
        return pattern_of(image or self.image)

    def restart_libvirtd(self) -> None:
        self.host.stop()
        self.host.start()


@contextmanager
def running_domain(host: LibvirtHost, name: str, emulator: str, varstore: Varstore, devices: str = "") -> Iterator[Domain]:
    """Start a domain; in the end it is destroyed and forgotten. varstore, devices: as for `domain_xml`."""
    for path in make_files(name, host.folder):
        host.give(path)
    definition = host.folder / f"{name}.xml"
    definition.write_text(domain_xml(name, host.folder, emulator, varstore, devices))
    host.virsh("define", str(host.give(definition)))
    domain = Domain(host, name)
    try:
        domain.run("start")
        yield domain
    finally:
        if not domain.state.startswith("shut off"):
            domain.run("destroy")
        domain.run("undefine", "--snapshots-metadata", "--managed-save", "--keep-nvram")
