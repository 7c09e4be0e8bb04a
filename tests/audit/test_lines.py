"""Records as lines for a person."""

import copy
import io
import re
from collections.abc import Mapping
from typing import Any, Final

import pytest

from audit.lines import Lines, details, is_colourful, one_line, paint
from audit.log.reading import modernize
from audit.log.schema import problems
from shim.client import Client
from shim.plans.plan import Decided
from shim.qmp import JSON
from shim.records.audit import Action
from shim.records.audit_form import to_members
from shim.records.excerpt import excerpt
from shim.records.identity import Identified, Identity, Parent
from tests.support.audit.written_records import record, whole_record

_REPORTED: Final = "Error: Device 'pflash1' is writable but does not support snapshots\r\n"
_HOSTILE: Final = "\x1b]0;x\x07\x1b[2J\n\r\u202e\x9b\ud800\x7fé"


def members(**changes: Any) -> dict[str, JSON]:
    counts = {name: changes.pop(name, 0) for name in ("lost_before", "repeated")}
    return to_members(record(**changes), host="node7", **counts)


def line(**changes: Any) -> str:
    return one_line(members(**changes))


def outcome(**changes: Any) -> str:
    return line(**changes).rpartition(str(changes.get("action", "rewritten")))[2].strip()


def nothing_that_a_terminal_obeys(text: str) -> bool:
    return all(part.isprintable() for part in text.split("\n"))


def hostile(value: JSON, name: str = "") -> JSON:
    """Replace all texts of a record that may be anybody's."""
    match value:
        case str() if name not in ("action", "time"):
            return _HOSTILE
        case dict():
            return {key: hostile(member, key) for key, member in value.items()}
        case list():
            return [hostile(item) for item in value]
    return value


# -- one line -------------------------------------------------------------------------------------------------------------


def test_line_of_a_snapshot() -> None:
    shown = one_line(to_members(whole_record(), host="node7"))
    assert shown == "17:18:06  vm1  tool(1000)    savevm t1     rewritten  40.0 ms, VM stood 25.0 ms"


@pytest.mark.parametrize(
    ("client", "tool"),
    [
        (Client(1, 0, "/usr/sbin/multipassd"), "multipassd(0)"),
        (Client(1, 0, "/opt/x (deleted)"), "x (deleted)(0)"),
        (Client(1, 1000), "?(1000)"),
        (Client(address="192.0.2.1:5000"), "192.0.2.1:5000"),
        (Client(), "-"),
        (Client(exe="/bin/x"), "x(?)"),
        (Client(1, 0, "/usr/bin/" + "long" * 20), "longlonglonglonglon…(0)"),
    ],
)
def test_tool_of_a_line(client: Client, tool: str) -> None:
    assert line(client=client).split("  ")[2] == tool


@pytest.mark.parametrize(
    ("changes", "command"),
    [
        ({"command_line": "  savevm   t1 "}, "savevm   t1"),
        ({"command_line": None}, "human-monitor-command"),
        ({"command_line": None, "execute": "snapshot-save", "action": Action.MODERN}, "snapshot-save"),
        ({"command_line": None, "execute": None, "action": Action.RECOVERED}, "-"),
        ({"command_line": ""}, "-"),
        ({"command_line": "savevm " + "t" * 100}, "savevm " + "t" * 32 + "…"),
    ],
)
def test_command_of_a_line(changes: dict[str, Any], command: str) -> None:
    assert f"  {command}  " in line(client=Client(1, 0, "/a/sufficiently-long-name"), **changes)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "40.0 ms"),
        ({"duration_ns": 1_234_000_000}, "1.2 s"),
        ({"reply": {"return": _REPORTED}}, "40.0 ms  FAILED: Device 'pflash1' is writable but does not support snapshots"),
        ({"reply": {"error": {"class": "GenericError", "desc": "no\nline"}}}, "40.0 ms  FAILED: no\\nline"),
        ({"reply": {"return": "x" * 500}}, f"40.0 ms  FAILED: {'x' * 99}…"),
        ({"reply": {"error": 5}}, '40.0 ms  FAILED: {"error": 5}'),
        ({"reply": None}, "40.0 ms, no reply"),
        ({"client_gone": True}, "40.0 ms, client gone"),
        ({"after_failure": "loadvm t0"}, "40.0 ms, after a failed loadvm t0"),
        ({"lost_before": 7}, "40.0 ms, 7 before it not on record"),
        ({"repeated": 7}, "40.0 ms, and 7 more like it"),
        ({"action": Action.REFUSED, "reason": "not allowed", "reply": {"return": _REPORTED}}, "40.0 ms: not allowed"),
        (
            {"action": Action.RECOVERED, "reason": "job ended", "reply": None, "command_line": None, "client_gone": True},
            "40.0 ms: job ended",
        ),
        ({"action": Action.BEGUN, "reply": None}, ""),
        ({"action": Action.DELEGATED, "reason": "better"}, "40.0 ms"),
        ({"action": Action.DELEGATED, "reply": None}, "40.0 ms, no reply"),
        (
            {"action": Action.ABANDONED, "reason": "it hung up", "reply": None, "client_gone": True},
            "40.0 ms, client gone: it hung up",
        ),
        (
            {"action": Action.WENT_ON, "execute": "cont", "command_line": None, "reply": None, "after_failure": "loadvm t"},
            "after a failed loadvm t",
        ),
        ({"action": Action.MODERN, "command_line": None, "reply": {"return": {}}}, "40.0 ms"),
    ],
)
def test_outcome_of_a_line(changes: dict[str, Any], expected: str) -> None:
    assert outcome(**changes) == expected


@pytest.mark.parametrize(("agreed", "expected"), [(True, "40.0 ms"), (False, "answered otherwise"), (None, "40.0 ms")])
def test_line_tells_that_rewriting_would_have_answered_otherwise(agreed: bool | None, expected: str) -> None:
    found = members(action=Action.OBSERVED)
    found["rehearsed"] = {"qmp": [], "outcome": "", "text": "", "agreed": agreed}
    assert one_line(found).endswith(expected)


def test_line_begins_with_the_time_of_day() -> None:
    assert one_line(members()).startswith("17:18:06  vm1 ")


def test_line_of_a_record_of_version_1() -> None:
    old = members() | {"schema": 1, "reply": {"return": _REPORTED}}
    for name in ("host", "execute", "hmp_command", "failed", "after_failure", "lost_before"):
        del old[name]
    assert problems(old) == []
    assert " savevm t1     rewritten  40.0 ms  FAILED: Device 'pflash1' is" in one_line(modernize(old))


# -- lines below each other -----------------------------------------------------------------------------------------------


def test_columns_stay_as_wide_as_they_were() -> None:
    lines = Lines()
    lines.give(members(vm="", command_line=""))  # below the line of its day
    shown = [
        lines.give(members(vm=vm, command_line=f"savevm {tag}")) for vm, tag in [("a", "b"), ("x" * 20, "y" * 20), ("a", "b")]
    ]
    places = [text.index("rewritten") for text in shown]
    assert places[0] < places[1] == places[2]
    assert {text.index("savevm") for text in shown[1:]} == {shown[1].index("savevm")}


def test_name_that_is_too_long_does_not_move_the_columns_for_ever() -> None:
    lines = Lines()
    lines.give(members(vm="x" * 10_000, client=Client(1, 0, "y" * 10_000), command_line="z" * 10_000))
    assert lines.give(members()).index("rewritten") < 130


def test_columns_of_wide_characters() -> None:
    """A terminal gives each of these two columns, and a combining one none."""
    wide = line(vm="漢字").index("tool")
    assert wide == line(vm="abcd").index("tool") - 2
    assert line(vm="e\u0301").index("tool") == line(vm="a").index("tool") + 1
    assert "漢" * 11 + "…" in line(vm="漢" * 40)
    assert line(vm="a" + "\u0301" * 1000).index("…") < 100


def test_new_day_has_a_line_of_its_own() -> None:
    lines = Lines()
    shown = []
    for time in ("2026-11-23T23:59:59.000000Z", "2026-11-23T23:59:59.500000Z", "2026-11-24T00:00:00.000000Z"):
        shown += lines.give(members() | {"time": time}).split("\n")
    assert [text.split("  ")[0] for text in shown] == ["2026-11-23", "23:59:59", "23:59:59", "2026-11-24", "00:00:00"]


# -- colours --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "painted"),
    [
        ({"action": Action.PASSED}, "\x1b[33mpassed   \x1b[0m"),
        ({"action": Action.MODERN}, "\x1b[32mmodern   \x1b[0m"),
        ({"action": Action.REFUSED, "reason": "no"}, "\x1b[31m40.0 ms: no\x1b[0m"),
        ({"reply": {"return": _REPORTED}}, "\x1b[31m40.0 ms  FAILED: Device"),
        ({"action": Action.DELEGATED}, "\x1b[36mdelegated\x1b[0m"),
        ({"action": Action.ABANDONED}, "\x1b[31mabandoned\x1b[0m"),
        ({"action": Action.BEGUN}, "  begun"),
    ],
)
def test_colour_is_of_the_role(changes: dict[str, Any], painted: str) -> None:
    assert painted in one_line(members(**changes), is_coloured=True)


@pytest.mark.parametrize("action", Action)
def test_colours_change_nothing_else_and_set_no_background(action: Action) -> None:
    found = members(action=action, reply={"return": _REPORTED})
    coloured = Lines(is_coloured=True).give(found)
    assert re.sub(r"\x1b\[(1|3[1-7]|0)m", "", coloured) == Lines().give(found)


def test_what_has_no_colour_stays_as_it_is() -> None:
    assert paint("x", "begun", is_coloured=True) == paint("x", "failure", is_coloured=False) == "x"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "expected"),
    [
        (_Terminal(), {"TERM": "xterm"}, True),
        (_Terminal(), {"NO_COLOR": ""}, True),
        (_Terminal(), {"NO_COLOR": "1"}, False),
        (_Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {"TERM": "xterm"}, False),
    ],
)
def test_colours_are_for_terminals_and_not_with_no_color(
    stream: io.StringIO, environ: Mapping[str, str], expected: bool
) -> None:
    assert is_colourful(stream, environ) is expected


# -- hostile texts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", Action)
def test_texts_of_others_are_harmless(action: Action) -> None:
    whole = hostile(to_members(whole_record(), host="node7")) | {"action": action.value, "after_failure": _HOSTILE}
    whole["rehearsed"] = {"qmp": [], "outcome": _HOSTILE, "text": _HOSTILE, "agreed": False}
    for reply in ({"return": _HOSTILE}, {"error": {"class": _HOSTILE, "desc": _HOSTILE}}, {_HOSTILE: _HOSTILE}, None):
        for client in ({"exe": _HOSTILE, "address": None}, {"exe": None, "address": _HOSTILE}):
            found = copy.deepcopy(whole) | {"reply": reply, "failed": reply is not None}
            found["client"] |= client
            assert problems(found) == []
            assert "\n" not in one_line(found)
            assert one_line(found).isprintable()
            assert nothing_that_a_terminal_obeys(details(found))


def test_deep_reply_is_not_shown() -> None:
    deep: JSON = {}
    for _ in range(100_000):
        deep = {"x": deep}
    found = members() | {"reply": deep, "failed": True}
    assert one_line(found).endswith("FAILED: what is nested too deeply to be shown")
    assert "    answered what is nested too deeply to be shown after 40.0 ms" in details(found)
    # Python frees it level by level.
    while deep:
        deep = deep.pop("x")


# -- several lines --------------------------------------------------------------------------------------------------------

DETAILS: Final = """\
2026-11-23T17:18:06.436083Z  vm1 on node7  'savevm t1'  rewritten: done by snapshot jobs
    asked by /usr/bin/tool (pid 4242, uid 1000)
    skips pflash0 (raw): read-only
    skips pflash1 (raw): varstore of format raw, which cannot hold a snapshot
    takes d0 (qcow2): writable disk
    VM state on d0: HMP's choice: the first disk that can hold a snapshot
        2.000 ms  query-block ok
       30.000 ms  snapshot-save ok
        1.235 ms  query-jobs failed: no
        0.000 ms  job-dismiss lost
    answered {"return": "", "id": "x"} after 40.0 ms; the VM stood still for 25.0 ms"""

SHORT_DETAILS: Final = """\
2026-11-23T17:18:06.436083Z  vm1 on node7  no command  recovered: job 'hmpshim-1' ended
    asked by nobody
    answered null after 40.0 ms; the VM stood still for 0.0 ms"""

WENT_ON_DETAILS: Final = """\
2026-11-23T17:18:06.436083Z  vm1 on node7  'cont'  went_on: sent next
    asked by /usr/bin/tool (pid 4242, uid 1000)
    after 'loadvm t0', which had failed
    3 records before it could not be written"""


def test_details() -> None:
    assert details(to_members(whole_record(), host="node7")) == DETAILS


def test_details_name_a_blockdev_by_its_node() -> None:
    found = to_members(whole_record(), host="node7")
    found["nodes"][2]["device"] = None
    assert "    takes disk0 (qcow2): writable disk\n" in details(found)
    assert "    VM state on disk0: HMP's choice" in details(found)


def test_details_without_client_decision_and_commands() -> None:
    short = members(
        action=Action.RECOVERED,
        reason="job 'hmpshim-1' ended",
        client=Client(),
        execute=None,
        command_line=None,
        reply=None,
        decided=Decided((), None, "delvm needs none"),
    )
    assert details(short) == SHORT_DETAILS


def test_details_of_what_a_client_did_after_a_failure() -> None:
    changes = {"action": Action.WENT_ON, "execute": "cont", "command_line": None, "reply": None, "reason": "sent next"}
    assert details(members(**changes, after_failure="loadvm t0", lost_before=3)) == WENT_ON_DETAILS


@pytest.mark.parametrize(
    ("client", "text"),
    [
        (Client(1, 0, "/sbin/x"), "/sbin/x (pid 1, uid 0)"),
        (Client(1, 0), "an unknown program (pid 1, uid 0)"),
        (Client(), "an unknown program (pid None, uid None)"),
        (Client(address="192.0.2.1:5000"), "192.0.2.1:5000"),
    ],
)
def test_client_in_words(client: Client, text: str) -> None:
    assert str(client) == text
    assert f"asked by {text}\n" in details(members(client=client))
    assert f"asked by {text}, gone since\n" in details(members(client=client, client_gone=True))


ASKER_DETAILS: Final = """\
    asked by nightly.sh: /usr/bin/tool (pid 4242, uid 1000)
    user backup, unit backup.service, container lxc:web
    command line: socat - 'a b'
    started by bash /opt/nightly.sh (pid 5)
"""


def test_details_of_whose_tool_a_client_is() -> None:
    parent = Parent(5, "/usr/bin/bash", ("bash", "/opt/nightly.sh"))
    identity = Identity("backup", "nightly.sh", ("socat", "-", "a b"), "backup.service", "lxc:web", parent)
    assert ASKER_DETAILS in details(members(identify=Identified(identity)))
    hidden = Identity(parent=Parent(5, "/usr/bin/bash", ()))
    assert "    started by /usr/bin/bash (pid 5)\n" in details(members(identify=Identified(hidden)))


def test_details_of_what_the_prompt_asks_for_itself() -> None:
    text = details(members(is_prompt=True, command_line="help"))
    assert "    asked by hmp-repl: /usr/bin/tool (pid 4242, uid 1000)\n    by the prompt for itself" in text


@pytest.mark.parametrize(
    ("client", "identity", "cell"),
    [
        (Client(1, 34, "/usr/bin/socat"), Identity("backup", "nightly.sh"), "nightly.sh(backup)"),
        (Client(1, 34, "/usr/bin/socat"), Identity(), "socat(34)"),
        (Client(address="tcp:127.0.0.1:5"), Identity("backup", "nightly.sh"), "nightly.sh(backup)"),
        (Client(address="tcp:127.0.0.1:5"), Identity(), "tcp:127.0.0.1:5"),
        (Client(), Identity(tool="nightly.sh"), "nightly.sh(?)"),
        (Client(), Identity(), "-"),
    ],
)
def test_tool_in_a_line(client: Client, identity: Identity, cell: str) -> None:
    assert f"  {cell}  " in line(client=client, identify=Identified(identity))


def test_details_of_a_record_without_an_address_and_of_version_1() -> None:
    old = members() | {"schema": 1}
    del old["client"]["address"], old["host"], old["execute"], old["after_failure"], old["lost_before"]
    assert details(old).startswith("2026-11-23T17:18:06.436083Z  vm1  'savevm t1'  rewritten: ")
    assert "asked by /usr/bin/tool (pid 4242, uid 1000)" in details(old)


def test_member_that_came_after_a_records_schema_is_not_shown() -> None:
    """It was not looked at either: such a record has no problem."""
    later = {"host": {}, "lost_before": [], "repeated": {}, "cut": [{"member": 1}], "after_failure": 2}
    old = {name: value for name, value in members().items() if name not in later} | {"schema": 1}
    assert problems(old | later) == []
    assert details(old | later) == details(old)
    client = old["client"] | {"argv": 5, "parent": [], "tool": {}, "unit": 1}
    assert problems(old | {"client": client}) == []
    assert details(old | {"client": client}) == details(old)


@pytest.mark.parametrize(
    ("agreed", "words"), [(True, "as QEMU did"), (False, "unlike QEMU"), (None, "and QEMU's answer is not known")]
)
def test_details_of_a_rehearsal(agreed: bool | None, words: str) -> None:
    found = members(action=Action.OBSERVED)
    found["rehearsed"] = {"qmp": [], "outcome": "done by snapshot jobs", "text": "", "agreed": agreed}
    assert f'    would have answered "", {words}: done by snapshot jobs\n' in details(found)


def test_what_only_looks_like_a_blank_is_shown() -> None:
    """`info version` with U+00A0 behind it is another command, and QEMU's text repeats it."""
    reply = {"return": "unknown command: 'info version\u00a0'\r\n"}
    line = one_line(members(command_line="\tinfo version\u00a0 ", reply=reply))
    assert line.count(r"info version\xa0") == 2


def test_details_of_what_was_cut_counted_and_changed() -> None:
    client = Client(1, 2, "/bin/b\x1b", connected_as="/bin/a\x1b")
    found = details(excerpt(members(client=client, command_line="x" * 5000, repeated=3))).splitlines()
    assert r"    asked by /bin/b\x1b (pid 1, uid 2)" in found
    assert r"    which was /bin/a\x1b when it connected" in found
    assert "    it stands for 3 more like it" in found
    (cut,) = [line for line in found if "SHA-256" in line]
    assert cut.startswith("    command_line has 5000 characters, SHA-256 ")
