"""What QEMU 7.2 says to a client that has not negotiated; tests/integration/wire/test_negotiation_on_qemu.py asks it."""

from typing import Any

import pytest

from proxy.sessions.negotiation import capabilities_error, envelope_error, is_out_of_band
from shim.qmp import QEMUVersion
from tests.support.routing.negotiation_cases import CAPABILITIES, ENVELOPES, IN_HASH_ORDER
from tests.support.routing.pure_router import a_monitor, greeting


@pytest.mark.parametrize(("message", "text"), [row for row in ENVELOPES if row[0] not in IN_HASH_ORDER], ids=str)
def test_envelope(message: dict[str, Any], text: str | None) -> None:
    assert envelope_error(message) == text


@pytest.mark.parametrize(("arguments", "text"), CAPABILITIES, ids=str)
def test_capabilities(arguments: dict[str, Any], text: str | None) -> None:
    assert capabilities_error(arguments, a_monitor()) == text


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, None),
        ({"enable": []}, None),
        ({"enable": ["oob"]}, "Capability oob not available"),
        ({"enable": ["oob", "oob"]}, "Capability oob, oob not available"),
        ({"enable": ["nope"]}, "Parameter 'null' does not accept value 'nope'"),
        ({"enable": ["oob"], "bogus": 1}, "Parameter 'bogus' is unexpected"),
    ],
    ids=str,
)
def test_capabilities_of_a_monitor_without_oob(arguments: dict[str, Any], text: str | None) -> None:
    """monitor/qmp-cmds-control.c, qmp_caps_accept: looked at behind the arguments."""
    assert capabilities_error(arguments, a_monitor(greeting(capabilities=[]))) == text


def test_unknown_capability_in_the_words_of_qemu_5() -> None:
    monitor = a_monitor(version=QEMUVersion(5, 2))
    assert capabilities_error({"enable": ["nope"]}, monitor) == "Invalid parameter 'nope'"


@pytest.mark.parametrize(
    ("message", "overtakes"),
    [({"exec-oob": "x"}, True), ({"exec-oob": 5}, True), ({"execute": "x"}, False), ({"execute": 1, "exec-oob": "x"}, False)],
    ids=str,
)
def test_out_of_band_is_exec_oob_alone(message: dict[str, Any], overtakes: bool) -> None:
    assert is_out_of_band(message) is overtakes
