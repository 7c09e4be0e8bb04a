"""What is known of QMP's commands: names that mean the same, values that they are about, and how much of them is read."""

from typing import Any

import pytest

from shim.rules.asked import Asked
from shim.rules.deeds import Deed, deed_of, deeds_of_actions, kinds_of_actions, settled, twins
from tests.support.shim.commands import hmp_message, message


def chardev(kind: str, name: str = "chardev-add") -> dict[str, Any]:
    return message(name, id="c", backend={"type": kind, "data": {}})


@pytest.mark.parametrize(
    ("deed", "others"),
    [
        (Deed("quit"), [Deed("x-quit")]),
        (Deed("x-quit"), [Deed("quit")]),
        (Deed(""), []),
        (Deed("chardev-add", ("null",)), [Deed("x-chardev-add", ("null",))]),
        (Deed("chardev-add", None), [Deed("x-chardev-add", None)]),
        (
            Deed("chardev-add", ("memory",)),
            [Deed("chardev-add", ("memory", "ringbuf")), Deed("x-chardev-add", ("memory", "ringbuf"))],
        ),
        (
            Deed("x-chardev-change", ("serial",)),
            [Deed("x-chardev-change", ("serial", "tty")), Deed("chardev-change", ("serial", "tty"))],
        ),
    ],
)
def test_deed_that_is_the_same(deed: Deed, others: list[Deed]) -> None:
    assert list(twins(deed)) == others


@pytest.mark.parametrize(("first", "second"), [("ringbuf", "memory"), ("serial", "tty"), ("parallel", "parport")])
def test_either_name_of_a_chardev_is_known_by_the_other(first: str, second: str) -> None:
    for kind, other in ((first, second), (second, first)):
        for command in (chardev(kind), chardev(kind, "chardev-change"), hmp_message(f"chardev-add {kind},id=c")):
            assert any(other in (deed.values or ()) for deed in Asked.of(command).equivalents)
    assert Asked.of(chardev(first)).deed.values == (first,)


@pytest.mark.parametrize(
    ("command", "values"),
    [
        (message("set_password", protocol="vnc", password="p"), ("vnc",)),
        (message("expire-password", protocol="spice", time="now"), ("spice",)),
        (message("change-vnc-password", password="p"), ("vnc",)),
        (message("display-update", type="vnc", addresses=[]), ("vnc",)),
        (message("qom-set", path="/objects/t", property="dir", value="/x"), ("dir",)),
        (message("migrate", uri="x" * 4096), ("x" * 4096,)),
        # More than is looked through.
        (message("migrate", uri="x" * 4097), None),
        (message("migrate", channels=[{"addr": {"transport": "file", "filename": "f"}}] * 17), None),
        (message("migrate", channels=[{"addr": {"transport": "exec", "args": ["a"] * 1001}}]), None),
        (message("migrate", channels=[{"addr": {"transport": "exec", "args": [1]}}]), None),
        (message("transaction", actions=[{"type": "a"}, {"type": "b"}, {"type": "a"}]), ("a", "b")),
        (message("transaction", actions=[]), None),
        (message("transaction", actions=[{"type": "a"}] * 4097), None),
    ],
)
def test_value_that_a_command_is_about(command: dict[str, Any], values: tuple[str, ...] | None) -> None:
    assert deed_of(command["execute"], command["arguments"]).values == values


def test_name_without_x_is_settled() -> None:
    assert settled("x-blockdev_reopen") == "blockdev-reopen"


def test_each_type_of_action_counts_once() -> None:
    arguments: dict[str, Any] = {"actions": [{"type": "abort"}, {"type": "migrate", "data": {"uri": "tcp:a:1"}}] * 2000}
    assert kinds_of_actions(arguments) == ("abort", "migrate")
    # QEMU has no such action, so what it is about is not read.
    assert list(deeds_of_actions(arguments))[::2] == [Deed("abort"), Deed("migrate", None)]


@pytest.mark.parametrize(
    "actions",
    [
        [{"type": "a"}] * 4097,
        [{"type": f"a{number}"} for number in range(65)],
        [{"type": "a" * 257}],
    ],
)
def test_more_actions_than_any_tool_sends_are_not_read(actions: list[Any]) -> None:
    assert kinds_of_actions({"actions": actions}) is None
    assert list(deeds_of_actions({"actions": actions})) == []
    assert Asked.of(message("transaction", actions=actions)).is_too_large


def test_actions_up_to_the_limits_are_read() -> None:
    actions = [{"type": f"a{number % 64}"} for number in range(4096)]
    assert not Asked.of(message("transaction", actions=actions)).is_too_large
    assert len(list(deeds_of_actions({"actions": actions}))) == 128


def test_action_without_a_type_is_not_known() -> None:
    assert kinds_of_actions({"actions": [{"type": "a"}, {"type": []}, 1]}) == ("a", None)
    assert kinds_of_actions({}) == (None,)
