"""Whether we are called in QEMU's place. It is asked at every start, so this needs nothing else."""

from typing import Final

__all__ = ["is_name_of_qemu"]

_PREFIX: Final = "qemu-system-"


def is_name_of_qemu(program: str) -> bool:
    """Return whether the program was called by a name of QEMU."""
    return program.rpartition("/")[2].startswith(_PREFIX)
