"""The arguments of the commands that a proxy answers itself, judged in QEMU's words."""

from typing import Any

import pytest

from shim.decisions.own_commands import OWN_COMMANDS, PLAN, QUERY_PROXY, argument_error


@pytest.mark.parametrize(
    ("command", "arguments", "error"),
    [
        (QUERY_PROXY, {}, None),
        (QUERY_PROXY, {"is-prompt": True}, None),
        (QUERY_PROXY, {"is-prompt": 1}, "Invalid parameter type for 'is-prompt', expected: boolean"),
        (QUERY_PROXY, {"x": 1}, "Parameter 'x' is unexpected"),
        (PLAN, {"command-line": ""}, None),
        (PLAN, {}, "Parameter 'command-line' is missing"),
        (PLAN, {"x": 1}, "Parameter 'command-line' is missing"),
        (PLAN, {"command-line": None}, "Invalid parameter type for 'command-line', expected: string"),
        (PLAN, {"command-line": "savevm", "cpu-index": 0}, "Parameter 'cpu-index' is unexpected"),
    ],
)
def test_arguments(command: str, arguments: dict[str, Any], error: str | None) -> None:
    assert argument_error(command, arguments) == error


def test_names_are_those_that_qapi_leaves_to_downstreams() -> None:
    assert all(name.startswith("__hmpshim_") for name in OWN_COMMANDS)
