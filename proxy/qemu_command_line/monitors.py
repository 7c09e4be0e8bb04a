"""The monitors that QEMU makes of a command line, in its order and with its labels (system/vl.c, monitor/monitor.c).

`-monitor`, `-qmp` and `-qmp-pretty` each make a character device `compat_monitorN` and a monitor on it, or use an existing
device (`chardev:ID`). `-mon` and, from QEMU 11.1, `-object monitor-qmp` and `-object monitor-hmp` use an existing one, wherever
on the command line it is defined. `mon:` before a serial port's device adds a monitor to the port. Any of these removes the
default monitor; a `[mon]` in a file for `-readconfig` does not.

QEMU makes the objects first, then the monitors in the order of the command line and its files, then the default one, and those
on a port when it makes the port. Two kinds cannot be seen here: every gdb stub has a monitor of its own (gdb's `monitor`), and
QEMU 11.1 can make monitors at run time.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from proxy.qemu_command_line import opts
from proxy.qemu_command_line.chardevs import Chardev
from proxy.qemu_command_line.endpoints import Endpoint, Refused, Stdio, Uncovered, Verdict, Version, verdict_on
from proxy.qemu_command_line.options import Option
from proxy.qemu_command_line.setup import Setup, properties

__all__ = ["Kind", "Monitor", "Origin", "find_monitors"]


class Kind(StrEnum):
    """What a monitor speaks."""

    HMP = "hmp"
    QMP = "qmp"
    QMP_PRETTY = "qmp-pretty"


class Origin(StrEnum):
    """What made a monitor."""

    LEGACY = "-monitor, -qmp or -qmp-pretty with a device of its own"
    BY_LABEL = "-monitor, -qmp or -qmp-pretty with chardev:ID"
    MON = "-mon"
    OBJECT = "-object"
    FILE = "a file for -readconfig"
    PORT = "a port with mon: in front of its device"
    DEFAULT = "no option"


@dataclass(frozen=True, slots=True)
class Monitor:
    """One monitor.

    Attributes:
        label: of its character device, as in `query-chardev`.
        chardev: None if there is no such device.
        option: what made it, a `-readconfig` for one in a file; None for the default monitor.
        id: its own; None for a monitor without one, which QEMU 11.1 numbers.
        definition: the `-chardev` that made its device; None if something else made it.
        verdict: who serves its clients.
    """

    kind: Kind
    label: str
    chardev: Chardev | None
    origin: Origin
    option: Option | None
    id: str | None = None
    definition: Option | None = None
    verdict: Verdict = field(default_factory=Refused)

    def __str__(self) -> str:
        return f"the default monitor {self.label}" if self.option is None else f"the monitor of {self.option}"


_LEGACY_KINDS: Final = {"monitor": Kind.HMP, "qmp": Kind.QMP, "qmp-pretty": Kind.QMP_PRETTY}
_OBJECT_KINDS: Final = {"monitor-hmp": Kind.HMP, "monitor-qmp": Kind.QMP}
# Options for ports, with a device in the older notation, and whether a monitor on the port removes the default one.
_PORTS: Final = {"serial": True, "parallel": True, "debugcon": False, "gdb": False}
_NUMBERED_PORTS: Final = frozenset({"serial", "parallel"})


# From this version on `-qmp chardev:ID` takes none of the numbers of `compat_monitorN`; in 10.0 it does.
_NUMBERS_APART: Final = (11, 1)


def find_monitors(setup: Setup, version: Version = None) -> list[Monitor]:
    """Return the monitors in QEMU's order."""
    finder = _Finder(setup, version)
    finder.look()
    return finder.judged()


class _Finder:
    """One walk over the options, which collects monitors and devices before it decides anything about them."""

    def __init__(self, setup: Setup, version: Version) -> None:
        self._setup = setup
        self._version = version
        self._chardev_takes_number = version is None or version < _NUMBERS_APART
        self._next_number = 0
        self._ports: Counter[str] = Counter()
        self._has_default = not setup.has("nodefaults")
        self._objects: list[Monitor] = []
        self._monitors: list[Monitor] = []
        self._beside_ports: list[Monitor] = []
        self._devices: list[tuple[str, Chardev | None, Option | None]] = []

    def look(self) -> None:
        for option in self._setup.options:
            argument = option.argument or ""
            if option.name in _LEGACY_KINDS:
                self._legacy(option, argument)
            elif option.name in _PORTS:
                self._port(option, argument)
            elif option.name == "chardev":
                self._add_device(Chardev.from_option(argument), option)
            elif option.name == "mon":
                self._has_default = False
                found = opts.parse(argument, "chardev")
                self._monitors.append(_named(found.values(), found.id, Origin.MON, option))
            elif option.name == "object":
                self._object(properties(argument, "qom-type"), option)
            elif option.name == "readconfig":
                self._file(option)
        if self._has_default:
            self._default()
        elif self._setup.has("nographic") and self._setup.has_default_serial_port:
            self._add_device(Chardev("serial0", "stdio", {}), None)

    def _legacy(self, option: Option, argument: str) -> None:
        self._has_default = False
        kind = _LEGACY_KINDS[option.name]
        # QEMU 7.2 and 11.1 compare four characters: `-monitor nonesuch` is no monitor either.
        if option.name == "monitor" and argument.startswith("none"):
            return
        label = argument.removeprefix("chardev:")
        if label != argument:
            self._next_number += self._chardev_takes_number
            self._monitors.append(Monitor(kind, label, None, Origin.BY_LABEL, option, label))
            return
        label = self._take_number()
        self._add_device(Chardev.from_legacy(label, argument), None, label)
        self._monitors.append(Monitor(kind, label, None, Origin.LEGACY, option, label))

    def _port(self, option: Option, argument: str) -> None:
        label = f"{option.name}{self._ports[option.name]}" if option.name in _NUMBERED_PORTS else option.name
        # `-parallel none` takes no number (QEMU 7.2 and 11.1), `-serial none` does.
        self._ports[option.name] += option.name != "parallel" or argument != "none"
        if argument == "none" or argument.startswith("chardev:"):
            return
        self._add_device(Chardev.from_legacy(label, argument), None, label)
        if argument.startswith("mon:"):
            self._has_default &= not _PORTS[option.name]
            self._beside_ports.append(Monitor(Kind.HMP, label, None, Origin.PORT, option))

    def _object(self, values: Mapping[str, str], option: Option, origin: Origin = Origin.OBJECT) -> None:
        kind = _OBJECT_KINDS.get(values.get("qom-type", ""))
        if kind is None:
            return
        self._has_default = False
        if kind is Kind.QMP and opts.boolean(values.get("pretty", "off")):
            kind = Kind.QMP_PRETTY
        self._objects.append(Monitor(kind, values.get("chardev", ""), None, origin, option, values.get("id")))

    def _file(self, option: Option) -> None:
        for made_by, group in self._setup.groups:
            if made_by is not option:
                continue
            if group.name == "chardev" and group.id is not None:
                self._add_device(Chardev.from_values(group.id, group.values), None)
            elif group.name == "mon":
                self._monitors.append(_named(group.values, group.id, Origin.FILE, option))
            elif group.name == "object":
                self._object({**group.values, "id": group.id or ""}, option, Origin.FILE)

    def _default(self) -> None:
        if self._setup.has("nographic") and self._setup.has_default_serial_port:
            chardev = Chardev("serial0", "stdio", {"mux": "on", "signal": "off"})
        else:
            backend = "stdio" if self._setup.has("nographic") else "vc"
            chardev = Chardev(self._take_number(), backend, {})
        self._add_device(chardev, None)
        self._monitors.append(Monitor(Kind.HMP, chardev.label, None, Origin.DEFAULT, None))

    def _take_number(self) -> str:
        self._next_number += 1
        return f"compat_monitor{self._next_number - 1}"

    def _add_device(self, chardev: Chardev | None, definition: Option | None, label: str = "") -> None:
        self._devices.append((label if chardev is None else chardev.label, chardev, definition))

    def judged(self) -> list[Monitor]:
        """Return the monitors with their devices, and who serves each."""
        found = [*self._objects, *self._monitors, *self._beside_ports]
        # QEMU refuses a second device with the same label, and then the verdict on all its monitors is Refused.
        devices = {label: (chardev, definition) for label, chardev, definition in reversed(self._devices)}
        with_devices = []
        for monitor in found:
            chardev, definition = devices.get(monitor.label, (None, None))
            with_devices.append(replace(monitor, chardev=chardev, definition=definition))
        return [replace(monitor, verdict=self._verdict(monitor, with_devices)) for monitor in with_devices]

    def _verdict(self, monitor: Monitor, monitors: list[Monitor]) -> Verdict:
        chardev = monitor.chardev
        is_taken = sum(label == monitor.label for label, _, _ in self._devices) > 1
        is_named_twice = sum(other.id == monitor.id for other in monitors) > 1 and monitor.id is not None
        if chardev is None or is_taken or is_named_twice:
            return Refused()
        verdict = verdict_on(chardev, has_display=self._setup.has_display, version=self._version)
        sharing = sum(other.label == monitor.label for other in monitors)
        if sharing > 1 and not chardev.is_shared:
            return Refused()
        if isinstance(verdict, Endpoint):
            if isinstance(verdict.address, Stdio) and self._stdio_is_refused():
                return Refused()
            # QEMU runs no human-monitor-command there, but its own prompt has exit_preconfig and more (7.2 to 11.1).
            if monitor.kind is Kind.HMP and self._setup.has("preconfig"):
                return Uncovered("is used while there is no machine yet (-preconfig)")
            if monitor.definition is None and monitor.origin not in (Origin.LEGACY, Origin.DEFAULT):
                return Uncovered("is on a character device of a configuration file")
        return verdict

    def _stdio_is_refused(self) -> bool:
        users = sum(chardev is not None and chardev.backend == "stdio" for _, chardev, _ in self._devices)
        return users > 1 or self._setup.has("daemonize")


def _named(values: Mapping[str, str], id: str | None, origin: Origin, option: Option) -> Monitor:
    """Return a monitor whose options are all named (monitor/monitor.c, monitor_new_opts)."""
    is_pretty = opts.boolean(values.get("pretty", "off"))
    qmp = Kind.QMP_PRETTY if is_pretty else Kind.QMP
    kind = qmp if values.get("mode", "readline") == "control" else Kind.HMP
    return Monitor(kind, values.get("chardev", ""), None, origin, option, id)
