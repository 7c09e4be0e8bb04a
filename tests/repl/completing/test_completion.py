"""What is offered at the cursor."""

import random
from dataclasses import replace
from typing import Final

import pytest

from repl.completing.completion import suggest
from repl.completing.names import Suggestion
from repl.completing.questions import Question
from repl.completing.schema import Schema
from repl.completion_data import CompletionData, Named, parse_help, read_schema
from repl.lines.lines import OWN_COMMANDS
from shim.hmp.line import HMPLine, LoadVM
from tests.support.repl.qemu_facts import BUILTINS, HELP, HELP_INFO, SCHEMA, entry, member
from tests.support.repl.typed_lines import SNIPPETS
from tests.support.shim.hmp_lines import TAGS, UNWRITABLE_TAGS

NOTHING_KNOWN: Final = CompletionData()
QMP_COMMANDS, EVENTS = read_schema(SCHEMA)
FACTS: Final = CompletionData(
    commands=parse_help(HELP),
    topics=parse_help(HELP_INFO, prefix="info"),
    tags=(Named("new", "2026-11-24 13:44  28.3 MiB"), Named("old", "2026-11-23 08:00  disk only")),
    drives=(Named("d0", "qcow2 d0.qcow2"),),
    nodes=(Named("sys", "raw"), Named("#block12", "file")),
    qdev_ids=(Named("net0", "virtio-net-pci"), Named("Disk 1", "virtio-blk-pci")),
    qmp_commands=QMP_COMMANDS,
    events=EVENTS,
    vms=(Named("vm1", ""), Named("Web one", "")),
    schema=Schema(SCHEMA),
)
SHORT_FORMS: Final = ("?", "p", "q", "s")
COMMANDS: Final = (
    *(
        "block_job_cancel",
        "change",
        "clear",
        "commit",
        "connect",
        "delvm",
        "device_del",
        "drive_add",
        "dump-guest-memory",
        "eject",
    ),
    *("events", "exit", "help", "info", "loadvm", "nbd_server_add", "pager", "plan", "print", "qemu-io", "qmp", "quit"),
    *("reconnect", "ringbuf_read", "savevm", "screendump", "set_link", "snapshot_blkdev_internal", "stop", "sync-profile"),
    *("timing", "watch", "x"),
)


def nothing(question: Question) -> tuple[Named, ...]:
    return ()


def with_tags(*tags: str) -> CompletionData:
    return replace(FACTS, tags=tuple(Named(tag, "") for tag in tags))


def texts(before_cursor: str, facts: CompletionData = FACTS) -> list[str]:
    return [suggestion.text for suggestion in suggest(before_cursor, facts, nothing)]


def completed(before_cursor: str, facts: CompletionData = FACTS) -> list[str]:
    """Return the lines that each suggestion would make."""
    return [before_cursor[: len(before_cursor) + one.start] + one.text for one in suggest(before_cursor, facts, nothing)]


@pytest.mark.parametrize("line", ["", "  ", "\t"])
def test_all_commands_are_offered_at_the_start(line: str) -> None:
    assert texts(line) == [*COMMANDS, *SHORT_FORMS]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sa", ["savevm"]),
        ("  sa", ["savevm"]),
        ("savevm", ["savevm"]),
        ("s", ["savevm", "screendump", "set_link", "snapshot_blkdev_internal", "stop", "sync-profile", "s"]),
        ("q", ["qemu-io", "qmp", "quit", "q"]),
        ("e", ["eject", "events", "exit"]),
        ("SA", ["savevm"]),
        ("?", ["?"]),
        ("zzz", []),
        ("vm", []),
        ("savevmx", []),
        # help
        ("help ", [*COMMANDS, *SHORT_FORMS]),
        ("? lo", ["loadvm"]),
        ("help  pl", ["plan"]),
        ("help info ", ["block", "block-jobs", "mtree", "registers", "snapshots", "status"]),
        ("help info s", ["snapshots", "status"]),
        ("help savevm ", []),
        ("help qmp s", ["set-mode", "snapshot-save", "stop"]),
        ("help qmp stop ", []),
        (r"\? lo", ["loadvm"]),
        (r"\q ", []),
        ("clear ", []),
        ("help info block ", []),
        # info
        ("info ", ["block", "block-jobs", "mtree", "registers", "snapshots", "status"]),
        ("info bl", ["block", "block-jobs"]),
        ("info BL", ["block", "block-jobs"]),
        ("info status ", []),
        ("info snapshots ", []),
        ("info nonsense ", []),
        ("info /", []),
        # Tags
        ("loadvm ", ["new", "old"]),
        ("delvm o", ["old"]),
        ("loadvm/", []),
        ("loadvm new", ["new"]),
        ("loadvm new ", []),
        ("loadvm new o", []),
        ("savevm ", []),
        # Block devices and nodes
        ("info block ", ["d0", "sys", "#block12"]),
        ("info block -v ", ["d0", "sys", "#block12"]),
        ("info block -v -n d", ["d0"]),
        ("info block d0 ", []),
        ("eject ", ["d0"]),
        ("eject -f s", []),
        ("change d", ["d0"]),
        ("change d0 ", []),
        ("change d0 -f ", []),
        ("commit ", ["d0", "all"]),
        ("commit a", ["all"]),
        ("qemu-io #", ["#block12"]),
        ("qemu-io -d d", ["d0"]),
        ("qemu-io d0 ", []),
        ("snapshot_blkdev_internal ", ["d0", "sys", "#block12"]),
        ("snapshot_blkdev_internal d0 ", []),
        ("nbd_server_add ", ["d0", "sys", "#block12"]),
        ("nbd_server_add -w d0 ", []),
        # What help calls a device is none of the block layer's.
        ("ringbuf_read ", []),
        ("screendump x ", []),
        # Other devices
        ("device_del ", ["net0", '"Disk 1"']),
        ("device_del n", ["net0"]),
        ("device_del net0 ", []),
        # Alternatives
        ("set_link ", []),
        ("set_link net0 ", ["on", "off"]),
        ("set_link net0 of", ["off"]),
        ("set_link net0 on ", []),
        ("set_link on", []),
        ("sync-profile ", ["on", "off", "reset"]),
        # Options
        ("eject -", ["-f"]),
        ("eject -f -", []),
        ("info block -", ["-n", "-v"]),
        ("info block -n -", ["-v"]),
        ("info mtree -", ["-f", "-d", "-o", "-D"]),
        ("info registers -", ["-a"]),
        ("dump-guest-memory -", ["-p", "-d", "-z", "-l", "-s", "-w"]),
        ("dump-guest-memory -p -z", ["-z"]),
        ("screendump -", ["-f"]),
        ("screendump x -f ", []),
        ("drive_add -", ["-n"]),
        ("drive_add ", []),
        ("stop -", []),
        # What cannot be completed
        ("x/10i ", []),
        ("print /x ", []),
        ("nonsense ", []),
        ("exit ", []),
        ("reconnect ", []),
        # connect
        ("connect ", ["vm1", "Web one"]),
        ("connect w", ["Web one"]),
        ('commit "a"b', []),
        ('commit "d', ['"d0"']),
        # plan
        ("plan ", ["savevm", "loadvm", "delvm", "info snapshots"]),
        ("plan s", ["savevm"]),
        ("plan info s", ["info snapshots"]),
        ("plan info snapshots", ["info snapshots"]),
        ("plan loadvm", ["loadvm"]),
        ("plan loadvm ", ["new", "old"]),
        ("plan  delvm  n", ["new"]),
        ("plan delvm new ", []),
        ("plan savevm ", []),
        ("plan stop ", []),
        # events
        ("events ", ["on", "off", "STOP", "BLOCK_JOB_READY", "BLOCK_JOB_ERROR"]),
        ("events o", ["on", "off"]),
        ("events bl", ["BLOCK_JOB_READY", "BLOCK_JOB_ERROR"]),
        ("events STOP ", ["BLOCK_JOB_READY", "BLOCK_JOB_ERROR"]),
        ("events STOP  BLOCK_JOB_R", ["BLOCK_JOB_READY"]),
        ("events on ", []),
        ("events off S", []),
        # qmp
        ("qmp ", ["device_add", "object-add", "qom-set", "set-mode", "snapshot-save", "stop"]),
        ("qmp s", ["set-mode", "snapshot-save", "stop"]),
        ("qmp stop ", []),
        ("qmp nonsense ", []),
        ("qmp set-mode ", ["at=", "speed=", "mode="]),
        ("qmp set-mode m", ["mode="]),
        ("qmp set-mode at.x=1 ", ["speed=", "mode="]),
        ('qmp set-mode at={"x": 1} s', ["speed="]),
        ("qmp set-mode mode=", ["keep", "fail"]),
        ("qmp set-mode mode=k", ["keep"]),
        ("qmp set-mode mode=keep", ["keep"]),
        ("qmp set-mode mode.x=k", []),
        ("qmp set-mode speed=", []),
        ('qmp set-mode mode="k', []),
        ('qmp set-mode mode="keep"', []),
        ('qmp set-mode mode="keep"s', []),
        ('qmp set-mode mode="keep" s', ["speed="]),
        ("qmp set-mode at=[1, ", []),
        ("qmp set-mode x s", []),
        ("qmp set-mode =s", []),
        ("qmp set-mode zzz=", []),
        ("qmp object-add qom-type=secret id=x loaded=", ["true", "false"]),
        ("qmp object-add qom-type=secret id=x loaded=f", ["false"]),
        ("qmp object-add qom-type=", ["secret", "iothread"]),
        ("qmp set-mode {", ['"at": ', '"speed": ', '"mode": ']),
        ('qmp set-mode {"m', ['"mode": ']),
        ("qmp set-mode [", []),
        ("timing ", ["on", "off"]),
        ("pager of", ["off"]),
        ("watch info sta", ["status"]),
        ("watch 2 info sta", ["status"]),
        ("watch ", ["info", "plan", "print", "qmp", "x", "p"]),
        ("watch 2 e", []),
        ("watch eject ", []),
        ("watch loadvm ", []),
        ("watch watch in", []),
        ("watch plan lo", ["loadvm"]),
        ("watch qmp ", []),
        ('watch {"execute": "', []),
        ('watch {"exec', ['"execute": ']),
        ("watch qmp stop ", []),
        ("watch 2", []),
        ("watch 0 inf", []),
        ("info sta|", []),
        ("info sta | ca", []),
        ("info sta > /t", []),
        ("print 1 | ", []),
        ("print 1|2", []),
    ],
)
def test_offered(line: str, offered: list[str]) -> None:
    assert texts(line) == offered


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("sav", Suggestion("savevm", -3, "save a VM snapshot. If no tag is provided, a new snapshot is created")),
        ("qm", Suggestion("qmp", -2, "run a QMP command")),
        ("help reco", Suggestion("reconnect", -4, "connect to QEMU again")),
        ("info st", Suggestion("status", -2, "show the current VM status (running|paused)")),
        ("loadvm ", Suggestion("new", 0, "2026-11-24 13:44  28.3 MiB")),
        ("plan loadvm ol", Suggestion("old", -2, "2026-11-23 08:00  disk only")),
        ("eject d", Suggestion("d0", -1, "qcow2 d0.qcow2")),
        ("device_del n", Suggestion("net0", -1, "virtio-net-pci")),
        ("qmp snap", Suggestion("snapshot-save", -4, "job-id tag devices")),
        ("qmp snapshot-save j", Suggestion("job-id=", -1, "string")),
        ("qmp set-mode m", Suggestion("mode=", -1, "enum, optional")),
        ("qmp set-mode mode=k", Suggestion("keep", -1, "enum")),
    ],
)
def test_first_suggestion(line: str, suggestion: Suggestion) -> None:
    assert suggest(line, FACTS, nothing)[0] == suggestion


@pytest.mark.parametrize("line", [" ", "info ", "loadvm ", "eject ", "device_del ", "qmp ", "qmp stop ", "events o"])
def test_before_qemu_was_asked_only_what_is_ours_is_offered(line: str) -> None:
    own = {" ": sorted(command.name for command in OWN_COMMANDS), "events o": ["on", "off"]}
    assert texts(line, NOTHING_KNOWN) == own.get(line, [])


@pytest.mark.parametrize("line", ["loadvm ", "delvm n"])
def test_tags_are_offered_without_qemus_help(line: str) -> None:
    """At a proxy its rules may deny help."""
    assert "new" in [one.text for one in suggest(line, replace(FACTS, commands=()), {}.get)]  # type: ignore[arg-type]
    assert suggest("savevm ", replace(FACTS, commands=()), {}.get) == []  # type: ignore[arg-type]


def test_same_case_comes_first() -> None:
    assert texts("loadvm ba", with_tags("BASE", "base", "Bare", "bar", "c")) == ["base", "bar", "BASE", "Bare"]


def test_tags_stay_in_their_order() -> None:
    assert texts("delvm ", with_tags("z", "a", "m")) == ["z", "a", "m"]


def test_qmp_keys_that_must_be_given_come_first() -> None:
    arguments = [member("b", "str", default=None), member("z", "str"), member("a", "int", default=None)]
    schema = [*BUILTINS, entry("c", "command", **{"arg-type": "c-arg"}), entry("c-arg", "object", members=arguments)]
    facts = replace(FACTS, qmp_commands=read_schema(schema)[0], schema=Schema(schema))
    assert texts("qmp c ", facts) == ["z=", "b=", "a="]
    assert texts("qmp c z=1 ", facts) == ["b=", "a="]


@pytest.mark.parametrize("tag", UNWRITABLE_TAGS, ids=range(len(UNWRITABLE_TAGS)))
def test_tag_that_cannot_be_written_is_not_offered(tag: str) -> None:
    assert texts("loadvm ", with_tags(tag, "b")) == ["b"]
    assert texts('loadvm "', with_tags(tag, "b")) == ['"b"']


@pytest.mark.parametrize("tag", TAGS)
def test_offered_tag_makes_a_line_that_loads_it(tag: str) -> None:
    for typed in ("", '"', *({tag[:1]} - {" ", "\t", "\n", "\r", '"'})):
        (line,) = completed(f"loadvm {typed}", with_tags(tag))
        assert HMPLine.read(line).command == LoadVM(tag)


@pytest.mark.parametrize(
    ("typed", "tags", "offered"),
    [
        ('"', ["a b", "c"], ['"a b"', '"c"']),
        ('"a', ["a b", "c"], ['"a b"']),
        ('"a ', ["a b", "ab"], ['"a b"']),
        ('"a b', ["a b", "a bc"], ['"a b"', '"a bc"']),
        ('"a b"', ["a b", "a bc"], ['"a b"']),
        ('"a b" ', ["a b"], []),
        ('"a b"c', ["a b"], []),
        ('"A', ["a b"], ['"a b"']),
        (r'"a\n', ["a\nb", "an"], [r'"a\nb"']),
        (r'"a\"', ['a "b"', 'a"b'], [r'"a\"b"']),
        ('"a\\', ["a\nb", "ab", "a\\b"], [r'"a\nb"', r'"a\\b"']),
        (r'"it\'s', ["it's a"], ['"it\'s a"']),
        ('"a\n', ["a\nb"], [r'"a\nb"']),
        (r'"a\t', ["at", "a\tb", "a\\t"], []),
        ("a", ["a b"], ['"a b"']),
        ("a ", ["a b"], []),
        ("a\\", ["a\\b", "a\nb"], ["a\\b"]),
        ('a"', ['a"b', 'a" b'], ['a"b', r'"a\" b"']),
    ],
)
def test_tag_in_quotes(typed: str, tags: list[str], offered: list[str]) -> None:
    assert texts(f"loadvm {typed}", with_tags(*tags)) == offered
    assert texts(f"plan delvm {typed}", with_tags(*tags)) == offered
    for suggestion in suggest(f"loadvm {typed}", with_tags(*tags), nothing):
        assert suggestion.start == -len(typed)


def test_suggestion_never_reaches_over_the_command() -> None:
    assert completed("  loadvm n") == ["  loadvm new"]
    assert completed("qmp set-mode  mode=k") == ["qmp set-mode  mode=keep"]
    assert completed("plan info sn") == ["plan info snapshots"]


@pytest.mark.parametrize("seed", range(40))
def test_random_line_gets_suggestions_or_none(seed: int) -> None:
    rng = random.Random(seed)
    words = (*SNIPPETS, *COMMANDS, "mode=", "qmp set-mode ", "info block ", "loadvm ", '"a')
    facts = with_tags("a b", "", "\ud800", 'a"', "t1")
    for _ in range(150):
        line = "".join(rng.choices(words, k=rng.randrange(1, 9)))
        for known in (facts, NOTHING_KNOWN):
            for suggestion in suggest(line, known, nothing):
                assert -len(line) <= suggestion.start <= 0, line
                assert suggestion.text, line
