"""What the help of `hmp-proxy` and of its plan both say."""

import re
from collections.abc import Sequence
from typing import Final

import pytest

from proxy.command_line.parsers import ADDRESSES
from shim.graph.patterns import KEYS, KINDS
from tests.support.proxy.command_lines import help_text, section

UPSTREAM_ADDRESSES: Final = ("unix:PATH", "tcp:HOST:PORT", "fd:N", "accept:unix:PATH")


@pytest.mark.parametrize(
    ("arguments", "addresses"),
    [((), (*UPSTREAM_ADDRESSES, "stdio", "systemd", "systemd:NAME", "hold:ADDRESS")), (("plan",), UPSTREAM_ADDRESSES)],
    ids=["serve", "plan"],
)
def test_help_has_every_address_and_pattern(
    capsys: pytest.CaptureFixture[str], arguments: Sequence[str], addresses: Sequence[str]
) -> None:
    shown = help_text(capsys, arguments)
    assert ADDRESSES in shown
    assert re.findall(r"(?m)^  (\S+) {2,}\S", section(shown, "addresses")) == list(addresses)
    found = section(shown, "patterns for block nodes")
    assert re.findall(r"(?m)^  (\S+) {2,}\S", found) == ["NAME", "KEY:GLOB", "kind:KIND"]
    assert ", ".join(KEYS) in found
    assert ", ".join(KINDS) in found
