"""How QEMU begins a message; tests/integration/tools/test_libvirt_on_qemu.py compares one with QEMU's own."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from proxy.qemu_command_line.messages import MessageForm

NOW = datetime(2026, 3, 4, 6, 6, 7, 89, timezone(timedelta(hours=1)))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("-S", "qemu: why"),
        ("-msg timestamp=on", "2026-03-04T05:06:07.000089Z qemu: why"),
        ("-msg timestamp", "2026-03-04T05:06:07.000089Z qemu: why"),
        ("-msg timestamp=off -name some", "qemu: why"),
        ("-msg timestamp=on -msg timestamp=off", "qemu: why"),
        ("-name some -msg guest-name=on", "some qemu: why"),
        ("-msg guest-name=on", "qemu: why"),
        ("-msg timestamp=on,guest-name=on -name guest=a,,b,process=c", "2026-03-04T05:06:07.000089Z a,b qemu: why"),
        ("-msg timestamp=on -name some -msg guest-name=on", "some qemu: why"),
        ("-msg timestamp=maybe", "qemu: why"),
        ("-msg", "qemu: why"),
    ],
)
def test_line(words: str, line: str) -> None:
    assert MessageForm.of(words.split()).spell("qemu", "why", NOW) == line


def test_time_is_utc() -> None:
    assert MessageForm(has_time=True).spell("q", "t", NOW) == MessageForm(has_time=True).spell("q", "t", NOW.astimezone(UTC))
