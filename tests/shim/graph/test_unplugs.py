from collections.abc import Callable

import pytest

from shim.graph.unplugs import Unplugs, named_by, path_of
from shim.hmp.line import HMPLine

V1 = "/machine/peripheral/v1"


def agreed(device: str = "v1") -> Unplugs:
    unplugs = Unplugs()
    unplugs.ask(device)
    unplugs.answer(device, is_agreed=True)
    return unplugs


@pytest.mark.parametrize("device", ["v1", V1])
def test_device_is_known_by_its_path_until_it_has_gone(device: str) -> None:
    unplugs = agreed(device)
    assert unplugs.devices == (V1,)
    assert unplugs.goes_at_reset(V1)
    unplugs.receive_event("DEVICE_DELETED", {"path": f"{V1}/virtio-backend"})
    assert unplugs.devices == (V1,)
    unplugs.receive_event("DEVICE_DELETED", {"device": "v1", "path": V1})
    assert not unplugs.devices
    assert not unplugs.goes_at_reset(V1)


def test_event_may_come_before_the_answer() -> None:
    unplugs = Unplugs()
    unplugs.ask("v1")
    unplugs.receive_event("DEVICE_DELETED", {"device": "v1", "path": V1})
    unplugs.answer("v1", is_agreed=True)
    assert unplugs.devices == ()


def test_device_that_qemu_does_not_unplug_is_forgotten() -> None:
    unplugs = Unplugs()
    unplugs.ask("v1")
    unplugs.answer("v1", is_agreed=False)
    assert unplugs.devices == ()


def test_second_try_that_fails_does_not_take_back_the_first() -> None:
    """QEMU 10.0 says `Device v1 is already in the process of unplug`."""
    unplugs = agreed()
    unplugs.ask("v1")
    unplugs.answer("v1", is_agreed=False)
    assert unplugs.devices == (V1,)


def test_device_that_outlasts_a_reset_does_not_go_at_the_next() -> None:
    unplugs = agreed()
    unplugs.receive_event("RESET", {"guest": True})
    assert unplugs.devices == (V1,)
    assert not unplugs.goes_at_reset(V1)
    unplugs.ask("v1")
    assert unplugs.goes_at_reset(V1)


def test_another_process_goes_on_with_what_is_known() -> None:
    before, after = agreed(), Unplugs()
    before.ask("v2")
    after.learn(before.to_members())
    assert after.devices == before.devices == (V1, path_of("v2"))
    after.answer("v2", is_agreed=False)
    assert list(after.devices) == [V1]
    after.learn({V1: "a state of another version"})
    assert after.goes_at_reset(V1)


@pytest.mark.parametrize(
    ("line", "device"),
    [
        ("device_del v1", "v1"),
        (' device_del  "v1" ', "v1"),
        ("device_del /machine/peripheral-anon/device[0]", "/machine/peripheral-anon/device[0]"),
        ("device_del", None),
        ("device_del v1 v2", None),
        ("device_add v1", None),
    ],
)
def test_device_of_a_line(line: str, device: str | None) -> None:
    assert named_by(HMPLine.read(line)) == device


@pytest.mark.parametrize("read", [path_of])
def test_path_of_an_id_and_of_a_path(read: Callable[[str], str]) -> None:
    assert [read("v1"), read("/machine/unattached/device[1]")] == [V1, "/machine/unattached/device[1]"]


def test_no_line_names_no_device() -> None:
    assert named_by(None) is None
