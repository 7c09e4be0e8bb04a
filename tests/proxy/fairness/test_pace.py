"""How much is read of a QEMU that says very much."""

import pytest

from proxy.fairness.pace import Pace
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.fakes.wire import spell
from tests.support.proxy.running_vm_proxy import RunningServer, connected, in_thread, played


class FakeEnd:
    """It has a limit."""

    read_limit_bytes = 0


def test_less_is_read_until_qemu_keeps_the_pace() -> None:
    end = FakeEnd()
    pace = Pace(end)  # type: ignore[arg-type]
    pace.note(300, 100_000)
    assert end.read_limit_bytes == 0
    pace.note(301, 100_000)
    limit = end.read_limit_bytes
    assert 0 < limit < 100_000
    pace.note(300, limit)
    assert end.read_limit_bytes == limit
    pace.note(300, limit - 1)
    assert end.read_limit_bytes == 0


@pytest.mark.parametrize("noted", [b"", spell({"timestamp": {}, "event": "STOP"})])
def test_flood_of_events_comes_whole_and_in_order(noted: bytes) -> None:
    """Also where events are among them that the proxy looks into."""
    events = [spell({"timestamp": {}, "event": "RTC_CHANGE", "data": {"offset": number}}) for number in range(20_000)]
    flood = b"".join(events[:10_000]) + noted + b"".join(events[10_000:])

    async def scene(qemu: FakeQEMU, server: RunningServer) -> None:
        with await connected(server.path) as client:
            await qemu.send_raw(flood)
            assert await in_thread(lambda: b"".join(client.receive_message() for _ in range(flood.count(b"\n")))) == flood

    played(scene, FakeQEMU(two_disks()))
