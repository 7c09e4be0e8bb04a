"""A VM that is to be handed over: what cannot be. test_giving.py and test_storing.py make the moments."""

from typing import Any

import pytest

from host.net.addresses import AcceptAddress, StdioAddress, UnixAddress
from host.settings.config import VMConfig
from proxy.handover import standstill
from proxy.handover.standstill import why_never


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"attach": UnixAddress("/q")}, "it is attached to its QEMU (--attach)"),
        ({"upstream": AcceptAddress(UnixAddress("/q"))}, "its QEMU connects to the proxy (accept:)"),
        ({"listen": (StdioAddress(),)}, "its client is at standard input and output"),
        ({}, None),
    ],
)
def test_what_cannot_be_handed_over_by_its_configuration(members: dict[str, Any], reason: str | None) -> None:
    assert standstill._why_never_by(VMConfig(**({"upstream": UnixAddress("/q")} | members))) == reason


def test_vm_that_is_not_there_is_not_settled() -> None:
    assert why_never(None) == "it is not settled whether its QEMU is there"
