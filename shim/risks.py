"""Two things that a rule about a command's name cannot see: another monitor, and a program that QEMU starts.

Both lead past the proxy, and there are several ways to each. Tried on QEMU 7.2, 10.0 and 11.1:

* `@monitor`: a client gets a monitor of its own. From 11.1 on `object-add` makes one. `add_client` hands a socket of the
  client's to a monitor whose chardev nobody is connected to, also to one that reads HMP, in all three. HMP's `gdbserver` has
  `monitor`. A chardev alone is none: `chardev-change` and a multiplexer are refused where a monitor uses it, but a monitor
  object's `chardev` can be set.
* `@exec`: QEMU runs what the client names, with QEMU's rights: `exec:` as the place of a migration, the scripts and helpers of
  network backends, and the command of a migration in mode cpr-exec (11.1).

What is not certain counts as a risk.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Final

from shim.hmp import HMPLine
from shim.qmp import JSON

__all__ = ["EXEC", "MONITOR", "RISKS", "RISKY", "risks_of"]

MONITOR: Final = "@monitor"
EXEC: Final = "@exec"
RISKS: Final = (MONITOR, EXEC)

# The commands that `risks_of` looks at.
RISKY: Final = frozenset(
    (
        *("object-add", "add-client", "qom-set", "netdev-add", "human-monitor-command"),
        *("migrate", "migrate-incoming", "migrate-recover", "migrate-set-parameters"),
    )
)

# What `add_client` knows besides chardevs (qapi/misc.json).
_DISPLAYS: Final = frozenset({"vnc", "spice", "@dbus-display"})
# What network backends run (qapi/net.json): "no" is no program. `smb` has smbd run, and `path` is passt's.
_PROGRAMS: Final = ("script", "downscript", "helper", "smb", "path", "param")
_GUEST_FORWARD: Final = "guestfwd"
_COMMAND: Final = "cpr-exec-command"
_NO_SCRIPT: Final = re.compile(r"(?:^|,)(?:down)?script=no(?=,|$)")
_HMP_PROGRAMS: Final = ("script", "helper", "smb", "path=", "param", "guestfwd")


def risks_of(name: str, arguments: Mapping[str, JSON], line: HMPLine | None) -> Iterator[str]:
    """Yield the risks of a command.

    name: with hyphens, and without `x-`. line: that of a human-monitor-command that can be read.
    """
    match name:
        case "object-add" if _may_begin(arguments.get("qom-type"), "monitor-"):
            yield MONITOR
        case "add-client" if arguments.get("protocol") not in _DISPLAYS:
            yield MONITOR
        case "qom-set" if arguments.get("property", "chardev") == "chardev":
            yield MONITOR
        case "migrate" | "migrate-incoming" | "migrate-recover" if _runs_migration(arguments):
            yield EXEC
        case "migrate-set-parameters" if _COMMAND in arguments:
            yield EXEC
        case "netdev-add" if _runs_network_program(arguments):
            yield EXEC
        case "human-monitor-command":
            yield from RISKS if line is None else _risks_of_line(line)


def _may_begin(value: JSON, prefix: str) -> bool:
    return not isinstance(value, str) or value.startswith(prefix)


def _runs_migration(arguments: Mapping[str, JSON]) -> bool:
    if "uri" in arguments and _may_begin(arguments["uri"], "exec:"):
        return True
    channels = arguments.get("channels", [])
    if not isinstance(channels, list):
        return True
    for channel in channels:
        match channel:
            case {"addr": {"transport": str(transport)}} if transport != "exec":
                pass
            case _:
                return True
    return False


def _runs_network_program(arguments: Mapping[str, JSON]) -> bool:
    given = (arguments.get(key, "no") for key in _PROGRAMS)
    forwards = arguments.get(_GUEST_FORWARD)
    return any(program != "no" for program in given) or (forwards is not None and "cmd:" in json.dumps(forwards))


def _risks_of_line(line: HMPLine) -> Iterator[str]:
    words = line.arguments
    is_plain = not {'"', "\\", "{"}.intersection(words)
    match line.name:
        case "gdbserver":
            yield MONITOR
        case "object_add" if not is_plain or "monitor-" in words:
            yield MONITOR
        case "qom-set" if not is_plain or "chardev" in words:
            yield MONITOR
        case "migrate" | "migrate_incoming" | "migrate_recover" if not is_plain or "exec:" in words:
            yield EXEC
        case "migrate_set_parameter" if not is_plain or _COMMAND in words:
            yield EXEC
        case "netdev_add" if not is_plain or _names_program(words):
            yield EXEC


def _names_program(words: str) -> bool:
    rest = _NO_SCRIPT.sub("", words)
    return any(mark in rest for mark in _HMP_PROGRAMS)
