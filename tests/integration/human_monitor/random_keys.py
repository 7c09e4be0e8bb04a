"""What random clients type at a human monitor: keys of all kinds, and commands that print the same a second time."""

import random
from collections.abc import Sequence
from typing import Final

__all__ = ["STEMS", "typed_at_random", "with_telnet"]

# Of each string.
MAX_PIECES: Final = 40

# They print the same a second time. None takes a number: HMP shows one byte of what is none, which JSON cannot carry.
COMMANDS: Final = [
    *("info status", "info uuid", "info version", "info name", "info history", "info kvm", "info"),
    *("info foo bar", "info/status", " info  status ", 'info "status"', "info status x", "help stop", "? info status"),
    *("stop", "s", "stop x", "foo", "  foo bar", " ", '"', "delvm", "migrate"),
]
# QEMU completes their arguments.
OTHER_COMMANDS: Final = ["change vnc password", "loadvm t", "device_del x", "info block", "hostfwd_add"]
KEYS: Final = [
    *(bytes([byte]) for byte in range(32) if byte != ord("\t")),
    *(b"\x7f", b"\x9b", b"\xff", b"\x1b", b"\x1b[", b"\x1bO", b"\x1b\x1b", b"\x1b\n", b"\x1bx", b"\x1b[\n", b"\x9bA", b"\x9b~"),
    *(b"\x1b[" + bytes([byte]) for byte in b"ABCDEFGHPZ~;x"),
    *(b"\x1b[%d~" % number for number in (1, 2, 3, 4, 5, 7, 8, 15, 200, 201, 2**32 + 3)),
    *(b"\x1bOF", b"\x1bOH", b"\x1bOP", b"\x1b[1;5D", b"\x1b[1;5C", b"\x1b[13", b"\x1b[3"),
]
# What moves and deletes, for lines of which something is left at Enter.
EDITING: Final = [
    *(b"\x1b[D", b"\x1b[C", b"\x1b[A", b"\x1b[B", b"\x7f", b"\x01", b"\x05", b"\x04", b"\x17", b"\x15", b"\x10", b"\x0e"),
]
# Without q, which alone ends QEMU, and c, which starts the VM.
CHARACTERS: Final = [char.encode() for char in (*map(chr, range(32, 127)), *"  aeinorst", *"éЛ日😀") if char not in "qc"]
# With these TAB comes to no command whose arguments QEMU completes.
STEMS: Final = [
    *(b"", b" ", b"st", b"sto", b"stop", b"sys", b"system_", b"nm", b"bal", b"co", b"x", b"nosuch ", b'"\\x'),
    *(b"inf", b"info", b"info ", b"info s", b"info st", b"info bl", b"info k", b"info status", b"info status x "),
    *(b"info nosuch ", b'info "st"', b'"info" s', b'info "s'),
    *(b"he", b"help", b"help ", b"? ", b"? inf", b"help info s"),
    # Of 16 words and more.
    *(b"help " * 14 + b"info st", b"help " * 14 + b"info ", b"help " * 15 + b"info st", b"help " * 15 + b"info ", b"? " * 17),
]


def typed_at_random(rng: random.Random, *, completing: bool, stems: Sequence[bytes] = STEMS) -> bytes:
    """Return keys with commands among them. completing: with TAB, after one of the stems."""
    commands = COMMANDS if completing else COMMANDS + OTHER_COMMANDS
    pieces = []
    for _ in range(rng.randrange(MAX_PIECES)):
        kind = rng.random()
        if completing and kind < 0.5:
            pieces.append(rng.choice(stems) + rng.choice([b"", b"", b"\x1b[D", b"\x01"]) + b"\t" * rng.choice([1, 1, 2]))
            pieces.append(rng.choice([b"\n", b"\x17", b"\x01", b"", b"\x7f"]))
        elif kind < (0.6 if completing else 0.25):
            pieces.append(rng.choice(commands).encode() + rng.choice([b"\n", b"\n", b"\r\n", b"", b"\x7f\n", b"\x1b[D"]))
        elif kind < (0.8 if completing else 0.4):
            pieces.append(rng.choice(EDITING) * rng.choice([1, 1, 2, 5]))
        elif kind < 0.65 or completing:
            pieces.append(b"".join(rng.choices([b"a", b"b", b" "] if completing else CHARACTERS, k=rng.randrange(12))))
        else:
            pieces.append(rng.choice(KEYS))
    return b"".join(pieces)


def with_telnet(rng: random.Random, typed: bytes) -> bytes:
    """Return it with telnet's commands in it, whole ones and halves."""
    said = [b"\xff", b"\xff\xff", b"\xff\xf3", b"\xff\xf1", b"\xff\xfb\x18", b"\xff\xfa\x1f\x00P\x00\x18\xff\xf0", b"\r\0"]
    middle = rng.randrange(len(typed) + 1)
    return typed[:middle] + rng.choice(said) + typed[middle:] + rng.choice([b"", *said])
