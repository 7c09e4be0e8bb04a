"""Two things that a rule about a command's name cannot see: another monitor, and a program that QEMU starts.

Both lead around the proxy, and there are several ways to each. Tried on QEMU 7.2, 10.0 and 11.1:

* `@monitor`: a client gets a monitor of its own, or access to one that the operator has closed to it.
  From 11.1 on, `object-add` makes one. In all three, `add_client` hands a socket of the client to a monitor whose chardev
  nobody is connected to, even one that reads HMP. HMP's `gdbserver` has `monitor`. A display may lead to one too: with
  `-monitor vc`, HMP is on a text console, one key away from the guest's screen. So whatever lets a client into a display
  counts: `add_client`, a VNC or SPICE password, its expiry, and other addresses. `display-reload` does not: it only re-reads
  the operator's certificates. Keys sent by QMP or HMP (`send-key`) go to the guest, never to a text console. And if a monitor
  or a display requires certificates, `qom-set` on tls-creds or an authorization, or a new authorization in place of a deleted
  one, lets anybody in. A chardev alone is no risk: `chardev-change` and a multiplexer are refused if a monitor uses it, but a
  monitor object's `chardev` can be set.
* `@exec`: QEMU runs what the client names, with QEMU's rights: `exec:` as the target of a migration, the scripts and helpers of
  network backends, and the command of a migration in mode cpr-exec (11.1).

What is not certain counts as a risk.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from shim.hmp.line import BLANKS, HMPLine
from shim.qmp import JSON

__all__ = ["EXEC", "MONITOR", "MOST_CHANNELS", "RISKS", "RISKY", "risks_of"]

MONITOR: Final = "@monitor"
EXEC: Final = "@exec"
RISKS: Final = (MONITOR, EXEC)

# Commands that let a client into a display, whatever their arguments. Until 5.2, QMP had `change` too.
_DISPLAYS: Final = frozenset(("display-update", "set-password", "expire-password", "change-vnc-password"))
_HMP_DOORS: Final = frozenset(
    ("gdbserver", "set_password", "expire_password", "acl_add", "acl_policy", "acl_remove", "acl_reset")
)
_VNC: Final = "vnc"

# The commands that `risks_of` looks at.
RISKY: Final = _DISPLAYS | frozenset(
    (
        *("object-add", "add-client", "qom-set", "netdev-add", "human-monitor-command", "change"),
        *("migrate", "migrate-incoming", "migrate-recover", "migrate-set-parameters"),
    )
)

_OBJECTS: Final = ("monitor-", "authz-")
# Properties of monitor-*, tls-creds-*, and authz-simple, -list, -listfile and -pam.
_PROPERTIES: Final = (
    *("chardev", "verify-peer", "dir", "loaded", "identity", "policy", "rules", "filename", "refresh", "service"),
)

# What network backends run (qapi/net.json). `smb` runs smbd, and `path` is passt's. "no" means none only for the scripts; for
# the others it is the name of a program.
_SCRIPTS: Final = ("script", "downscript")
_PROGRAMS: Final = ("helper", "smb", "path", "param")
_GUEST_FORWARD: Final = "guestfwd"
_COMMAND: Final = "cpr-exec-command"

# More than QEMU takes (two), and more than any tool sends. Beyond these a command is not examined, and so counts as a risk.
MOST_CHANNELS: Final = 16
_MOST_FORWARDS: Final = 1000

# HMP's words: str.split() would split at more characters than C does.
_WORD: Final = re.compile(f"[^{BLANKS}]+")
# An option (util/qemu-option.c): NAME=VALUE, or NAME alone; a doubled comma stands for a comma in the value.
_OPTION: Final = re.compile(r"([^=,]*)(?:=([^,]*(?:,,[^,]*)*))?(?:,|$)")


def risks_of(name: str, arguments: Mapping[str, JSON], line: HMPLine | None) -> Iterator[str]:
    """Yield the risks of a command.

    name: with hyphens, and without `x-`. line: that of a human-monitor-command; None if it cannot be read.
    """
    match name:
        case "object-add" if _may_begin(arguments.get("qom-type"), *_OBJECTS):
            yield MONITOR
        case "qom-set" if arguments.get("property", "chardev") in _PROPERTIES:
            yield MONITOR
        case "change" if arguments.get("device", _VNC) == _VNC:
            yield MONITOR
        case "add-client":
            yield MONITOR
        case _ if name in _DISPLAYS:
            yield MONITOR
        case "migrate" | "migrate-incoming" | "migrate-recover" if _runs_migration(arguments):
            yield EXEC
        case "migrate-set-parameters" if _COMMAND in arguments:
            yield EXEC
        case "netdev-add" if _runs_network_program(arguments):
            yield EXEC
        case "human-monitor-command":
            yield from RISKS if line is None else _risks_of_line(line)


def _may_begin(value: JSON, *prefixes: str) -> bool:
    return not isinstance(value, str) or value.startswith(prefixes)


def _runs_migration(arguments: Mapping[str, JSON]) -> bool:
    if "uri" in arguments and _may_begin(arguments["uri"], "exec:"):
        return True
    channels = arguments.get("channels", [])
    if not isinstance(channels, list) or len(channels) > MOST_CHANNELS:
        return True
    for channel in channels:
        match channel:
            case {"addr": {"transport": str(transport)}} if transport != "exec":
                pass
            case _:
                return True
    return False


def _runs_network_program(arguments: Mapping[str, JSON]) -> bool:
    if any(arguments.get(key, "no") != "no" for key in _SCRIPTS) or any(key in arguments for key in _PROGRAMS):
        return True
    forwards = arguments.get(_GUEST_FORWARD, [])
    if not isinstance(forwards, list) or len(forwards) > _MOST_FORWARDS:
        return True
    return not all(_is_plain_forward(forward) for forward in forwards)


def _is_plain_forward(forward: JSON) -> bool:
    match forward:
        case {"str": str(text)}:
            return "cmd:" not in text
    return False


def _risks_of_line(line: HMPLine) -> Iterator[str]:
    words = line.arguments
    is_plain = not {'"', "\\", "{"}.intersection(words)
    match line.name:
        case "object_add" if not is_plain or any(prefix in words for prefix in _OBJECTS):
            yield MONITOR
        case "qom-set" if not is_plain or not set(_PROPERTIES).isdisjoint(_WORD.findall(words)):
            yield MONITOR
        case "change" if _may_be_vnc(words):
            yield MONITOR
        case "migrate" | "migrate_incoming" | "migrate_recover" if not is_plain or "exec:" in words:
            yield EXEC
        case "migrate_set_parameter" if not is_plain or _COMMAND in words:
            yield EXEC
        case "netdev_add" if not is_plain or any(_is_program(*option.groups()) for option in _OPTION.finditer(words)):
            yield EXEC
        case name if name in _HMP_DOORS:
            yield MONITOR


def _may_be_vnc(words: str) -> bool:
    device = _WORD.match(words)
    return device is None or device[0] == _VNC or device[0].startswith('"')


def _is_program(name: str, value: str | None) -> bool:
    """Return whether an option of a network backend names a program. value: None for a flag.

    QEMU reads the flag `script` as `script=on`, and `noscript` as `script=off`; both name a program then (7.2 to 11.1).
    """
    key = name.removeprefix("no") if value is None else name
    return key in (*_PROGRAMS, _GUEST_FORWARD) or (key in _SCRIPTS and value != "no")
