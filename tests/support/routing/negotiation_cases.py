"""What QEMU 7.2 says to a client that has not negotiated; tests/integration/wire/test_negotiation_on_qemu.py asks it."""

from typing import Any, Final

__all__ = ["CAPABILITIES", "ENVELOPES", "IDS", "IN_HASH_ORDER"]

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
IDS: Final[list[Any]] = [
    *(0, -7, 2**63, 1.5, "", "a\0é", None, True, False, [], [1, [None]], {}, {"k": {"execute": "x"}}, "hmpshim-1", [[[[[]]]]]),
]
