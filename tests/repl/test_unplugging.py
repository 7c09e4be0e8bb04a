"""What a real QEMU says: tests/integration/planning/test_unplugging_on_qemu.py."""

import pytest

from repl.unplugging import execute_as_it_is, named_device, still_there
from shim.graph.known import Known
from shim.hmp.line import HMPLine
from shim.qmp import ErrorReply, Execute
from tests.fakes.qemu import FakeQEMU
from tests.support.repl.executing import Bench, played


@pytest.mark.parametrize(
    ("asked", "device"),
    [
        (HMPLine.read("device_del v1"), "v1"),
        (Execute("device_del", {"id": "v1"}), "v1"),
        (Execute("device_del", {"id": 1}), None),
        (Execute("device_add", {"id": "v1"}), None),
    ],
    ids=str,
)
def test_device_of_a_command(asked: HMPLine | Execute, device: str | None) -> None:
    assert named_device(asked) == device


def test_what_qemu_does_not_unplug_is_not_noted() -> None:
    """The modelled QEMU knows no `device_del`."""

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        known = Known()
        assert isinstance(await execute_as_it_is(bench.link, Execute("device_del", {"id": "v1"}), known), ErrorReply)
        assert known.unplugs.devices == ()
        assert await still_there(bench.link, "v1") is None

    played(scene, FakeQEMU())
