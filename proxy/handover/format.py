"""A VM as JSON with file descriptors, which the old process writes and the new one reads.

**To change the format**, raise FORMAT, and have `_from_previous` convert the old format to the new one. Delete its previous
code, and the writer of that older format in tests/support/processes/previous_format.py. A member that a reader can do without
needs no other format: who reads finds it missing in what an older program writes, and an older program does not look at it.
Bytes are base64. A descriptor is its index among those that come with the message.
"""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from host.audit_log.losses import Lost
from host.errors import ProgramError
from host.net.addresses import parse_listen_address, parse_upstream_address
from host.net.socket_access import SocketAccess
from proxy.entrance.front import CarriedFront
from proxy.entrance.takeover import CarriedPath
from proxy.net.qmp_connection import shared_commands
from proxy.net.sockets import CarriedListener, SocketFile
from proxy.qmp_json.items import Begun
from proxy.qmp_json.position import Place
from proxy.relaying.carrying import CarriedClient, CarriedRelay
from proxy.sessions.carried import CarriedSession
from proxy.sessions.monitor import Monitor
from shim.client import Client
from shim.qmp import JSON, QEMUVersion
from shim.version import VERSION

__all__ = ["FORMAT", "READ_FORMATS", "CarriedVM", "read", "read_lost", "why_unreadable", "written"]

FORMAT: Final = 2
READ_FORMATS: Final = (FORMAT - 1, FORMAT)


@dataclass(frozen=True, slots=True)
class CarriedVM:
    """The complete state of a VM. relay: None while its QEMU is away.

    kept: what is kept for the next start (`IntentStore.to_members`). excluded: see `Exclusions.remembered`. lost: of its audit
    log, unless another VM has that with it; None if it has no log.
    """

    front: CarriedFront
    relay: CarriedRelay | None
    kept: dict[str, JSON]
    excluded: dict[str, str]
    lost: Lost | None = None


def written(vm: CarriedVM) -> tuple[dict[str, JSON], list[int]]:
    """Return a VM as JSON, and the descriptors that go with it."""
    numbers: list[int] = []

    def place(number: int) -> int:
        numbers.append(number)
        return len(numbers) - 1

    def listener(one: CarriedListener) -> JSON:
        return {"fd": place(one.number), "file": _file(one.file)}

    def client(one: CarriedClient) -> JSON:
        return {
            "fd": place(one.number),
            "client": asdict(one.client),
            "session": None if one.session is None else session(one.session),
            "unsent": _text(one.unsent),
            "connected_s": one.connected_s,
        }

    def session(one: CarriedSession) -> JSON:
        begun = {"data": _text(one.begun.data), "blanks": _text(one.begun.blanks), "place": one.begun.place}
        return asdict(one) | {
            "begun": begun | {"recovers": one.begun.recovers},
            "descriptors": list(map(place, one.descriptors)),
        }

    front, relay = vm.front, vm.relay
    path = None if front.path is None else {**asdict(front.path), "file": _file(front.path.file)}
    value: dict[str, JSON] = {
        "front": {
            "listeners": [[str(address), list(map(listener, several))] for address, several in front.listeners.items()],
            "in_place": list(map(listener, front.in_place)),
            "path": path,
            "upstream": str(front.upstream),
        },
        "relay": None
        if relay is None
        else {
            "fd": place(relay.number),
            "monitor": _monitor(relay.monitor),
            "clients": list(map(client, relay.clients)),
            "known": relay.known,
        },
        "kept": vm.kept,
        "excluded": vm.excluded,
        "lost": None if vm.lost is None else asdict(vm.lost),
    }
    return value, numbers


def why_unreadable(message: dict[str, JSON]) -> str | None:
    """Return why a VM from another process cannot be read here; None if its format is known. Raises KeyError for nonsense."""
    form, version = message["format"], message.get("version")
    if form in READ_FORMATS:
        return None
    known = " and ".join(map(str, READ_FORMATS))
    return f"it is hmpshim {version}, which hands over in format {form}, and this is {VERSION}, which reads {known}"


def read(value: dict[str, JSON], numbers: Sequence[int], form: int) -> CarriedVM:
    """Return the VM that was written in a format. Raises ValueError if it is not a VM."""
    try:
        return _read(value if form == FORMAT else _from_previous(value), numbers)
    except (KeyError, TypeError, ValueError, IndexError, ProgramError) as exc:
        raise ValueError(f"what was handed over of it cannot be read: {exc!r}") from exc


def _from_previous(value: dict[str, JSON]) -> dict[str, JSON]:
    """Convert the previous format, which lacks how long clients have been connected, and what was excluded."""
    relay = value["relay"]
    if relay is not None:
        relay = relay | {"clients": [client | {"connected_s": 0.0} for client in relay["clients"]]}
    return value | {"relay": relay, "excluded": {}}


def _read(value: dict[str, JSON], numbers: Sequence[int]) -> CarriedVM:
    def listener(one: JSON) -> CarriedListener:
        return CarriedListener(numbers[one["fd"]], _read_file(one["file"]))

    def client(one: JSON) -> CarriedClient:
        session = None if one["session"] is None else _read_session(one["session"], numbers)
        who = Client(**one["client"])
        return CarriedClient(numbers[one["fd"]], who, session, _bytes(one["unsent"]), float(one["connected_s"]))

    front, relay = value["front"], value["relay"]
    listeners = {parse_listen_address(text): tuple(map(listener, several)) for text, several in front["listeners"]}
    in_place = tuple(map(listener, front["in_place"]))
    carried = None
    if relay is not None:
        monitor, clients = _read_monitor(relay["monitor"]), tuple(map(client, relay["clients"]))
        carried = CarriedRelay(numbers[relay["fd"]], monitor, clients, dict(relay.get("known", {})))
    return CarriedVM(
        CarriedFront(listeners, in_place, _read_path(front["path"]), parse_upstream_address(front["upstream"])),
        carried,
        dict(value["kept"]),
        dict(value["excluded"]),
        read_lost(value.get("lost")),
    )


def read_lost(value: JSON) -> Lost | None:
    """Return what was lost of an audit log; None for None. Raises KeyError, TypeError or ValueError for nonsense."""
    return None if value is None else Lost(str(value["log"]), int(value["untold"]), int(value["ever"]), str(value["why"]))


def _read_session(value: JSON, numbers: Sequence[int]) -> CarriedSession:
    begun = value["begun"]
    place = None if begun["place"] is None else Place(*begun["place"])
    members = {
        "begun": Begun(_bytes(begun["data"]), _bytes(begun["blanks"]), place, begun["recovers"]),
        "descriptors": tuple(numbers[at] for at in value["descriptors"]),
    }
    return CarriedSession(**(value | members))


def _monitor(monitor: Monitor) -> JSON:
    return {
        "greeting": _text(monitor.greeting),
        "offers_oob": monitor.offers_oob,
        "version": list(monitor.version),
        "commands": sorted(monitor.commands),
        "vm": monitor.vm,
    }


def _read_monitor(value: JSON) -> Monitor:
    commands = shared_commands(frozenset(value["commands"]))
    return Monitor(_bytes(value["greeting"]), value["offers_oob"], QEMUVersion(*value["version"]), commands, value["vm"])


def _file(file: SocketFile | None) -> JSON:
    return None if file is None else asdict(file)


def _read_file(value: JSON) -> SocketFile | None:
    return None if value is None else SocketFile(**value)


def _read_path(value: JSON) -> CarriedPath | None:
    if value is None:
        return None
    return CarriedPath(_read_file(value["file"]), value["has_moved"], SocketAccess(**value["last_access"]))


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _bytes(text: str) -> bytes:
    return b64decode(text, validate=True)
