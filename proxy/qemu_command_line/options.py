"""QEMU's command line, word by word, as QEMU walks it (system/vl.c, lookup_opt; the options are in qemu-options.hx).

An option is a word that begins with `-`, or with `--`, which means the same. Its argument is always the next word, whatever
that looks like. A word without `-` is the image of a disk. QEMU walks all words before it does anything, so a wrong word
anywhere ends it; errors are left to QEMU.

The tables are the union of QEMU 5.2 to 11.1. No option has an argument in one of 7.2, 10.0 and 11.1 and none in another.
tests/integration/wrapping/test_qemu_command_line_on_qemu.py compares them with a real QEMU.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["WITHOUT_ARGUMENT", "WITH_ARGUMENT", "Option", "walk"]

_WITHOUT_ARGUMENT_TEXT: Final = """
    S alt-grab async-teardown audio-help ctrl-grab curses daemonize enable-fips enable-hax enable-kvm enable-sync-profile
    full-screen h help jitdump mem-prealloc no-acpi no-fd-bootchk no-hpet no-quit no-reboot no-shutdown no-user-config
    nodefaults nographic old-param only-migratable perfmap portrait preconfig s sdl semihosting show-cursor singlestep snapshot
    usb version win2k-hack xen-attach xen-domid-restrict
"""
WITHOUT_ARGUMENT: Final = frozenset(_WITHOUT_ARGUMENT_TEXT.split())

_WITH_ARGUMENT_TEXT: Final = """
    D L M accel acpitable action add-fd append audio audiodev bios blockdev boot cdrom chardev chroot compat cpu d debugcon
    device dfilter display drive dtb dump-vmstate echr fda fdb fsdev fw_cfg g gdb global hda hdb hdc hdd icount incoming initrd
    iscsi k kernel loadvm m machine mem-path mon monitor msg mtdblock name net netdev nic numa object option-rom overcommit
    parallel pflash pidfile plugin prom-env qmp qmp-pretty qtest qtest-log readconfig realtime rotate rtc run-with runas sandbox
    sd seed semihosting-config serial set shim smbios smp soundhw spice tb-size tpmdev trace usbdevice uuid vga virtfs
    virtioconsole vnc watchdog watchdog-action writeconfig xen-domid
"""
WITH_ARGUMENT: Final = frozenset(_WITH_ARGUMENT_TEXT.split())


@dataclass(frozen=True, slots=True)
class Option:
    """An option on the command line.

    Attributes:
        name: without the leading hyphens.
        argument: None for an option that takes none, and if the command line ends before it.
        at: the position of its first word.
    """

    name: str
    argument: str | None
    at: int

    @property
    def lacks_its_argument(self) -> bool:
        """Whether QEMU refuses the command line because it ends here."""
        return self.argument is None and self.name in WITH_ARGUMENT

    @property
    def end(self) -> int:
        """The position after its last word."""
        return self.at + (1 if self.argument is None else 2)

    def __str__(self) -> str:
        return f"-{self.name}" if self.argument is None else f"-{self.name} {self.argument}"


def walk(words: Sequence[str]) -> Iterator[Option]:
    """Yield the options among the words after the program's name; disk images between them are skipped.

    An option that is in neither table is taken for a newer one, and the next word for its argument unless that looks like an
    option.
    """
    at = 0
    while at < len(words):
        word = words[at]
        if not word.startswith("-"):
            at += 1
            continue
        name = word.removeprefix("-").removeprefix("-")
        following = words[at + 1] if at + 1 < len(words) else None
        option = Option(name, following if _takes(name, following) else None, at)
        yield option
        at = option.end


def _takes(name: str, following: str | None) -> bool:
    if name in WITH_ARGUMENT or following is None:
        return following is not None
    return name not in WITHOUT_ARGUMENT and not following.startswith("-")
