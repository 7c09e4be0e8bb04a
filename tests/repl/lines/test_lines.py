"""What a typed line asks for, and where it is wrong."""

import random
from typing import Final

import pytest

from repl.completion_data import CompletionData
from repl.lines.lines import (
    OWN_COMMANDS,
    ClearLine,
    ConnectLine,
    EmptyLine,
    EventsLine,
    ExitLine,
    HelpLine,
    Line,
    PlanLine,
    QMPLine,
    ReconnectLine,
    read_line,
)
from repl.lines.scanning import LineError
from shim.hmp.line import DelVM, HMPCommand, HMPLine, InfoSnapshots, LoadVM, SaveVM, first_refused
from tests.support.repl.typed_lines import FACTS, NOTHING_KNOWN, SNIPPETS, fault
from tests.support.shim.hmp_lines import ARGUMENTS, BLANKS, MALFORMED_ARGUMENTS, NOT_BLANKS

ESCAPES: Final = r"""a quoted tag has \n \r \\ \' \" """.rstrip()


@pytest.mark.parametrize("line", ["", " ", "\t \n"])
def test_blank_line_asks_for_nothing(line: str) -> None:
    assert read_line(line, FACTS) == EmptyLine()


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("savevm", SaveVM(None)),
        ("savevm t1", SaveVM("t1")),
        ("  savevm t1 ", SaveVM("t1")),
        ('savevm ""', SaveVM("")),
        ('savevm "a b"', SaveVM("a b")),
        (r'loadvm "a\n\"\\\'"', LoadVM("a\n\"\\'")),
        ("savevm/x", SaveVM("/x")),
        ("delvm 's'", DelVM("'s'")),
        ("info snapshots", InfoSnapshots()),
        ("info  snapshots ", InfoSnapshots()),
        ("info block -v", None),
        ("info", None),
        ("info /x", None),
        ("stop", None),
        ("q", None),
        ("x/10i $eip", None),
        ("p/x 1", None),
        ('eject "a', None),
        ("commit a b c", None),
    ],
)
def test_hmp_command_is_kept_as_it_was_typed(line: str, command: HMPCommand | None) -> None:
    assert read_line(line, FACTS) == read_line(line, NOTHING_KNOWN) == HMPLine.read(line)
    assert HMPLine.read(line).command == command


@pytest.mark.parametrize(
    ("line", "position", "message"),
    [
        ("savevn t", 0, "unknown command 'savevn'; did you mean 'savevm'?"),
        ("  savevn t", 2, "unknown command 'savevn'; did you mean 'savevm'?"),
        ("SAVEVM t", 0, "unknown command 'SAVEVM'; did you mean 'savevm'?"),
        ("evnets off", 0, "unknown command 'evnets'; did you mean 'events'?"),
        ("savevm\\ t", 0, "unknown command 'savevm\\'; did you mean 'savevm'?"),
        ("zzz", 0, "unknown command 'zzz'"),
        ("/x", 0, "unknown command '/x'"),
        (" /quit now", 1, "unknown command '/quit'; did you mean 'exit'?"),
        ("/help", 0, "unknown command '/help'; did you mean 'help'?"),
        ("/", 0, "unknown command '/'"),
        ('"savevm" t', 0, "unknown command '\"savevm\"'; did you mean 'savevm'?"),
        ("info blokc", 5, "unknown topic of info 'blokc'; did you mean 'block'?"),
        ("info  snapshot x", 6, "unknown topic of info 'snapshot'; did you mean 'snapshots'?"),
        ("info block/x", 5, ""),
    ],
)
def test_unknown_hmp_command(line: str, position: int, message: str) -> None:
    if message:
        assert fault(line) == (position, message)
    else:
        assert read_line(line, FACTS) == HMPLine.read(line)
        assert HMPLine.read(line).command is None


@pytest.mark.parametrize("line", ["savevn t", "SAVEVM t", "/x", "info blokc", "zzz", "qmp nonsense a=1", "events NONSENSE"])
def test_nothing_is_unknown_before_qemu_was_asked(line: str) -> None:
    read_line(line, NOTHING_KNOWN)


@pytest.mark.parametrize(
    ("line", "position", "message"),
    [
        ("loadvm", 6, "loadvm needs a tag"),
        ("delvm  ", 7, "delvm needs a tag"),
        ("  loadvm ", 9, "loadvm needs a tag"),
        ('savevm "a b', 7, "unterminated quote"),
        ('savevm "', 7, "unterminated quote"),
        ('loadvm   "a\\"', 9, "unterminated quote"),
        ('loadvm "a\\', 7, "unterminated quote"),
        (r'savevm "a\tb"', 9, rf"bad escape '\t'; {ESCAPES}"),
        (r'delvm "\n\x41"', 9, rf"bad escape '\x'; {ESCAPES}"),
        (r'savevm "\\\q" x', 10, rf"bad escape '\q'; {ESCAPES}"),
        ("savevm a b", 9, 'extraneous characters at the end of the line; a tag with blanks needs quotes: "a b"'),
        ("savevm/x y", 9, 'extraneous characters at the end of the line; a tag with blanks needs quotes: "a b"'),
        ('savevm "a"b', 10, "extraneous characters at the end of the line"),
        ('savevm "a"  b', 12, "extraneous characters at the end of the line"),
        ("info snapshots x", 15, "extraneous characters at the end of the line"),
        ("info snapshots/", 14, "extraneous characters at the end of the line"),
    ],
)
def test_malformed_snapshot_command(line: str, position: int, message: str) -> None:
    assert fault(line) == fault(line, NOTHING_KNOWN) == (position, message)
    assert fault(f"plan {line}") == (5 + position, message)


@pytest.mark.parametrize("argument", MALFORMED_ARGUMENTS)
@pytest.mark.parametrize("name", ["savevm", "loadvm", "delvm"])
def test_what_shim_hmp_does_not_read_has_a_fault(name: str, argument: str) -> None:
    position, _ = fault(f"{name} {argument}")
    assert position > len(name)


@pytest.mark.parametrize("argument", [*ARGUMENTS, *NOT_BLANKS])
@pytest.mark.parametrize("name", ["savevm", "loadvm", "delvm"])
def test_what_shim_hmp_reads_has_no_fault(name: str, argument: str) -> None:
    line = f"{name} {argument}"
    assert read_line(line, FACTS) == HMPLine.read(line)
    assert read_line(f"plan {line}", FACTS) == PlanLine(HMPLine.read(line))


@pytest.mark.parametrize("blank", BLANKS)
def test_blanks_are_hmps(blank: str) -> None:
    assert read_line(f"plan{blank}savevm{blank}t{blank}", FACTS) == PlanLine(HMPLine.read(f"savevm{blank}t"))
    assert read_line(f"qmp{blank}stop{blank}", FACTS) == QMPLine("stop", {})
    assert read_line(f"{blank}exit{blank}", FACTS) == ExitLine()


@pytest.mark.parametrize(
    ("line", "position", "code"),
    [
        ("savevm a\ud800", 8, "D800"),
        ("\uffffsavevm", 0, "FFFF"),
        ('savevm "\U0001fffe', 7, ""),
        ("savevm a\U0001fffe b", 8, "1FFFE"),
        ("savevm a b\ufdd0", 9, ""),
        ("stop \ufdef", 5, "FDEF"),
        ("help \ud800", 5, "D800"),
        ("plan savevm \ud800", 12, "D800"),
        ("plan stop \ud800", 5, ""),
        ('qmp stop {"\ud800": 1}', 11, "D800"),
        ("qmp device_add driver=\ud800", 22, "D800"),
    ],
)
def test_character_that_qemu_refuses_is_a_fault_where_it_is_the_first(line: str, position: int, code: str) -> None:
    found, message = fault(line)
    assert found == position
    assert (message == f"QEMU does not take the character U+{code}") == bool(code)


@pytest.mark.parametrize("char", ["\ud7ff", "\ue000", "\ufdcf", "\ufffd", "\U0010fffd", "\0", "\x7f", "é", "😀"])
def test_other_characters_are_taken(char: str) -> None:
    assert read_line(f"savevm {char}", FACTS) == HMPLine.read(f"savevm {char}")
    assert HMPLine.read(f"savevm {char}").command == SaveVM(char)
    assert read_line(f"qmp device_add driver={char}", FACTS) == QMPLine("device_add", {"driver": char})


@pytest.mark.parametrize("line", ["savevm", "savevm t1", 'loadvm "a b"', "delvm t", "info snapshots", "savevm/x"])
def test_plan_takes_snapshot_commands(line: str) -> None:
    assert read_line(f"plan {line}", FACTS) == read_line(f" plan   {line}  ", FACTS) == PlanLine(HMPLine.read(line))


@pytest.mark.parametrize(
    ("line", "position", "message"),
    [
        ("plan", 4, "plan needs a command; it knows savevm, loadvm, delvm and info snapshots"),
        (" plan ", 6, "plan needs a command; it knows savevm, loadvm, delvm and info snapshots"),
        ("plan stop", 5, "plan only knows savevm, loadvm, delvm and info snapshots"),
        ("plan info block", 5, "plan only knows savevm, loadvm, delvm and info snapshots"),
        ("plan plan savevm t", 5, "plan only knows savevm, loadvm, delvm and info snapshots"),
        ("plan savevm " + "a" * 1022 + "é", 1035, "the tag is too long: QEMU would cut it inside a character"),
    ],
    ids=range(6),
)
def test_what_cannot_be_planned(line: str, position: int, message: str) -> None:
    assert fault(line) == (position, message)


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("help", HelpLine("")),
        ("?", HelpLine("")),
        ("help savevm ", HelpLine("savevm")),
        ("?  x", HelpLine("x")),
        ("help info block", HelpLine("info block")),
        ("help plan", HelpLine("plan")),
        ("reconnect", ReconnectLine()),
        ("connect", ConnectLine("")),
        (" connect  a b ", ConnectLine("a b")),
        ("connect unix:/q", ConnectLine("unix:/q")),
        ("exit ", ExitLine()),
        ("events", EventsLine(None, None)),
        ("events on", EventsLine(None, True)),
        ("events  off ", EventsLine(None, False)),
        ("events STOP BLOCK_*", EventsLine(("STOP", "BLOCK_*"), True)),
        ("events *", EventsLine(("*",), True)),
    ],
)
def test_commands_of_ours(line: str, read: Line) -> None:
    assert read_line(line, FACTS) == read_line(line, NOTHING_KNOWN) == read


@pytest.mark.parametrize(
    ("line", "position", "message"),
    [
        ("exit now", 5, "extraneous characters at the end of the line"),
        ("reconnect/x", 9, "extraneous characters at the end of the line"),
        ("events on STOP", 10, "extraneous characters at the end of the line"),
        ("events off on", 11, "extraneous characters at the end of the line"),
        ("events STOP stop", 12, "unknown event 'stop'; did you mean 'STOP'?"),
        ("events BLOCK_JOB_REDY", 7, "unknown event 'BLOCK_JOB_REDY'; did you mean 'BLOCK_JOB_READY'?"),
        ("events STOP on", 12, "unknown event 'on'"),
        ("events X_*", 7, "unknown event 'X_*'"),
    ],
)
def test_malformed_commands_of_ours(line: str, position: int, message: str) -> None:
    assert fault(line) == (position, message)


def test_our_commands_are_told_as_hmps_are() -> None:
    names = [name for command in OWN_COMMANDS for name in command.names]
    assert names == [
        *("plan", "qmp", "events", "reconnect", "connect", "watch", "timing", "pager", "clear", "exit", "help", "?"),
    ]
    for command in OWN_COMMANDS:
        assert command.text


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        *((f"{name} ", ExitLine()) for name in (r"\q", r"\quit", ":q", ":quit", ".exit", ".quit", "exit")),
        (r"\? savevm", HelpLine("savevm")),
        (".help", HelpLine("")),
        (" clear ", ClearLine()),
        *((comment, EmptyLine()) for comment in ("#", " # quit", "#quit", "#\ud800")),
        ("help qmp", HelpLine("qmp")),
        ("help qmp stop", HelpLine("qmp stop")),
        ("help qmpx stop", HelpLine("qmpx stop")),
    ],
)
def test_words_of_other_prompts(line: str, asked: Line) -> None:
    assert read_line(line, FACTS) == read_line(line, NOTHING_KNOWN) == asked


@pytest.mark.parametrize(
    ("line", "corrected"),
    [
        ("savevn t", "savevm t"),
        (" info blokc -v", " info block -v"),
        ("qmp sotp", "qmp stop"),
        ("help qmp sotp", "help qmp stop"),
        ('qmp set-mode {"modee": "keep"}', 'qmp set-mode {"mode": "keep"}'),
        ("qmp set-mode modee=keep", "qmp set-mode mode=keep"),
        ("events STOPP", "events STOP"),
        ("quti", "quit"),
        ("zzz", None),
        ("loadvm", None),
        ('savevm "a', None),
    ],
)
def test_line_as_it_was_probably_meant(line: str, corrected: str | None) -> None:
    error = fault_of(line, FACTS)
    assert error is not None
    assert error.corrected(line) == corrected


def fault_of(line: str, facts: CompletionData) -> LineError | None:
    try:
        read_line(line, facts)
    except LineError as error:
        return error
    return None


@pytest.mark.parametrize("seed", range(40))
def test_random_line_is_read_or_has_a_fault_inside(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(250):
        line = "".join(rng.choices(SNIPPETS, k=rng.randrange(1, 12)))
        for facts in (FACTS, NOTHING_KNOWN):
            error = fault_of(line, facts)
            if error is not None:
                assert 0 <= error.position <= len(line), line
                assert error.message, line


@pytest.mark.parametrize("seed", range(10))
def test_random_snapshot_command_has_a_fault_exactly_if_shim_hmp_does_not_read_it(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(250):
        line = rng.choice(["savevm", "loadvm", "delvm", "info snapshots"])
        line += "".join(rng.choices(" \t\"\\nrt/a'é", k=rng.randrange(8)))
        if HMPLine.read(line).is_about_snapshots:
            assert (fault_of(line, NOTHING_KNOWN) is None) == (HMPLine.read(line).command is not None), line


def test_first_refused_character() -> None:
    assert first_refused("savevm t") is None
    assert first_refused("a\uffffb\ud800") == 1
