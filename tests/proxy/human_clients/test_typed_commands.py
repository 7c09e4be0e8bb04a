"""What QEMU is asked for a line that was typed, and what is printed for its answers."""

from collections.abc import Sequence
from typing import Any

import pytest

from proxy.human_clients.steps import Pause
from proxy.human_clients.typed_commands import Ending, run, set_password, takes_descriptor
from proxy.human_monitor.dialogue import CommandEntered
from shim.qmp import ErrorReply, Execute, Reply, ReturnReply
from tests.support.routing.played_steps import outcome_of

GOES_ON = "terminal does not allow synchronous migration, continuing detached\r\n"
TEXT, DONE, FAILED = ReturnReply("text\r\n"), ReturnReply({}), ErrorReply("GenericError", "no")
LOOK, AGAIN = Execute("query-migrate"), Pause(1.0)


def hmp(line: str, **arguments: Any) -> Execute:
    return Execute("human-monitor-command", {"command-line": line, **arguments})


def status(text: str) -> ReturnReply:
    return ReturnReply({"status": text})


@pytest.mark.parametrize(
    ("line", "asked", "replies", "outcome"),
    [
        ("info name", [hmp("info name")], [TEXT], "text\r\n"),
        (" foo é ", [hmp(" foo é ")], [TEXT], "text\r\n"),
        ("foo", [hmp("foo")], [FAILED], "Error: no\r\n"),
        ("quit", [hmp("quit")], [ReturnReply("")], Ending.NO_PROMPT),
        ("q x", [hmp("q x")], [TEXT], "text\r\n"),
        (
            "change vnc password",
            [hmp("change vnc password")],
            [ReturnReply("terminal does not support password prompting\r\n")],
            Ending.PASSWORD_PROMPT,
        ),
        # QEMU 5.2 to 10.0, and 11.1.
        ("migrate u", [hmp("migrate u"), LOOK], [ReturnReply(GOES_ON), status("completed")], ""),
        ("migrate u", [hmp("migrate u"), LOOK], [ReturnReply(""), status("failed")], ""),
        ("migrate -b u", [hmp("migrate -b u"), LOOK], [ReturnReply(f"a hint\r\n{GOES_ON}"), status("failed")], "a hint\r\n"),
        (
            "migrate u",
            [hmp("migrate u"), LOOK, AGAIN, LOOK, AGAIN, LOOK, AGAIN, LOOK],
            [ReturnReply(""), DONE, None, status("setup"), None, status("active"), None, status("pre-switchover")],
            "",
        ),
        ("migrate u", [hmp("migrate u"), LOOK], [ReturnReply(""), FAILED], ""),
        ("migrate -d u", [hmp("migrate -d u")], [ReturnReply("")], ""),
        ("migrate -du", [hmp("migrate -du")], [ReturnReply("")], ""),
        ("migrate u", [hmp("migrate u")], [TEXT], "text\r\n"),
        ("migrate_cancel", [hmp("migrate_cancel")], [ReturnReply("")], ""),
        ("migrate fd:a", [Execute("migrate", {"uri": "fd:a"}), LOOK], [DONE, status("completed")], ""),
        ("migrate -d fd:a", [Execute("migrate", {"uri": "fd:a"})], [DONE], ""),
        ("migrate -r fd:a", [hmp("migrate -r fd:a")], [TEXT], "text\r\n"),
        ("closefd a", [Execute("closefd", {"fdname": "a"})], [FAILED], "Error: no\r\n"),
        ("closefd", [hmp("closefd")], [TEXT], "text\r\n"),
        ("getfd a", [hmp("getfd a")], [TEXT], "text\r\n"),
    ],
)
def test_command(line: str, asked: list[Execute | Pause], replies: Sequence[Reply | None], outcome: str | Ending) -> None:
    assert outcome_of(run(CommandEntered(line.encode(), None), has_descriptor=False), replies) == (asked, outcome)


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("getfd a", Execute("getfd", {"fdname": "a"})),
        ('getfd "a b"', Execute("getfd", {"fdname": "a b"})),
        ("getfd", hmp("getfd")),
        ("getfd a b", hmp("getfd a b")),
        ('getfd "a', hmp('getfd "a')),
        ("info name", hmp("info name")),
    ],
)
def test_command_after_a_descriptor_came(line: str, asked: Execute) -> None:
    assert outcome_of(run(CommandEntered(line.encode(), None), has_descriptor=True), [DONE]) == ([asked], "")
    assert takes_descriptor(asked) is (asked.command == "getfd")


def test_cpu() -> None:
    assert outcome_of(run(CommandEntered(b"x 0", 1), has_descriptor=False), [TEXT])[0] == [hmp("x 0", **{"cpu-index": 1})]


def test_what_json_cannot_carry_is_refused() -> None:
    asked, outcome = outcome_of(run(CommandEntered(b"foo \xff", None), has_descriptor=False), [])
    assert (asked, outcome) == ([], "Error: hmpshim cannot pass on what is not UTF-8\r\n")


@pytest.mark.parametrize("reply", [DONE, FAILED])
def test_password(reply: Reply) -> None:
    asked = [Execute("change-vnc-password", {"password": "a\N{REPLACEMENT CHARACTER}"})]
    assert outcome_of(set_password(b"a\xff"), [reply]) == (asked, "")
