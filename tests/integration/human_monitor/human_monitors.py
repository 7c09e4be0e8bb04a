"""One VM with two human monitors of its own and one that is proxy/human_monitor, whose commands it runs too."""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

from proxy.human_monitor.command_table import command_names, topic_names
from proxy.human_monitor.completion import CompletionRequest, Wanted
from proxy.human_monitor.dialogue import CommandEntered, Dialogue
from proxy.human_monitor.monitor_state import MonitorState
from proxy.net.telnet import NEGOTIATION, TelnetFilter
from tests.integration.qemu_vm import QEMUVM, version
from tests.support.raw_client import RawClient
from tests.support.routing.keyboard import difference, in_pieces, typed
from tests.support.routing.monitor_driver import converse

__all__ = ["Monitors"]

# A byte that is no UTF-8 stands in JSON for itself as a character of this block for private use. HMP repeats it as it came.
_PRIVATE: Final = 0xE000
_ASKS_FOR_PASSWORD: Final = (b"change", b"vnc", b"password")


class Monitors:
    """A VM's monitor, and one that does the same by itself. What is typed is typed into both, a connection each time.

    is_telnet: for a client that speaks telnet. There is one filter for all connections, as QEMU has one for a device.
    """

    def __init__(self, vm: QEMUVM, qmp: RawClient, *, is_telnet: bool) -> None:
        self._qmp = qmp
        self._path = vm.path("telnet.sock" if is_telnet else "hmp.sock")
        self._telnet = TelnetFilter() if is_telnet else None
        self.version = version(vm)
        self.state = MonitorState(self.version)
        self._names = {
            Wanted.COMMAND: command_names(qmp.hmp("help")),
            Wanted.TOPIC: topic_names(qmp.hmp("help info")),
            Wanted.ARGUMENT: [],
        }

    @classmethod
    @contextmanager
    def start(cls, *args: str, is_telnet: bool = False) -> Iterator[Self]:
        """Start a VM. It is stopped, and has a display with a password that nobody sees."""
        hmp = ("-monitor", "unix:hmp.sock,server=on,wait=off")
        telnet = ("-chardev", "socket,id=telnet,path=telnet.sock,server=on,wait=off,telnet=on", "-mon", "telnet")
        display = ("-vnc", "unix:vnc.sock,password=on")
        with QEMUVM([*hmp, *telnet, *display, *args], observed=True) as vm, vm.negotiated(observer=True) as qmp:
            qmp.hmp("cont")
            yield cls(vm, qmp, is_telnet=is_telnet)

    def assert_same(self, keys: bytes, rng: random.Random | None = None) -> int:
        """Type this into both and compare what they print; return how much it was. rng: for the pieces in which it comes."""
        pieces = [keys] if rng is None else in_pieces(keys, rng)
        self._qmp.hmp("stop")
        ours = self._converse(pieces)
        self._qmp.hmp("stop")
        native = typed(self._path, keys, expected_bytes=len(ours))
        assert ours == native, difference(keys, ours, native)
        return len(native)

    def _converse(self, pieces: Sequence[bytes]) -> bytes:
        if self._telnet is None:
            return converse(Dialogue(self.state), pieces, self._run, self._candidates)
        keys = map(self._telnet.typed, pieces)
        return NEGOTIATION + converse(Dialogue(self.state), keys, self._run, self._candidates)

    def _run(self, command: CommandEntered) -> str | None:
        if tuple(command.line.split()) == _ASKS_FOR_PASSWORD:
            return None
        arguments: dict[str, Any] = {"command-line": _to_json(command.line)}
        if command.cpu_index is not None:
            arguments["cpu-index"] = command.cpu_index
        output: str = self._qmp.returned("human-monitor-command", arguments)
        return _from_json(output)

    def _candidates(self, request: CompletionRequest) -> Sequence[str]:
        return self._names[request.wanted]


def _to_json(line: bytes) -> str:
    text = line.decode(errors="surrogateescape")
    return "".join(chr(ord(char) - 0xDC00 + _PRIVATE) if "\udc80" <= char <= "\udcff" else char for char in text)


def _from_json(text: str) -> str:
    return "".join(chr(ord(char) - _PRIVATE + 0xDC00) if "\ue080" <= char <= "\ue0ff" else char for char in text)
