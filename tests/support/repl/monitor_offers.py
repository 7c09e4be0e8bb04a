"""What QEMU's own human monitor offers at TAB, read from what it prints."""

import os
import re
import socket
import string
from pathlib import Path
from typing import Final

from tests.support.raw_client import DEADLINE_S
from tests.support.routing.keyboard import echo

__all__ = ["all_offers", "offers"]

_PROMPT: Final = b"(qemu) "
# No name has it.
_LAST_KEY: Final = b"~"
# READLINE_MAX_COMPLETIONS (include/qemu/readline.h): it keeps no more.
_MOST: Final = 256
_CHARACTERS: Final = string.ascii_letters + string.digits + "-_.,"


def offers(path: str | os.PathLike[str], line: str) -> set[str]:
    """Return the words that the last word of a line may become. They have no blanks in them."""
    printed = _printed(path, line.encode() + b"\t" + _LAST_KEY).partition(_PROMPT)[2]
    start = echo(line.encode()).removesuffix(b"\r\n")
    assert printed.startswith(start), printed
    told = printed.removeprefix(start)
    if told.startswith(b"\r\n") and _PROMPT in told:
        return set(told.partition(_PROMPT)[0].decode().split())
    # What is sole is put into the line, with a blank after it unless it ends with a slash.
    completed = re.sub(rb"\x1b\[D", b"", told).partition(b"\x1b[K")[0]
    return set() if completed.endswith(_LAST_KEY) else {completed.decode().removesuffix(" ").rpartition(" ")[2]}


def _printed(path: str | os.PathLike[str], keys: bytes) -> bytes:
    """Type this, whose last key is none of the line's, and return what is printed up to its echo."""
    printed = bytearray()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(str(path))
        client.sendall(keys)
        while not printed.endswith(_LAST_KEY + b"\x1b[K") and (data := client.recv(1 << 20)):
            printed += data
    return bytes(printed)


def all_offers(path: Path, command: str, prefix: str = "") -> set[str]:
    """Return all, where there are more than QEMU lists at once: by each character that may come next."""
    found = offers(path, f"{command} {prefix}")
    if len(found) < _MOST:
        return found
    return set().union(*(all_offers(path, command, prefix + character) for character in _CHARACTERS))
