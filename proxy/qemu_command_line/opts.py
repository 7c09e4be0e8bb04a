"""QEMU's option strings, such as `socket,id=m,path=/run/qmp,server=on,wait=off` (util/qemu-option.c, QemuOpts).

Parameters are separated by commas. Two commas in a value stand for one. A parameter without `=` is a flag: on, or off if its
name begins with `no`, so `nowait` is `wait=off`, and a lone `nodelay` is `delay=off`. The first parameter may be the value of
an implied key. If a key is given twice the last value counts, except for `id`, of which the first does.

Each parameter keeps its own text, so that one can be replaced while the others stay as they were written.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

__all__ = ["Opts", "Parameter", "boolean", "is_identifier", "parse", "write"]

# util/id.c, id_wellformed
_IDENTIFIER: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
_AFTER_NAME: Final = re.compile("[=,]")
# util/qemu-option.c, parse_option_bool, since QEMU 6.0. QEMU 5.2 knows the first of each.
_ON: Final = frozenset({"on", "yes", "true", "y"})
_OFF: Final = frozenset({"off", "no", "false", "n"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter: what it means, and how it is written, without the comma after it."""

    key: str
    value: str
    text: str


@dataclass(frozen=True, slots=True)
class Opts:
    """The parameters of one option string."""

    parameters: tuple[Parameter, ...]

    @property
    def id(self) -> str | None:
        return next((parameter.value for parameter in self.parameters if parameter.key == "id"), None)

    def get(self, key: str) -> str | None:
        return self.values().get(key)

    def values(self) -> dict[str, str]:
        """Return the value that counts for each key, without the id."""
        return {parameter.key: parameter.value for parameter in self.parameters if parameter.key != "id"}

    def __str__(self) -> str:
        return ",".join(parameter.text for parameter in self.parameters)


def parse(text: str, implied: str | None = None) -> Opts:
    """Parse an option string. implied: the key whose value the first parameter is if it has no `=`."""
    return Opts(tuple(_parameters(text, implied)))


def _parameters(text: str, implied: str | None) -> Iterator[Parameter]:
    start = 0
    while start < len(text):
        key = _AFTER_NAME.split(text[start:], maxsplit=1)[0]
        end = start + len(key)
        if text.startswith("=", end):
            value, end = _value(text, end + 1)
        elif implied is not None:
            key, (value, end) = implied, _value(text, start)
        else:
            key, value = (key[2:], "off") if key.startswith("no") else (key, "on")
        yield Parameter(key, value, text[start:end])
        start, implied = end + 1, None


def _value(text: str, start: int) -> tuple[str, int]:
    """Return the value that begins here, and where it ends."""
    end = text.find(",", start)
    while end >= 0 and text.startswith(",,", end):
        end = text.find(",", end + 2)
    end = len(text) if end < 0 else end
    return text[start:end].replace(",,", ","), end


def write(pairs: Iterable[tuple[str, str]], *, implied: str | None = None) -> str:
    """Return keys and values as an option string. implied: a leading value that needs no key."""
    texts = [] if implied is None else [_escaped(implied)]
    return ",".join([*texts, *(f"{key}={_escaped(value)}" for key, value in pairs)])


def _escaped(value: str) -> str:
    return value.replace(",", ",,")


def boolean(value: str) -> bool | None:
    """Return the meaning of a flag's value; None for what QEMU refuses."""
    return True if value in _ON else False if value in _OFF else None


def is_identifier(text: str) -> bool:
    """Return whether QEMU accepts this as an id."""
    return _IDENTIFIER.fullmatch(text) is not None
