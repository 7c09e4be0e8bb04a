"""What can be masked in an audit record."""

from enum import StrEnum

__all__ = ["Confidential"]


class Confidential(StrEnum):
    """What can be masked.

    TAGS: names of snapshots. FILES: paths, and every text in which QEMU mentions its files. EXECUTABLES: the clients' programs
    and units. With any of these, the arguments in the clients' own command lines (`argv`) are masked too.
    """

    TAGS = "tags"
    FILES = "files"
    EXECUTABLES = "executables"
