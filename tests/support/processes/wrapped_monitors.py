"""Monitors of command lines, for what serves them."""

from proxy.qemu_command_line.command_line import CommandLine, read
from proxy.qemu_command_line.monitors import Monitor

__all__ = ["line_of", "monitor_of", "socket_of"]


def line_of(words: str) -> CommandLine:
    return read(words.split(), lambda _: None)


def monitor_of(spec: str, option: str = "-qmp") -> Monitor:
    """Return the one monitor of such an option."""
    (monitor,) = line_of(f"{option} {spec}").served
    return monitor


def socket_of(**members: object) -> Monitor:
    """Return the monitor on a `-chardev socket`."""
    text = ",".join(f"{key}={value}" for key, value in members.items())
    (monitor,) = line_of(f"-chardev socket,id=c,{text} -mon c").served
    return monitor
