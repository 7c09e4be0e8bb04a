"""A command line taken apart: its options, its configuration files, and the parts of the machine that affect monitors."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from proxy.qemu_command_line import config_file, opts
from proxy.qemu_command_line.config_file import Group
from proxy.qemu_command_line.options import Option, walk

__all__ = ["ReadText", "Setup", "properties", "take_apart"]

# Returns the text of a configuration file, None if it cannot be read. The path is relative to QEMU's working directory.
ReadText: TypeAlias = Callable[[str], str | None]

# Options that choose the display; the last one counts (system/vl.c).
_DISPLAYS: Final = frozenset({"display", "nographic", "curses", "sdl"})
_REMOTE_DISPLAYS: Final = frozenset({"vnc", "spice"})


@dataclass(frozen=True, slots=True)
class Setup:
    """What a command line says.

    Attributes:
        options: in their order.
        groups: those in each file for `-readconfig`, with that option.
        has_bad_file: whether QEMU refuses one of these files.
    """

    options: tuple[Option, ...]
    groups: tuple[tuple[Option, Group], ...]
    has_bad_file: bool

    def has(self, *names: str) -> bool:
        return any(option.name in names for option in self.options)

    def arguments(self, *names: str) -> list[str]:
        """Return the arguments of all options with these names."""
        return [option.argument for option in self.options if option.name in names and option.argument is not None]

    @property
    def has_display(self) -> bool:
        """Whether somebody can look at a virtual console; by default QEMU chooses a display itself."""
        remote = [text for text in self.arguments(*_REMOTE_DISPLAYS) if text != "none"]
        if remote or any(group.name in _REMOTE_DISPLAYS for _, group in self.groups):
            return True
        chosen = [option for option in self.options if option.name in _DISPLAYS][-1:]
        return not any(
            option.name == "nographic" or opts.parse(option.argument or "", "type").get("type") == "none" for option in chosen
        )

    @property
    def has_default_serial_port(self) -> bool:
        """Whether QEMU adds a serial port by itself (system/vl.c, default_list)."""
        devices = [properties(text, "driver").get("driver") for text in self.arguments("device")]
        devices += [group.values.get("driver") for _, group in self.groups if group.name == "device"]
        return not self.has("nodefaults", "serial") and "isa-serial" not in devices


def take_apart(words: Sequence[str], read_text: ReadText) -> Setup:
    """Walk the words after the program's name, and read the files that they name."""
    options = tuple(walk(words))
    files = [(option, _read(option.argument, read_text)) for option in options if option.name == "readconfig"]
    groups = tuple((option, group) for option, found in files for group in found or ())
    return Setup(options, groups, any(found is None for _, found in files))


def _read(path: str | None, read_text: ReadText) -> list[Group] | None:
    text = None if path is None else read_text(path)
    return None if text is None else config_file.read(text)


def properties(text: str, implied: str) -> Mapping[str, str]:
    """Parse an argument that may be JSON, such as that of `-object` and `-device`; {} for JSON that QEMU refuses.

    The id is among the values. Values in JSON are taken only if they are strings or booleans.
    """
    if not text.startswith("{"):
        found = opts.parse(text, implied)
        return found.values() if found.id is None else {**found.values(), "id": found.id}
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return dict(_texts(members))


def _texts(members: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key, value in members.items():
        match value:
            case bool():
                yield key, "on" if value else "off"
            case str():
                yield key, value
