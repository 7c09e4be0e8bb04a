"""Devices that QEMU was asked to unplug (`device_del`), until they have gone, as far as one connection sees it.

No query tells: QEMU keeps it to itself that a device is only waiting for its guest (seen on 7.2 to 11.1). So whoever sends a
`device_del` says so here, and what QEMU answers, and hands on the events. A device has gone with DEVICE_DELETED, which may come
before the answer. One that is still there after a RESET will not go at the next one either: a reset lets go what it can.
"""

from collections.abc import Mapping
from enum import Enum, auto

from shim.hmp.line import HMPLine, sole_argument
from shim.qmp import JSON

__all__ = ["UNPLUG", "Unplugs", "named_by", "path_of"]

UNPLUG = "device_del"
_PERIPHERAL = "/machine/peripheral/"


class _State(Enum):
    """ASKED: QEMU has not answered. AGREED: it is to go. OUTLASTING: a reset came since."""

    ASKED = auto()
    AGREED = auto()
    OUTLASTING = auto()


class Unplugs:
    """Call `ask` when a `device_del` is sent, `answer` when QEMU has answered it, and `receive_event` for each event."""

    def __init__(self) -> None:
        self._states: dict[str, _State] = {}

    def ask(self, device: str) -> None:
        """Note that a `device_del` is sent. device: as it names it, by an id or a QOM path."""
        path = path_of(device)
        if self._states.get(path) is not _State.AGREED:
            self._states[path] = _State.ASKED

    def answer(self, device: str, *, is_agreed: bool) -> None:
        """Note the reply. A refusal says nothing of an earlier `device_del`, to which QEMU agreed."""
        path = path_of(device)
        if self._states.get(path) is _State.ASKED:
            if is_agreed:
                self._states[path] = _State.AGREED
            else:
                del self._states[path]

    def receive_event(self, name: str, data: Mapping[str, JSON]) -> None:
        """Note an event, in order with the replies. data: `{}` for an event without."""
        if name == "DEVICE_DELETED":
            self._states.pop(data.get("path", ""), None)
        elif name == "RESET":
            self._states = dict.fromkeys(self._states, _State.OUTLASTING)

    def to_members(self) -> dict[str, JSON]:
        """Return what is known, for another process that goes on with the connection."""
        return {path: state.name for path, state in self._states.items()}

    def learn(self, members: Mapping[str, JSON]) -> None:
        """Know what `to_members` returned. A state of another version is taken for the most careful one."""
        self._states = {path: _State.__members__.get(str(name), _State.AGREED) for path, name in members.items()}

    @property
    def devices(self) -> tuple[str, ...]:
        """Return the QOM paths of the devices whose DEVICE_DELETED has not come."""
        return tuple(self._states)

    def goes_at_reset(self, path: str) -> bool:
        """Tell whether a reset may take the device away: none has come since it was asked for."""
        return self._states.get(path) in (_State.ASKED, _State.AGREED)


def named_by(line: HMPLine | None) -> str | None:
    """Return the device that an HMP line unplugs, by its id or QOM path; None for any other line."""
    return sole_argument(line.arguments) if line is not None and line.name == UNPLUG else None


def path_of(device: str) -> str:
    """Return the QOM path of a device that is named by an id or a QOM path."""
    return device if device.startswith("/") else _PERIPHERAL + device
