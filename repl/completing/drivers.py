"""Which devices QEMU has, with the bus that each needs: those of x86, which has nearly all that other machines have.

They are listed here because it is dangerous to ask QEMU for them (repl/completing/__init__.py). The list is from `device_add
help` of 7.2, 10.0 and 11.1; a device that only a newer QEMU has is missing, but can be typed all the same. CPU types are not
here: those QEMU can be asked for.
"""

from collections.abc import Iterable
from functools import cache

from repl.completion_data import Named
from shim.qmp import QEMUVersion

__all__ = ["ALIASES", "drivers", "is_safe_to_ask_about"]

# `NAME>10.0`: added between 7.2 and 10.0. `NAME<10.0`: removed in that time. `NAME>11.1`: added between 10.0 and 11.1.
_BY_BUS = """
- other: hv-syndbg ipmi-bmc-extern ipmi-bmc-sim tpm-crb vmclock>10.0 vmcoreinfo vmgenid
ISA display: isa-cirrus-vga isa-vga
ISA input: i8042 isa-parallel isa-serial vmmouse
ISA network: ne2k_isa
ISA other: hyperv-testdev isa-applesmc isa-debug-exit isa-debugcon isa-ipmi-bt isa-ipmi-kcs mc146818rtc pc-testdev pvpanic
  tpm-tis
ISA storage: isa-ide
PCI USB: ich9-usb-ehci1 ich9-usb-ehci2 ich9-usb-uhci1 ich9-usb-uhci2 ich9-usb-uhci3 ich9-usb-uhci4 ich9-usb-uhci5
  ich9-usb-uhci6 nec-usb-xhci piix3-usb-uhci piix4-usb-uhci qemu-xhci usb-ehci
PCI bridge: i82801b11-bridge pcie-pci-bridge
PCI display: VGA ati-vga bochs-display secondary-vga vhost-user-gpu-pci vhost-user-vga virtio-gpu-gl-pci virtio-gpu-pci
  virtio-vga virtio-vga-gl vmware-svga
PCI input: pci-serial pci-serial-2x pci-serial-4x vhost-user-gpio-pci vhost-user-i2c-pci vhost-user-input-pci
  vhost-user-rng-pci vhost-user-spi-pci>11.1 vhost-user-test-device-pci>11.1 virtio-input-host-pci virtio-keyboard-pci
  virtio-mouse-pci virtio-multitouch-pci>10.0 virtio-serial-pci virtio-serial-pci-non-transitional
  virtio-serial-pci-transitional virtio-tablet-pci
PCI network: ne2k_pci pcnet rtl8139 tulip virtio-net-pci virtio-net-pci-non-transitional virtio-net-pci-transitional
PCI other: edu pvpanic-pci vhost-user-rtc-pci>11.1 vhost-user-vsock-pci vhost-user-vsock-pci-non-transitional
  vhost-vdpa-device-pci>10.0 vhost-vdpa-device-pci-non-transitional>10.0 vhost-vdpa-device-pci-transitional>10.0
  vhost-vsock-pci vhost-vsock-pci-non-transitional virtio-balloon-pci virtio-balloon-pci-non-transitional
  virtio-balloon-pci-transitional virtio-crypto-pci virtio-iommu-pci virtio-mem-pci virtio-pmem-pci virtio-rng-pci
  virtio-rng-pci-non-transitional virtio-rng-pci-transitional virtio-rtc-pci>11.1 x-pci-proxy-dev
PCI sound: vhost-user-snd-pci>10.0
PCI storage: ich9-ahci lsi53c810 lsi53c895a piix3-ide piix4-ide pvscsi sdhci-pci vhost-scsi-pci
  vhost-scsi-pci-non-transitional vhost-scsi-pci-transitional vhost-user-blk-pci vhost-user-blk-pci-non-transitional
  vhost-user-blk-pci-transitional vhost-user-fs-pci vhost-user-scsi-pci vhost-user-scsi-pci-non-transitional
  vhost-user-scsi-pci-transitional virtio-9p-pci virtio-9p-pci-non-transitional virtio-9p-pci-transitional virtio-blk-pci
  virtio-blk-pci-non-transitional virtio-blk-pci-transitional virtio-scsi-pci virtio-scsi-pci-non-transitional
  virtio-scsi-pci-transitional
System bridge: vmbus-bridge
System other: uefi-vars-sysbus>10.0 uefi-vars-x64>10.0
i2c-bus other: i2c-ddc i2c-echo>10.0 smbus-ipmi
nitro-vsock-bus other: nitro-heartbeat>11.1 nitro-serial-vsock>11.1
sd-bus storage: sd-card
usb-bus bridge: usb-host usb-hub
usb-bus input: usb-braille usb-kbd usb-mouse usb-serial usb-tablet
usb-bus network: usb-net
usb-bus other: usb-redir
usb-bus sound: usb-audio
usb-bus storage: usb-bot usb-storage usb-uas
virtio-bus display: vhost-user-gpu virtio-gpu-device
virtio-bus input: vhost-user-gpio-device vhost-user-i2c-device vhost-user-input vhost-user-rng vhost-user-spi-device>11.1
  vhost-user-test-device>11.1 virtio-input-host-device virtio-keyboard-device virtio-mouse-device
  virtio-multitouch-device>10.0 virtio-serial-device virtio-tablet-device
virtio-bus network: virtio-net-device
virtio-bus other: vhost-user-rtc>11.1 vhost-user-vsock-device vhost-vsock-device virtio-balloon-device virtio-crypto-device
  virtio-iommu-device virtio-mem virtio-rng-device virtio-rtc-device>11.1
virtio-bus sound: vhost-user-snd>10.0 virtio-sound-device>10.0
virtio-bus storage: vhost-scsi vhost-user-blk vhost-user-fs-device vhost-user-scsi virtio-9p-device virtio-blk-device
  virtio-pmem virtio-scsi-device
virtio-serial-bus input: virtconsole virtserialport
vmbus other: hv-balloon>10.0
xen-bus network: xen-net-device>10.0
xen-bus other: xen-console>10.0
xen-sysbus other: xen-backend>10.0
"""
_DESCRIBED = """
AC97 PCI Intel 82801AA AC97 Audio
AMDVI-PCI PCI AMD IOMMU (AMD-Vi) DMA Remapping device
ES1370 PCI ENSONIQ AudioPCI ES1370
acpi-erst PCI ACPI Error Record Serialization Table (ERST) device
adlib ISA Yamaha YM3812 (OPL2)
am53c974 PCI AMD Am53c974 PCscsi-PCI SCSI adapter
amd-iommu System AMD IOMMU (AMD-Vi) DMA Remapping device
ccid-card-emulated ccid-bus emulated smartcard
ccid-card-passthru ccid-bus passthrough smartcard
cirrus-vga PCI Cirrus CLGD 54xx VGA
cs4231a ISA Crystal Semiconductor CS4231A
ctucan_pci PCI CTU CAN PCI
cxl-downstream PCI CXL Switch Downstream Port
cxl-rp PCI CXL Root Port
cxl-switch-mailbox-cci>10.0 PCI CXL Switch Mailbox CCI
cxl-type3 PCI CXL Memory Device (Type 3)
cxl-upstream PCI CXL Switch Upstream Port
dc390 PCI Tekram DC-390 SCSI adapter
e1000 PCI Intel Gigabit Ethernet
e1000-82544gc PCI Intel Gigabit Ethernet
e1000-82545em PCI Intel Gigabit Ethernet
e1000e PCI Intel 82574L GbE Controller
emmc>11.1 sd-bus eMMC
floppy floppy-bus virtual floppy drive
guest-loader - Guest Loader
gus ISA Gravis Ultrasound GF1
hda-duplex HDA HDA Audio Codec, duplex (line-out, line-in)
hda-micro HDA HDA Audio Codec, duplex (speaker, microphone)
hda-output HDA HDA Audio Codec, output-only (line-out)
i6300esb PCI Intel 6300ESB
i82550 PCI Intel i82550 Ethernet
i82551 PCI Intel i82551 Ethernet
i82557a PCI Intel i82557A Ethernet
i82557b PCI Intel i82557B Ethernet
i82557c PCI Intel i82557C Ethernet
i82558a PCI Intel i82558A Ethernet
i82558b PCI Intel i82558B Ethernet
i82559a PCI Intel i82559A Ethernet
i82559b PCI Intel i82559B Ethernet
i82559c PCI Intel i82559C Ethernet
i82559er PCI Intel i82559ER Ethernet
i82562 PCI Intel i82562 Ethernet
i82801 PCI Intel i82801 Ethernet
ib700 ISA iBASE 700
ich9-intel-hda PCI Intel HD Audio Controller (ich9)
ide-cd IDE virtual IDE CD-ROM
ide-cf>10.0 IDE virtual CompactFlash card
ide-hd IDE virtual IDE disk
igb>10.0 PCI Intel 82576 Gigabit Ethernet Controller
intel-hda PCI Intel HD Audio Controller (ich6)
intel-iommu System Intel IOMMU (VT-d) DMA Remapping device
ioh3420 PCI Intel IOH device id 3420 PCIE Root Port
iommu-testdev>11.1 PCI A test device for IOMMU
ipoctal232 IndustryPack GE IP-Octal 232 8-channel RS-232 IndustryPack
isa-fdc ISA virtual floppy controller
ivshmem-doorbell PCI Inter-VM shared memory
ivshmem-plain PCI Inter-VM shared memory
kvaser_pci PCI Kvaser PCICANx
loader - Generic Loader
megasas PCI LSI MegaRAID SAS 1078
megasas-gen2 PCI LSI MegaRAID SAS 2108
mioe3680_pci PCI Mioe3680 PCICANx
mptsas1068 PCI LSI SAS 1068
nvdimm - DIMM memory module
nvme PCI Non-Volatile Memory Express
nvme-ns nvme-bus Virtual NVMe namespace
nvme-subsys - Virtual NVMe subsystem
pc-dimm - DIMM memory module
pci-bridge PCI Standard PCI Bridge
pci-bridge-seat PCI Standard PCI Bridge (multiseat)
pci-ipmi-bt PCI PCI IPMI BT
pci-ipmi-kcs PCI PCI IPMI KCS
pci-ohci PCI Apple USB Controller
pci-testdev PCI PCI Test Device
pcie-root-port PCI PCI Express Root Port
pcm3680_pci PCI Pcm3680i PCICANx
pvrdma<10.0 PCI RDMA Device
pxb PCI PCI Expander Bridge
pxb-cxl PCI CXL Host Bridge
pxb-pcie PCI PCI Express Expander Bridge
qxl PCI Spice QXL GPU (secondary)
qxl-vga PCI Spice QXL GPU (primary, vga compatible)
ramfb System ram framebuffer standalone device
rocker PCI Rocker Switch
sb16 ISA Creative Sound Blaster 16
scsi-block SCSI SCSI block device passthrough
scsi-cd SCSI virtual SCSI CD-ROM
scsi-generic SCSI pass through generic scsi device (/dev/sg*)
scsi-hd SCSI virtual SCSI disk
sd-card-spi>10.0 sd-bus SD SPI
sga<10.0 ISA Serial Graphics Adapter
sp-mem>11.1 - SPM (Specific Purpose Memory) device
tpci200 PCI TEWS TPCI200 IndustryPack carrier
u2f-passthru usb-bus QEMU U2F passthrough key
ufs>10.0 PCI Universal Flash Storage
ufs-lu>10.0 ufs-bus Virtual UFS logical unit
usb-ccid usb-bus CCID Rev 1.1 smartcard reader
usb-mtp usb-bus USB Media Transfer Protocol device
usb-wacom-tablet usb-bus QEMU PenPartner Tablet
vfio-pci PCI VFIO-based PCI device assignment
vfio-pci-igd-lpc-bridge PCI VFIO dummy ISA/LPC bridge for IGD assignment
vfio-pci-nohotplug PCI VFIO-based PCI device assignment
vfio-user-pci>11.1 PCI VFIO over socket PCI device assignment
vhost-vdpa-device>10.0 virtio-bus VDPA-based generic device assignment
virtio-sound-pci>10.0 PCI Virtio Sound
vmxnet3 PCI VMWare Paravirtualized Ethernet v3
x3130-upstream PCI TI X3130 Upstream Port of PCI Express Switch
xen-cdrom>10.0 xen-bus Xen CD-ROM Device
xen-disk>10.0 xen-bus Xen Disk Device
xen-platform>10.0 PCI XEN platform pci device
xio3130-downstream PCI TI X3130 Downstream Port of PCI Express Switch
"""
_UP_TO = {"10.0": (7, 3), "11.1": (10, 1)}
# The names that people type, on x86 and wherever there is PCI (softmmu/qdev-monitor.c, qdev_alias_table).
ALIASES = {
    "ac97": "AC97",
    "ahci": "ich9-ahci",
    "e1000-82540em": "e1000",
    "es1370": "ES1370",
    "lsi": "lsi53c895a",
    "virtio-9p": "virtio-9p-pci",
    "virtio-balloon": "virtio-balloon-pci",
    "virtio-blk": "virtio-blk-pci",
    "virtio-gpu": "virtio-gpu-pci",
    "virtio-gpu-gl": "virtio-gpu-gl-pci",
    "virtio-input-host": "virtio-input-host-pci",
    "virtio-iommu": "virtio-iommu-pci",
    "virtio-keyboard": "virtio-keyboard-pci",
    "virtio-mouse": "virtio-mouse-pci",
    "virtio-net": "virtio-net-pci",
    "virtio-rng": "virtio-rng-pci",
    "virtio-scsi": "virtio-scsi-pci",
    "virtio-serial": "virtio-serial-pci",
    "virtio-sound": "virtio-sound-pci",
    "virtio-tablet": "virtio-tablet-pci",
}
# Devices in modules that QEMU loads when they are named (util/module.c; the modules of QEMU 7.2 to 11.1).
_IN_MODULES = ("virtio-gpu", "virtio-vga", "vhost-user-gpu", "vhost-user-vga", "qxl", "ccid-card-", "uefi-vars-")
_MODULES = frozenset({"usb-host", "usb-redir"})


@cache
def drivers(version: QEMUVersion) -> tuple[Named, ...]:
    """Return the devices of a version and their aliases, sorted by name, each with what it is; its type is the bus it needs.

    The type is "" for a device that needs none.
    """
    found = [*_read_described(version), *_read_by_bus(version)]
    needed = {one.name: one.type for one in found}
    aliases = [Named(alias, f"alias of {name}", needed.get(name, "")) for alias, name in ALIASES.items()]
    return tuple(sorted([*found, *aliases], key=lambda one: one.name.lower()))


def is_safe_to_ask_about(driver: str, known: Iterable[Named]) -> bool:
    """Return whether device-list-properties for this type loads no module. known: what `drivers` returns for this QEMU."""
    name = ALIASES.get(driver, driver)
    is_known = name.endswith("-cpu") or any(name == one.name for one in known)
    return is_known and name not in _MODULES and not name.startswith(_IN_MODULES)


def _read_described(version: QEMUVersion) -> list[Named]:
    lines = [line.split(" ", 2) for line in _DESCRIBED.strip().splitlines()]
    return [Named(_name(marked), f"{bus}, {text}", _bus(bus)) for marked, bus, text in lines if _is_in(marked, version)]


def _read_by_bus(version: QEMUVersion) -> list[Named]:
    found: list[Named] = []
    for line in _BY_BUS.strip().replace("\n  ", " ").splitlines():
        kind, _, names = line.partition(": ")
        bus, _, category = kind.partition(" ")
        found += [
            Named(_name(name), category if bus == "-" else f"{bus}, {category}", _bus(bus))
            for name in names.split()
            if _is_in(name, version)
        ]
    return found


def _bus(listed: str) -> str:
    return "" if listed == "-" else listed


def _name(marked: str) -> str:
    return marked.partition(">")[0].partition("<")[0]


def _is_in(marked: str, version: QEMUVersion) -> bool:
    _, _, came = marked.partition(">")
    _, _, went = marked.partition("<")
    return (not came or version >= _UP_TO[came]) and (not went or version < (10, 0))
