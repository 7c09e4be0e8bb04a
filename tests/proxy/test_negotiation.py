"""What QEMU 7.2 says to a client that has not negotiated; tests/integration/test_negotiation_on_qemu.py asks it."""

from typing import Any, Final

import pytest

from proxy.routing.negotiation import capabilities_error, envelope_error, is_out_of_band
from shim.qmp import QEMUVersion
from tests.support.pure_router import a_monitor, greeting

# The command and QEMU's text; None where there is nothing wrong with the envelope.
ENVELOPES: Final[list[tuple[dict[str, Any], str | None]]] = [
    ({"execute": "x"}, None),
    ({"execute": ""}, None),
    ({"execute": "x", "arguments": {}, "id": None}, None),
    ({"id": 1, "execute": "x"}, None),
    ({}, "QMP input lacks member 'execute'"),
    ({"id": 1}, "QMP input lacks member 'execute'"),
    ({"arguments": {}}, "QMP input lacks member 'execute'"),
    ({"execute": 5}, "QMP input member 'execute' must be a string"),
    ({"execute": None}, "QMP input member 'execute' must be a string"),
    ({"execute": "x", "arguments": 5}, "QMP input member 'arguments' must be an object"),
    ({"execute": "x", "arguments": []}, "QMP input member 'arguments' must be an object"),
    ({"execute": "x", "bogus": 1}, "QMP input member 'bogus' is unexpected"),
    ({"execute": "x", "control": {}}, "QMP input member 'control' is unexpected"),
    ({"exec-oob": "x"}, "QMP input member 'exec-oob' is unexpected"),
    ({"exec-oob": 5, "id": 1}, "QMP input member 'exec-oob' is unexpected"),
    ({"execute": "x", "exec-oob": "y"}, "QMP input member 'exec-oob' is unexpected"),
    ({"execute": 5, "exec-oob": "y"}, "QMP input member 'exec-oob' is unexpected"),
    ({"bogus": 1, "execute": 5}, "QMP input member 'bogus' is unexpected"),
]
# The arguments of qmp_capabilities and QEMU's text; None where it takes them.
CAPABILITIES: Final[list[tuple[dict[str, Any], str | None]]] = [
    ({}, None),
    ({"enable": []}, None),
    ({"enable": ["oob"]}, None),
    ({"enable": ["oob", "oob"]}, None),
    ({"enable": ["nope"]}, "Parameter 'null' does not accept value 'nope'"),
    ({"enable": ["OOB"]}, "Parameter 'null' does not accept value 'OOB'"),
    ({"enable": [""]}, "Parameter 'null' does not accept value ''"),
    ({"enable": ["oob", "é\0"]}, "Parameter 'null' does not accept value 'é\0'"),
    ({"enable": [1]}, "Invalid parameter type for 'enable[0]', expected: string"),
    ({"enable": ["oob", None]}, "Invalid parameter type for 'enable[1]', expected: string"),
    ({"enable": [["oob"]]}, "Invalid parameter type for 'enable[0]', expected: string"),
    ({"enable": "oob"}, "Invalid parameter type for 'enable', expected: array"),
    ({"enable": None}, "Invalid parameter type for 'enable', expected: array"),
    ({"enable": {}}, "Invalid parameter type for 'enable', expected: array"),
    ({"bogus": 1}, "Parameter 'bogus' is unexpected"),
    ({"enable": ["oob"], "bogus": 1}, "Parameter 'bogus' is unexpected"),
    ({"bogus": 1, "enable": ["nope"]}, "Parameter 'null' does not accept value 'nope'"),
]
# Found in QEMU's hash order where two things are wrong; the proxy looks in the order of the client.
IN_HASH_ORDER: Final = [{"execute": 5, "exec-oob": "y"}]


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
