"""QEMU's configuration files, for `-readconfig` (util/qemu-config.c, qemu_config_foreach).

A group begins with `[group]` or `[group "id"]`, and its lines are `key = "value"`. Its meaning is that of the option of the
same name, except that a `[mon]` does not take the default monitor away (QEMU 5.2 to 11.1).
"""

import re
from dataclasses import dataclass, field
from typing import Final

__all__ = ["Group", "read", "write"]

# sscanf's "[%63s \"%63[^\"]\"]", "[%63[^]]]" and " %63s = \"%1023[^\"]\"". QEMU ignores what follows a match, and a line that
# is only a word is a key without a value.
_WITH_ID: Final = re.compile(r'\[\s*(\S{1,63})\s+"([^"]{1,63})')
_WITHOUT_ID: Final = re.compile(r"\[([^\]]{1,63})")
_LINE: Final = re.compile(r'\s*(\S{1,63})(?:\s+=\s*"([^"]{1,1023}))?')


@dataclass(frozen=True, slots=True)
class Group:
    """One group of a file."""

    name: str
    id: str | None
    values: dict[str, str] = field(default_factory=dict)


def read(text: str) -> list[Group] | None:
    """Return the groups of a file in their order; None for what QEMU refuses."""
    groups: list[Group] = []
    for line in text.split("\n"):
        if not line or line.startswith("#"):
            continue
        if line.startswith("[") and (found := _WITH_ID.match(line)):
            groups.append(Group(found[1], found[2]))
        elif line.startswith("[") and (found := _WITHOUT_ID.match(line)):
            groups.append(Group(found[1], None))
        elif groups and (found := _LINE.match(line)):
            groups[-1].values[found[1]] = found[2] or ""
        else:
            return None
    return groups


def write(*groups: Group) -> str:
    """Return the groups as the text of a file."""
    lines: list[str] = []
    for group in groups:
        lines.append(f"[{group.name}]" if group.id is None else f'[{group.name} "{group.id}"]')
        lines += [f'  {key} = "{value}"' for key, value in group.values.items()]
    return "\n".join([*lines, ""])
