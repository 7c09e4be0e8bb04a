"""What QEMU takes for typed of what a telnet client sends (5.2, 7.2 and 11.1)."""

import pytest

from proxy.human_monitor.telnet import NEGOTIATION, TelnetFilter


def typed(data: bytes, telnet: TelnetFilter | None = None) -> bytes:
    telnet = TelnetFilter() if telnet is None else telnet
    return bytes(byte for byte in data if telnet.passes(byte))


@pytest.mark.parametrize(
    ("data", "passed"),
    [
        (b"info\r\n\r\0", b"info\r\n\r\0"),
        (b"a\xff\xfb\x18b", b"ab"),
        (b"a\xff\xffb", b"a\xffb"),
        (b"a\xff\xf3b", b"ab"),
        (b"a\xff\xf1bc", b"ac"),
        (b"x\xff\xfa\x1f\x00P\x00\x18\xff\xf0y", b"x\x00P\x00\x18"),
        (b"a\xff\xfd\xffb", b"ab"),
        (b"\xff\xff\xff\xff", b"\xff\xff"),
        (NEGOTIATION, b""),
    ],
    ids=["none", "option", "doubled", "break", "command of two bytes", "window size", "option 255", "twice", "all options"],
)
def test_typed(data: bytes, passed: bytes) -> None:
    assert typed(data) == passed


def test_half_a_command_waits_for_the_rest() -> None:
    telnet = TelnetFilter()
    assert typed(b"a\xff", telnet) == b"a"
    assert typed(b"\xfb", telnet) == b""
    assert typed(b"bc", telnet) == b"c"
