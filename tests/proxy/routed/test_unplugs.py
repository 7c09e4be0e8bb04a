"""A device that waits to be unplugged is known to the proxy, which looks for it before a load."""

from typing import Final

import pytest

from tests.support.routing.pure_router import Desk

AGREED: Final = b'{"return": {}}\r\n'
GONE: Final = (
    b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "DEVICE_DELETED", '
    b'"data": {"path": "/machine/peripheral/v1"}}\r\n'
)


@pytest.mark.parametrize(
    ("reply", "event", "is_looked_for"),
    [
        (AGREED, b"", True),
        (AGREED, GONE, False),
        (b'{"error": {"class": "DeviceNotFound", "desc": "Device \'v1\' not found"}}\r\n', b"", False),
    ],
    ids=["waits", "gone", "refused"],
)
def test_load_looks_for_a_device_that_is_being_unplugged(reply: bytes, event: bytes, is_looked_for: bool) -> None:
    """It has left its bus, so QMP's own load waits until QEMU has freed it."""
    desk = Desk()
    client = desk.client()
    command = b'{"execute":"device_del","arguments":{"id":"v1"}}'
    desk.send(client, command)
    assert desk.written() == command
    desk.receive(reply)
    if event:
        desk.receive(event)
    assert desk.said[client] == reply + event
    desk.send(client, b'{"execute":"snapshot-load","arguments":{"job-id":"j","tag":"t","vmstate":"a","devices":["a"]}}')
    desk.run()
    assert (desk.qemu.received[-1]["execute"] == "qom-list") is is_looked_for
    if is_looked_for:
        desk.receive(GONE)
        desk.dispatcher.poll()
        desk.take()
        desk.run()
    assert desk.qemu.received[-1]["execute"] == "snapshot-load"
