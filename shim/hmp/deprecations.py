"""Which HMP commands, and which options of them, QEMU deprecated or dropped, and in which release.

Taken from QEMU's docs/about/deprecated.rst and docs/about/removed-features.rst, each entry with the release in its heading
there; what these documents do not list has its source in a comment. tests/integration/hmp/test_replacements_on_qemu.py compares
the table with what each real QEMU lists. New commands are not in it.

To update it for a release: read the section about HMP commands in both documents, add lines, and raise NEWEST.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = ["CHANGES", "NEWEST", "NEWEST_AS_OF", "OLDEST", "WITHOUT_HMP", "Change", "Release"]

# Major and minor: a point release drops nothing.
Release: TypeAlias = tuple[int, int]

# The range in which the table is compared with real releases; it also lists earlier changes.
OLDEST: Final[Release] = (7, 2)
NEWEST: Final[Release] = (11, 2)
# The state of NEWEST that the table was made from; "" once NEWEST is released and the table was compared with it.
NEWEST_AS_OF: Final = "September 2026"

# From this release on QEMU can be built without HMP (`configure --disable-hmp`, meson's option `hmp`, CONFIG_HMP; pull request
# "nohmp", merged in September 2026, after 11.1). Such a QEMU refuses human monitors and has no human-monitor-command.
WITHOUT_HMP: Final[Release] = (11, 2)


@dataclass(frozen=True, slots=True)
class Change:
    """What became of an HMP command.

    command: its name in shim.hmp.replacements. option: which part of it changed; "" for all of it. deprecated, gone: the first
    release in which it is so; None if it is not yet, or if no release announced it. instead: what QEMU says to use; "" if the
    table of replacements says it.
    """

    command: str
    option: str = ""
    deprecated: Release | None = None
    gone: Release | None = None
    instead: str = ""


_MIRROR: Final = "blockdev-mirror to an NBD export"
_PARAMETERS: Final = "migrate-set-parameters"

CHANGES: Final = (
    Change("hostfwd_add", "a hub_id and a name", gone=(5, 0), instead="a netdev_id"),
    Change("hostfwd_remove", "a hub_id and a name", gone=(5, 0), instead="a netdev_id"),
    Change("cpu-add", gone=(5, 2), instead="device_add"),
    Change("change", "a VNC address", gone=(6, 0), instead="display-update"),
    *(
        Change(name, gone=(6, 0), instead="authorization objects (object-add of an authz type)")
        for name in ("acl_show", "acl_reset", "acl_policy", "acl_add", "acl_remove")
    ),
    Change("migrate_set_cache_size", gone=(6, 0), instead=_PARAMETERS),
    Change("info migrate_cache_size", gone=(6, 0), instead="query-migrate-parameters"),
    Change("migrate_set_downtime", gone=(6, 0), instead=_PARAMETERS),
    Change("migrate_set_speed", gone=(6, 0), instead=_PARAMETERS),
    Change("info cpustats", gone=(6, 1), instead="nothing: it had no output any more"),
    # "monitor: remove 'info ioapic' HMP command", pulled in November 2021; `info pic` shows the same. Not there in 7.2.
    Change("info ioapic", gone=(6, 2), instead="info pic, which QMP has no equivalent of"),
    # "accel/tcg: remove CONFIG_PROFILER", of which QEMU's developers say "released with QEMU v8.1.0".
    Change("info profile", gone=(8, 1), instead="nothing: QEMU has no such profiler any more"),
    Change("singlestep", deprecated=(8, 1), gone=(9, 0), instead="HMP's one-insn-per-tb, which QMP has no equivalent of"),
    Change("migrate", "-b or -i", deprecated=(8, 2), gone=(9, 1), instead=_MIRROR),
    Change("migrate_set_capability", "block", deprecated=(8, 2), gone=(9, 1), instead=_MIRROR),
    Change("migrate_set_capability", "compress", deprecated=(8, 2), gone=(9, 1), instead="multifd-compression"),
    Change("migrate_set_parameter", "compress-level", (8, 2), (9, 1), "multifd-zlib-level or multifd-zstd-level"),
    Change("migrate_set_parameter", "compress-threads", (8, 2), (9, 1), "multifd-channels"),
    Change("migrate_set_parameter", "compress-wait-thread", (8, 2), (9, 1), "nothing"),
    Change("migrate_set_parameter", "decompress-threads", (8, 2), (9, 1), "multifd-channels"),
    # With "pvrdma and the RDMA subsystem (removed in 9.1)". There in 7.2, not in 10.0.
    Change("info rdma", gone=(9, 1), instead="nothing: QEMU has no such device any more"),
    # "accel/tcg: Remove 'info opcount' and @x-query-opcount", pulled in July 2025, before 10.1. There in 10.0, not in 11.1.
    Change("info opcount", gone=(10, 1), instead="nothing: since 8.1 it had no output any more"),
    Change("wavcapture", deprecated=(10, 2)),
    Change("stopcapture", deprecated=(10, 2)),
    Change("info capture", deprecated=(10, 2)),
)
