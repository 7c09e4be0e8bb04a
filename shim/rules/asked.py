"""What a client's command asks QEMU to do, as far as rules look at it (shim/rules/rules.py).

A command is more than its name. `human-monitor-command` carries a line of another language, a `transaction` other commands,
and what `object-add` does depends on its `qom-type`. So a command is read into *deeds*: its own, and those of other commands
that amount to the same. HMP's `q` is also the deed of `quit`, `x-blockdev-reopen` also that of `blockdev-reopen`.

What is not certain is marked as unknown, never guessed. A rule that denies treats the unknown as what it denies, and one that
allows does not: see shim/rules/rules.py.

Rules are tried on each deed, so what is read has bounds: several actions of one type count as one, a long value is unknown, and
what is longer than anything a tool sends is marked `is_too_large`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

from shim.hmp.line import BLANKS, HMPLine
from shim.qmp import JSON
from shim.rules.deeds import (
    LONGEST_NAME_CHARS,
    SUBJECTS,
    TRANSACTION,
    VNC,
    Deed,
    Values,
    deed_of,
    deeds_of_actions,
    fold,
    kinds_of_actions,
    settled,
    twins,
)
from shim.rules.risks import RISKY, risks_of

__all__ = ["ALIASES", "HMP", "Asked", "may_be_risky"]

HMP: Final = "human-monitor-command"
# The longest line that HMP's own monitor takes (include/qemu/readline.h).
_LONGEST_LINE_CHARS: Final = 4095


def may_be_risky(name: str) -> bool:
    """Return whether a command with this folded name may be risky (shim/rules/risks.py)."""
    return name.removeprefix("x-") in RISKY


# Without slots, because of the cached properties, which are computed only if a rule looks at them.
@dataclass(frozen=True)
class Asked:
    """A command that has been read.

    names: as the client spelled them, the one that counts first; "" if it is not a string, which QEMU refuses. line: the line
    of a human-monitor-command; None for other commands, or if it cannot be read.
    """

    names: tuple[str, ...]
    arguments: Mapping[str, JSON]
    line: HMPLine | None

    @property
    def name(self) -> str:
        return self.names[0]

    @property
    def is_hmp(self) -> bool:
        return self.deed.name == HMP

    @cached_property
    def deed(self) -> Deed:
        """The command's own deed."""
        return deed_of(self.name, self.arguments)

    @cached_property
    def equivalents(self) -> tuple[Deed, ...]:
        """The deeds of other commands that amount to the same."""
        deeds = [self.deed, *(deed_of(name, self.arguments) for name in self.names[1:])]
        equivalents = [*deeds[1:], *(twin for deed in deeds for twin in twins(deed))]
        if any(deed.name == TRANSACTION for deed in deeds):
            equivalents += deeds_of_actions(self.arguments)
        if self.line is not None:
            equivalents += _hmp_deeds(self.line)
        return tuple(equivalents)

    @cached_property
    def is_too_large(self) -> bool:
        """Return whether `equivalents` is incomplete, because the command asks for more than any tool does."""
        # Only the first name matters here: QEMU refuses a command with both.
        if self.is_hmp:
            line = self.arguments.get("command-line")
            return isinstance(line, str) and len(line) > _LONGEST_LINE_CHARS
        return self.deed.name == TRANSACTION and kinds_of_actions(self.arguments) is None

    @cached_property
    def risks(self) -> frozenset[str]:
        """The command's risks: see shim/rules/risks.py."""
        return frozenset(risk for name in self.names for risk in risks_of(settled(name), self.arguments, self.line))

    @classmethod
    def of(cls, message: Mapping[str, JSON]) -> Self:
        """Read a command. One with both keys, which QEMU refuses, is treated as both commands."""
        execute, out_of_band = message.get("execute"), message.get("exec-oob")
        given_names = (name for name in (execute, out_of_band) if isinstance(name, str))
        names = tuple(name[:LONGEST_NAME_CHARS] for name in given_names) or ("",)
        given = message.get("arguments", {})
        arguments: Mapping[str, JSON] = given if isinstance(given, dict) else {}
        return cls(names, arguments, _line(arguments) if HMP in map(fold, names) else None)


# -- HMP ------------------------------------------------------------------------------------------------------------------

# HMP has no abbreviations, only these aliases (hmp-commands.hx, "name"; QEMU 5.2 to 11.1).
ALIASES: Final = {"c": "cont", "p": "print", "q": "quit", "s": "stop", "?": "help"}

# A first value whose key may be omitted, as QEMU's keyval and QemuOpts read it: up to a comma that is not doubled. With quotes,
# a backslash, JSON, or the key spelled out, only QEMU knows what is meant, so the value is unknown.
_FIRST_VALUE: Final = re.compile(r"[^\s\"'\\,={}\[\]]+(?=,(?!,)|$)")
# str.split() would split at more characters than C does.
_WORD: Final = re.compile(f"[^{BLANKS}]+")
_TARGET: Final = re.compile(r"(?:-[a-z]+[ \t]+)*([^\s\"\\-][^\s\"\\]*)")


def _line(arguments: Mapping[str, JSON]) -> HMPLine | None:
    text = arguments.get("command-line")
    line = HMPLine.read(text) if isinstance(text, str) and len(text) <= _LONGEST_LINE_CHARS else None
    return line if line is not None and line.name else None


def _first_value(key: str) -> Callable[[str], Values]:
    def read(arguments: str) -> Values:
        found = _FIRST_VALUE.match(arguments)
        return None if found is None or key in arguments[found.end() :] else (found[0],)

    return read


def _second_word_value(arguments: str) -> Values:
    words = arguments.split(maxsplit=1)
    return None if len(words) != 2 or '"' in words[0] else _first_value("backend")(words[1])


def _target(arguments: str) -> Values:
    found = _TARGET.fullmatch(arguments)
    return None if found is None else (found[1],)


def _word(index: int) -> Callable[[str], Values]:
    def read(arguments: str) -> Values:
        words = _WORD.findall(arguments)
        return None if len(words) <= index or '"' in arguments else (words[index],)

    return read


_HMP_VALUES: Final[Mapping[str, Callable[[str], Values]]] = {
    "object_add": _first_value("qom-type"),
    "device_add": _first_value("driver"),
    "netdev_add": _first_value("type"),
    "chardev-add": _first_value("backend"),
    "chardev-change": _second_word_value,
    "migrate": _target,
    "migrate_incoming": _target,
    "migrate_recover": _target,
    "set_password": _word(0),
    "expire_password": _word(0),
    "change": _word(0),
    "qom-set": _word(1),
}


def _hmp_deeds(line: HMPLine) -> Iterator[Deed]:
    """Yield a line's deeds: as QMP commands, and under its HMP name, because whoever denies `savevm` means HMP's."""
    from shim.hmp.replacements import replacement  # here, because only rules and mode "enforce" need its table

    name = ALIASES.get(line.name, line.name)
    command: Any = line.command
    tag = getattr(command, "tag", None)
    values = _HMP_VALUES[name](line.arguments) if name in _HMP_VALUES else None if tag is None else (tag,)
    yield Deed(fold(name), values)
    if name == "change" and values in (None, VNC):
        yield Deed("change-vnc-password", VNC)
    instead = replacement(line.name, line.topic)
    for execute in () if instead is None else instead.commands:
        deed = Deed(fold(execute), values if fold(execute) in SUBJECTS else ())
        yield deed
        yield from twins(deed)
