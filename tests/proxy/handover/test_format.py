"""A VM as JSON, and back."""

import json
from typing import Any

import pytest

from host.net.addresses import SystemdAddress, TCPAddress, UnixAddress
from host.net.socket_access import SocketAccess
from proxy.entrance.front import CarriedFront
from proxy.entrance.takeover import CarriedPath
from proxy.handover.format import FORMAT, CarriedVM, read, written
from proxy.net.sockets import CarriedListener, SocketFile
from proxy.qmp_json.items import Begun
from proxy.qmp_json.position import Place
from proxy.relaying.carrying import CarriedClient, CarriedRelay
from proxy.sessions.carried import CarriedSession
from shim.client import Client
from tests.support.processes import previous_format
from tests.support.routing.pure_router import a_monitor

_FRONT = CarriedFront(
    {
        UnixAddress("/run/a\udc80", holds=True): (CarriedListener(10, SocketFile("/run/a\udc80", 7)),),
        TCPAddress("::1", 4444): (CarriedListener(11, None),),
        SystemdAddress("n"): (CarriedListener(12, None), CarriedListener(13, None)),
    },
    (CarriedListener(14, None),),
    CarriedPath(SocketFile("/q", 8), True, SocketAccess(0o660, 1, None)),
    UnixAddress("/q.hmpshim"),
)
_CLIENTS = (
    CarriedClient(
        21,
        Client(1, 2, "/bin/tool", started=3, listener="unix:/run/a", connected_as="/bin/sh"),
        CarriedSession(True, False, True, "loadvm t", Begun(b'{"a\xff', b"\n ", Place(3, 4)), (22, 23)),
        b"",
        1.5,
    ),
    CarriedClient(
        24, Client(address="tcp:h:1"), CarriedSession(False, False, False, None, Begun(recovers=True), ()), b"\0", 0.0
    ),
    CarriedClient(25, Client(5, 6), None, b"rest", 0.5),
)
_KNOWN = {"is_loaded": True, "unplugs": {"/machine/peripheral/v1": "AGREED"}}
_RELAY = CarriedRelay(20, a_monitor(), _CLIENTS, _KNOWN)
VMS = {
    "whole": CarriedVM(_FRONT, _RELAY, {"token": "t", "intents": []}, {"file /d0": "d0"}),
    "away": CarriedVM(CarriedFront({}, (), None, UnixAddress("/q")), None, {"token": "t", "intents": []}, {}),
}


def over_the_wire(value: dict[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(json.dumps(value))
    return told


@pytest.mark.parametrize("vm", VMS.values(), ids=VMS.keys())
def test_vm_is_read_as_it_was_written(vm: CarriedVM) -> None:
    value, numbers = written(vm)
    found = read(over_the_wire(value), numbers, FORMAT)
    assert found == vm
    if found.relay is not None:
        assert [one.client.listener for one in found.relay.clients] == ["unix:/run/a", None, None]
        assert found.relay.clients[0].client.started == 3


def test_descriptors_get_new_numbers_on_the_way() -> None:
    value, numbers = written(VMS["whole"])
    assert sorted(numbers) == [*range(10, 15), *range(20, 26)]
    found = read(over_the_wire(value), [number + 100 for number in numbers], FORMAT)
    assert found.relay is not None
    assert [one.number for one in found.relay.clients] == [121, 124, 125]
    session = found.relay.clients[0].session
    assert session is not None
    assert session.descriptors == (122, 123)


@pytest.mark.parametrize("vm", VMS.values(), ids=VMS.keys())
def test_form_of_the_version_before_is_read(vm: CarriedVM) -> None:
    value, numbers = previous_format.written(vm)
    found = read(over_the_wire(value), numbers, previous_format.FORMAT)
    assert found.front == vm.front
    assert found.excluded == {}
    assert (found.relay is None) is (vm.relay is None)
    if found.relay is not None and vm.relay is not None:
        assert found.relay.known == {}
        assert [one.session for one in found.relay.clients] == [one.session for one in vm.relay.clients]
        assert {one.connected_s for one in found.relay.clients} == {0.0}


@pytest.mark.parametrize(
    "change", [{"front": {}}, {"relay": 1}, {"relay": {"fd": 99}}, {"kept": 3}, {"front": {"listeners": [["nowhere", []]]}}]
)
def test_what_is_no_vm_is_told_of(change: dict[str, Any]) -> None:
    value, numbers = written(VMS["whole"])
    with pytest.raises(ValueError, match="what was handed over of it cannot be read"):
        read(value | change, numbers, FORMAT)
