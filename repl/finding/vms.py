"""One row for each VM, whatever its source: a configuration, a running proxy, or QEMU's own command line.

Sources that mean the same QEMU mean the same VM. Among its sockets, one that can be used now is preferred, and a proxy's to
QEMU's own.
"""

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Final

from host.net.addresses import TCPAddress, UnixAddress, plain
from host.settings.config import VMConfig
from repl.finding.control import ServedVM
from repl.finding.monitors import Socket
from repl.finding.processes import RunningQEMU

__all__ = ["FoundVM", "State", "Via", "merge"]

_ANSWERS_S: Final = 0.2


class State(StrEnum):
    """The state of a socket, best first. BUSY: QEMU's own has a client, or a proxy runs a snapshot command.

    UNKNOWN: it is on TCP, or not known to the kernel by this path.
    """

    SERVED = "served"
    FREE = "free"
    UNKNOWN = ""
    BUSY = "busy"
    NO_ACCESS = "no access"
    OFF = "off"


class Via(Enum):
    """Whose socket it is."""

    PROXY = "proxy"
    QEMU = "QEMU"


# Which socket of a VM is the best, if it has several.
_RANK: Final = {state: number for number, state in enumerate(State)}


@dataclass(frozen=True, slots=True)
class FoundVM:
    """A VM that can be chosen.

    config: what the configuration says of it; None if it is in none. sockets: all that lead to it.
    """

    name: str
    address: Socket
    via: Via
    state: State
    config: VMConfig | None = None
    sockets: frozenset[Socket] = field(default=frozenset(), compare=False)

    def __str__(self) -> str:
        """Return in a few words which socket it is, and its state."""
        return ", ".join(filter(None, (f"{self.via.value}'s socket {self.address}", self.state.value)))


@dataclass(slots=True)
class _Told:
    """What the sources said about one VM. addresses: its QEMU's."""

    addresses: set[str] = field(default_factory=set)
    config: VMConfig | None = None
    served: ServedVM | None = None
    qemu: RunningQEMU | None = None

    @property
    def name(self) -> str | None:
        # A proxy that has been told no name has QEMU's address for one.
        if self.served is not None and self.served.name != self.served.upstream:
            return self.served.name
        if self.config is not None and self.config.name is not None:
            return self.config.name
        return None if self.qemu is None else self.qemu.name


def merge(
    configured: Iterable[VMConfig], served: Iterable[ServedVM], running: Iterable[RunningQEMU], paths: Mapping[str, bool]
) -> list[FoundVM]:
    """Return one row for each VM that has a socket, in the order of the sources.

    paths: listening sockets, and whether each has a client (processes.listening).
    """
    told: list[_Told] = []
    for config in configured:
        one = _same(told, {str(config.upstream)}, None)
        one.config = one.config or config
    for vm in served:
        one = _same(told, {vm.upstream}, vm.name)
        one.served = one.served if one.served is not None and one.served.is_served else vm
    for qemu in running:
        if qemu.sockets:
            one = _same(told, set(map(str, qemu.sockets)), None)
            one.qemu = qemu if one.qemu is None or not qemu.is_claimed else one.qemu
    rows = (_row(one, paths) for one in told)
    return [row for row in rows if row is not None]


def _same(told: list[_Told], addresses: set[str], name: str | None) -> _Told:
    """Return the entry of this VM, or a new one. A running QEMU is known by its addresses alone: any may have any name."""
    for one in told:
        if addresses & one.addresses or (name is not None and name == one.name):
            break
    else:
        told.append(one := _Told())
    one.addresses |= addresses
    return one


def _row(told: _Told, paths: Mapping[str, bool]) -> FoundVM | None:
    listeners = _listeners(told)
    candidates = [(_state_of_listener(address, told.served, paths), Via.PROXY, address) for address in listeners]
    candidates += [(_state(address, paths), Via.QEMU, address) for address in _own_sockets(told) if address not in listeners]
    sockets = frozenset(one[2] for one in candidates)
    if told.served is None and told.config is None:
        # If the path leads nowhere, this QEMU is in a container of its own.
        candidates = [one for one in candidates if one[0] not in (State.OFF, State.NO_ACCESS)]
    if not candidates:
        return None
    state, via, address = min(candidates, key=lambda one: _RANK[one[0]])
    if via is Via.PROXY and told.served is not None and told.served.running is not None:
        state = State.BUSY
    return FoundVM(told.name or str(address), address, via, state, told.config, sockets)


def _listeners(told: _Told) -> Sequence[Socket]:
    of_proxy = () if told.served is None else told.served.listen
    of_wrapper = told.qemu.sockets if told.qemu is not None and told.qemu.is_wrapped else ()
    return tuple(dict.fromkeys((*of_proxy, *of_wrapper, *(() if told.config is None else told.config.open_listeners))))


def _own_sockets(told: _Told) -> Sequence[Socket]:
    of_config = () if told.config is None else (plain(told.config.upstream),)
    own = (*of_config, *(() if told.qemu is None else told.qemu.sockets))
    return tuple(dict.fromkeys(one for one in own if isinstance(one, UnixAddress | TCPAddress)))


def _state_of_listener(address: Socket, served: ServedVM | None, paths: Mapping[str, bool]) -> State:
    """Return the state of a proxy's listener. Unlike QEMU, a proxy may be asked: it takes any number of clients."""
    if served is not None and not served.is_served:
        return State.OFF
    if isinstance(address, TCPAddress):
        return State.UNKNOWN if served is None else State.SERVED
    state = _state(address, paths)
    if state is State.UNKNOWN:
        return State.SERVED if _answers(address.path) else State.OFF
    return State.SERVED if state in (State.FREE, State.BUSY) else state


def _state(address: Socket, paths: Mapping[str, bool]) -> State:
    if isinstance(address, TCPAddress):
        return State.UNKNOWN
    try:
        os.stat(address.path)
    except PermissionError:
        return State.NO_ACCESS
    except OSError:
        return State.OFF
    if not os.access(address.path, os.W_OK):
        return State.NO_ACCESS
    # The kernel knows a socket by the path at which it was created, not by one to which it was moved.
    has_client = paths.get(address.path)
    return State.UNKNOWN if has_client is None else State.BUSY if has_client else State.FREE


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(_ANSWERS_S)
        try:
            return sock.connect_ex(os.fsencode(path)) == 0
        except OSError:  # connect_ex itself, for a path that is too long for an address
            return False
