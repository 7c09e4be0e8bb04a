"""The command line with which QEMU talks to us at its monitors, and to clients nowhere.

Each served monitor gets one end of a socket pair. In a `-chardev` only the options that say where clients connect are replaced;
`-monitor SPEC` and its like become the `-chardev` that QEMU would have made of them. All other words stay as they are, and so
do QEMU's own errors and the labels in `query-chardev`. Two pairs of words are put in front, where no option that lacks its
argument can take them for one: `-readconfig` with a file of ours, and `-monitor none`, which removes the default monitor as
`-qmp` did.

**Why the monitors are defined in a file.** `-qmp chardev:compat_monitor0` would do, but not in QEMU 11.1, where it makes an
object of that id without taking its number. The next monitor without an id, such as that of `-serial mon:stdio` or of a gdb
stub, then takes the number 0, and QEMU ends ("attempt to add duplicate property"; with `-gdb` it aborts). A `[mon]` without an
id takes the numbers as the options would have. Nor does it print a warning, as `-mon` does in 11.1.

The file has one more monitor, for the proxy itself. Its own id keeps it out of the numbering.
"""

from collections.abc import Callable, Mapping
from typing import Final

from proxy.qemu_command_line import config_file, opts
from proxy.qemu_command_line.chardevs import Chardev
from proxy.qemu_command_line.command_line import CommandLine
from proxy.qemu_command_line.config_file import Group
from proxy.qemu_command_line.endpoints import ADDRESS_KEYS
from proxy.qemu_command_line.monitors import Kind, Monitor, Origin

__all__ = ["CONTROL_ID", "configuration", "rewrite"]

# The character device and the monitor for the proxy itself. Clients see it in `query-chardev`.
CONTROL_ID: Final = "hmp-proxy"
# How a `[mon]` says what a monitor speaks.
_MODES: Final[Mapping[Kind, Mapping[str, str]]] = {
    Kind.HMP: {"mode": "readline"},
    Kind.QMP: {"mode": "control"},
    Kind.QMP_PRETTY: {"mode": "control", "pretty": "on"},
}


def rewrite(line: CommandLine, configuration_path: str, descriptor: Callable[[Monitor], int]) -> list[str]:
    """Return the words after the program's name.

    configuration_path: where QEMU finds the text of `configuration`, such as `/proc/self/fd/5`. descriptor: returns the
    connected socket that QEMU inherits for a monitor; called once for each monitor that is served.
    """
    words = list(line.words)
    front = ["-readconfig", configuration_path]
    legacy = _from_options(line)
    if legacy:
        front += ["-monitor", "none"]
    for monitor in line.monitors:
        is_served = monitor in line.served
        if is_served and monitor.definition is not None:
            words[monitor.definition.at + 1] = _at_descriptor(monitor.definition.argument or "", descriptor(monitor))
        elif monitor in legacy and monitor.chardev is not None:
            chardev = _moved(monitor.chardev, descriptor(monitor)) if is_served else monitor.chardev
            pair = ["-chardev", chardev.as_option()]
            if monitor.option is None:
                front += pair
            else:
                words[monitor.option.at : monitor.option.end] = pair
    return [*front, *words]


def configuration(line: CommandLine, control_descriptor: int) -> str:
    """Return the text of the file. control_descriptor: the connected socket that QEMU inherits for the proxy's own monitor."""
    control = {"backend": "socket", "fd": str(control_descriptor)}
    groups = [Group("chardev", CONTROL_ID, control), Group("mon", CONTROL_ID, _members(CONTROL_ID, Kind.QMP))]
    groups += [Group("mon", None, _members(monitor.label, monitor.kind)) for monitor in _from_options(line)]
    return config_file.write(*groups)


def _from_options(line: CommandLine) -> list[Monitor]:
    """Return the monitors with a device of their own, if any is served: they share one numbering, so all of them move."""
    found = [monitor for monitor in line.monitors if monitor.origin is Origin.LEGACY]
    found += [monitor for monitor in line.monitors if monitor.origin is Origin.DEFAULT and monitor in line.served]
    return found if any(monitor in line.served for monitor in found) else []


def _members(chardev: str, kind: Kind) -> dict[str, str]:
    return {"chardev": chardev, **_MODES[kind]}


def _moved(chardev: Chardev, descriptor: int) -> Chardev:
    kept = {key: value for key, value in chardev.options.items() if key not in ADDRESS_KEYS}
    return Chardev(chardev.label, "socket", {"fd": str(descriptor), **kept})


def _at_descriptor(text: str, descriptor: int) -> str:
    """Return the argument of a `-chardev` with the descriptor as its address; the rest stays as it was written."""
    kept = [
        parameter.text
        for parameter in opts.parse(text, "backend").parameters
        if parameter.key not in {*ADDRESS_KEYS, "backend"}
    ]
    return ",".join(["socket", f"fd={descriptor}", *kept])
