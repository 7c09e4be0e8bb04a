"""A guest that keeps in its memory what is typed, and switches itself off when asked to: what libvirt's tests look at.

It is a UEFI machine to QEMU, with its code in pflash unit 0 and a raw varstore in unit 1.
"""

from enum import Enum, auto
from pathlib import Path
from typing import Final
from xml.sax.saxutils import quoteattr

from tests.integration.qemu_vm import KIB, make_qcow2, make_raw, rom

__all__ = ["KEYS", "TYPED_AT", "Varstore", "domain_xml", "make_files"]


class Varstore(Enum):
    """How a domain has its varstore.

    READ_ONLY: QEMU leaves it out of a snapshot.
    WRITABLE: QEMU refuses savevm. libvirt is not told of it, because it would refuse a snapshot before QEMU is asked.
    NVRAM: the same, but libvirt knows it.
    """

    READ_ONLY = auto()
    WRITABLE = auto()
    NVRAM = auto()


# Where the guest keeps what the keyboard sends, in the order in which it came. A key is released with 0xf0 and its own code.
TYPED_AT: Final = 0x8000
# Of scan code set 2, which is the keyboard's after a reset.
KEYS: Final = {0x1C: "A", 0x32: "B", 0x21: "C"}

# It has the timer's interrupt call it 18 times a second. Each time it takes what the keyboard has, and if the power button was
# pressed it turns the machine off. Without the APIC: it would have to be told to let that interrupt through.
_CODE: Final = bytes.fromhex(
    "fa 31c0 8ed8 8ed0 bc0070"  # cli; xor ax,ax; mov ds,ax; mov ss,ax; mov sp,0x7000
    "c70620007800 c706220000f0"  # mov word [0x20],tick; mov word [0x22],0xf000: vector 8
    "b013 e620 b008 e621 b003 e621 b0fe e621"  # 8259: vectors from 8, automatic end of interrupt, the timer's only
    "baf80c 66b8400b0080 66ef bafc0c 66b801060000 66ef"  # PIIX4 (device 1.3), register 0x40: its I/O at 0x600
    "baf80c 66b8800b0080 66ef bafc0c b001 ee"  # register 0x80: which is there
    "ba0206 b80001 ef"  # PM1_EN: tell of the power button
    "bb0080"  # mov bx,TYPED_AT
    "fb f4"  # wait: sti; hlt
    "e464 a801 7407 e460 8807 43 ebf3"  # keys: in al,0x64; test al,1; jz button; in al,0x60; mov [bx],al; inc bx; jmp keys
    "ba0006 ed f6c401 74e8"  # button: mov dx,PM1_STS; in ax,dx; test ah,1; jz wait
    "ba0406 b80020 ef ebdf"  # mov dx,PM1_CNT; mov ax,0x2000 (off); out dx,ax; jmp wait
    "cf"  # tick: iret
)

_XML: Final = """
<domain type="qemu" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <name>{name}</name>
  <memory unit="MiB">64</memory>
  <os><type arch="x86_64" machine="pc">hvm</type>{firmware}</os>
  <features><acpi/></features>
  <cpu mode="custom" match="exact" check="none"><model>qemu64</model><feature policy="disable" name="apic"/></cpu>
  <devices>
    <emulator>{emulator}</emulator>
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2" cache="unsafe"/>
      <source file="{folder}/{name}.qcow2"/>
      <target dev="sda" bus="scsi"/>
    </disk>
    <controller type="scsi" model="virtio-scsi"/>
    <controller type="usb" model="none"/>
    <memballoon model="none"/>
    {devices}
  </devices>
  <qemu:commandline>{arguments}</qemu:commandline>
</domain>
"""


def domain_xml(name: str, folder: Path, emulator: str, varstore: Varstore, devices: str = "") -> str:
    """Return the definition of a domain whose files are `make_files`. devices: the definitions of further ones."""
    arguments, firmware = "", ""
    if varstore is Varstore.NVRAM:
        firmware = f'<loader readonly="yes" type="pflash">{folder}/code.rom</loader><nvram>{folder}/{name}.raw</nvram>'
    else:
        read_only = "on" if varstore is Varstore.READ_ONLY else "off"
        code = f"if=pflash,unit=0,format=raw,readonly=on,file={folder}/code.rom"
        variables = f"if=pflash,unit=1,format=raw,readonly={read_only},file={folder}/{name}.raw"
        arguments = "".join(f"<qemu:arg value={quoteattr(word)}/>" for word in ("-drive", code, "-drive", variables))
    return _XML.format(name=name, folder=folder, emulator=emulator, firmware=firmware, devices=devices, arguments=arguments)


def make_files(name: str, folder: Path) -> list[Path]:
    """Make a domain's disk `<name>.qcow2` and varstore `<name>.raw`, and the code. Return them."""
    code = rom(_CODE)
    return [
        make_raw(folder / "code.rom", len(code), content=code),
        make_raw(folder / f"{name}.raw", content=b"\xaa" * 64 * KIB),
        make_qcow2(folder / f"{name}.qcow2"),
    ]
