"""A client that types at a human monitor, whoever's it is, and what it gets to see."""

import os
import random
import socket
from collections.abc import Sequence
from itertools import pairwise

from tests.support.raw_client import DEADLINE_S

__all__ = ["difference", "echo", "in_pieces", "received", "typed"]


def typed(path: str | os.PathLike[str], *writes: bytes, expected_bytes: int = 0, descriptors: Sequence[int] = ()) -> bytes:
    """Type this, send no more, and return all that is printed up to the end.

    expected_bytes: the end is sent once so much is printed. QEMU drops what waits for a slow reader when the end comes.
    descriptors: go with the first write.
    """
    printed = bytearray()
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(str(path))
        try:
            for number, data in enumerate(writes):
                socket.send_fds(client, [data], [] if number else list(descriptors))
            while len(printed) < expected_bytes and (data := client.recv(1 << 20)):
                printed += data
            client.shutdown(socket.SHUT_WR)
        except TimeoutError:
            printed += b"... and no more"
        except OSError:
            pass  # it has ended already, which is found out below
        return bytes(printed) + received(client)


def received(client: socket.socket) -> bytes:
    """Return all that comes up to the end, or to the reset with which a monitor ends that has not read all."""
    printed = bytearray()
    try:
        while data := client.recv(1 << 20):
            printed += data
    except TimeoutError:
        printed += b"... and no end"
    except ConnectionResetError:
        pass
    return bytes(printed)


def echo(line: bytes) -> bytes:
    """Return what a monitor prints while a line is typed, up to and with its Enter."""
    prefixes = (b"\x1b[D" * end + line[: end + 1] + b"\x1b[K" for end in range(len(line)))
    return b"".join(prefixes) + b"\r\n"


def in_pieces(keys: bytes, rng: random.Random) -> list[bytes]:
    """Cut what is typed into four writes, some of which may be empty."""
    ends = [0, *sorted(rng.choices(range(len(keys) + 1), k=3)), len(keys)]
    return [keys[start:end] for start, end in pairwise(ends)]


def difference(keys: bytes, ours: bytes, native: bytes) -> str:
    """Return what was typed, and both texts from shortly before where they part."""
    same = next((index for index, (a, b) in enumerate(zip(ours, native, strict=False)) if a != b), min(len(ours), len(native)))
    start = max(same - 60, 0)
    return f"{keys!r} at {same}:\nours   {ours[start : same + 200]!r}\nnative {native[start : same + 200]!r}"
