"""Disks on QEMU's command line. Their image is `<name>.<format>`, relative to the VM's folder."""

from typing import Final

__all__ = ["BIOS", "FLASH_CODE", "blockdev", "disk", "drive", "virtio"]

BIOS: Final = "-bios idle.rom"
# The same guest in pflash unit 0, for a varstore in unit 1.
FLASH_CODE: Final = "-drive if=pflash,unit=0,format=raw,readonly=on,file=idle.rom"


def drive(name: str, *options: str, format: str = "qcow2") -> str:
    # Without flushes: what QEMU writes need not outlive the host.
    return ",".join((f"-drive if=none,id={name},format={format},file={name}.{format},cache=unsafe", *options))


def virtio(node: str, *options: str) -> str:
    return ",".join((f"-device virtio-blk-pci,drive={node}", *options))


def disk(name: str, *options: str, format: str = "qcow2") -> str:
    return f"{drive(name, *options, format=format)} {virtio(name)}"


def blockdev(name: str, *options: str, format: str = "qcow2") -> str:
    file = f"file.driver=file,file.filename={name}.{format}"
    return ",".join((f"-blockdev driver={format},node-name={name},cache.no-flush=on,{file}", *options))
