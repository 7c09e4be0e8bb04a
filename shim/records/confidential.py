"""What of an audit record can be masked."""

from enum import StrEnum

__all__ = ["Confidential"]


class Confidential(StrEnum):
    """What can be masked.

    TAGS: names of snapshots. FILES: paths, and every text in which QEMU tells of its files. EXECUTABLES: the clients' programs
    and units. Whatever is masked, the words of command lines are.
    """

    TAGS = "tags"
    FILES = "files"
    EXECUTABLES = "executables"
