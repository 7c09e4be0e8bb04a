"""HMP's command line. integration/hmp/test_line_against_qemu.py runs these rows on a real QEMU; goldens are QEMU 7.2.22's."""

import pytest

from shim.hmp.line import DelVM, HMPCommand, HMPLine, InfoSnapshots, LoadVM, SaveVM
from tests.support.shim.hmp_lines import ARGUMENTS, BLANKS, MALFORMED_ARGUMENTS, NOT_BLANKS, NOT_OURS


@pytest.mark.parametrize("line", ["savevm", "savevm ", " savevm", "savevm\n", "savevm\r\n", "\t savevm \v\f"])
def test_savevm_alone_leaves_the_name_to_hmp(line: str) -> None:
    assert HMPLine.read(line).command == SaveVM(None)


@pytest.mark.parametrize("line", ["loadvm", "loadvm ", "delvm", "\tdelvm\n"])
def test_loadvm_and_delvm_need_a_tag(line: str) -> None:
    assert HMPLine.read(line).command is None


@pytest.mark.parametrize("argument", ARGUMENTS)
@pytest.mark.parametrize(("name", "command"), [("savevm", SaveVM), ("loadvm", LoadVM), ("delvm", DelVM)])
def test_tag_of_argument(name: str, command: type[SaveVM] | type[LoadVM] | type[DelVM], argument: str) -> None:
    assert HMPLine.read(f"{name} {argument}").command == command(ARGUMENTS[argument])
    assert HMPLine.read(f" \t{name}\n {argument}\r\n").command == command(ARGUMENTS[argument])


@pytest.mark.parametrize("argument", MALFORMED_ARGUMENTS)
@pytest.mark.parametrize("name", ["savevm", "loadvm", "delvm"])
def test_malformed_argument_is_left_to_qemu(name: str, argument: str) -> None:
    assert HMPLine.read(f"{name} {argument}").command is None


@pytest.mark.parametrize("line", NOT_OURS)
def test_line_that_is_not_ours_is_left_to_qemu(line: str) -> None:
    assert HMPLine.read(line).command is None


@pytest.mark.parametrize("line", ["info snapshots", " info  snapshots ", "info\tsnapshots\r\n", "\vinfo\fsnapshots"])
def test_info_snapshots(line: str) -> None:
    assert HMPLine.read(line).command == InfoSnapshots()


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("savevm/", SaveVM("/")),
        ("savevm /", SaveVM("/")),
        ("savevm/x", SaveVM("/x")),
        ("savevm /x", SaveVM("/x")),
        ("savevm//x", SaveVM("//x")),
        ('savevm/"x"', SaveVM('/"x"')),
        ("loadvm/x", LoadVM("/x")),
        ("delvm/x", DelVM("/x")),
        ("savevm/x y", None),
    ],
)
def test_slash_ends_the_name_and_begins_the_tag(line: str, command: HMPCommand | None) -> None:
    assert HMPLine.read(line).command == command


@pytest.mark.parametrize("blank", BLANKS)
def test_blanks_separate(blank: str) -> None:
    assert HMPLine.read(f"{blank}savevm{blank}{blank}t{blank}").command == SaveVM("t")
    assert HMPLine.read(f"savevm a{blank}b").command is None


@pytest.mark.parametrize("char", NOT_BLANKS)
def test_other_whitespace_is_part_of_the_word(char: str) -> None:
    assert HMPLine.read(f"savevm a{char}b").command == SaveVM(f"a{char}b")
    assert HMPLine.read(f"savevm {char}").command == SaveVM(char)
    assert HMPLine.read(f"savevm{char}t").command is None
    assert HMPLine.read(f"{char}savevm t").command is None


@pytest.mark.parametrize("code", [0xD800, 0xDFFF, 0xFDD0, 0xFDEF, 0xFFFE, 0xFFFF, 0x1FFFE, 0x10FFFF], ids=hex)
def test_character_that_qemu_refuses_in_json_is_left_to_qemu(code: int) -> None:
    """QEMU says "JSON parse error, … is not a valid Unicode character", and would to a snapshot-save with it."""
    char = chr(code)
    assert HMPLine.read(f"savevm a{char}").command is None
    assert HMPLine.read(f'delvm "{char}"').command is None


@pytest.mark.parametrize("char", ["\ud7ff", "\ue000", "\ufdcf", "\ufdf0", "\ufffd", "\U00010000", "\U0010fffd"])
def test_neighbours_of_refused_characters_are_taken(char: str) -> None:
    assert HMPLine.read(f"savevm a{char}").command == SaveVM(f"a{char}")


@pytest.mark.parametrize(
    ("argument", "tag"),
    [
        ("a" * 1023, "a" * 1023),
        ("a" * 1024, "a" * 1023),
        ("a" * 100_000, "a" * 1023),
        ('"' + "a" * 2000 + '"', "a" * 1023),
        ('"' + r"\n" * 1024 + '"', "\n" * 1023),
        ('"' + " " * 2000 + '"', " " * 1023),
        ("a" * 1021 + "é", "a" * 1021 + "é"),
        ("a" * 1021 + "éa", "a" * 1021 + "é"),
        ("a" * 1022 + "é", None),
        ("a" * 1021 + "日", None),
        ("a" * 1020 + "😀", None),
        ("a" * 1021 + "\0", "a" * 1021 + "\0"),
        ("a" * 1022 + "\0", None),
        ("\0" * 511 + "aa", "\0" * 511 + "a"),
        ("a" * 2000 + " b", None),
        ('"' + "a" * 2000 + '" b', None),
        ('"' + "a" * 2000 + r'\t"', None),
        ('"' + "a" * 2000, None),
    ],
    ids=range(18),
)
def test_argument_is_cut_to_1023_bytes(argument: str, tag: str | None) -> None:
    """The cut comes last: quotes, escapes and what follows are checked in the whole line (QEMU 7.2.22)."""
    assert HMPLine.read(f"delvm {argument}").command == (None if tag is None else DelVM(tag))


def test_blanks_before_the_command_are_unlimited() -> None:
    assert HMPLine.read(" " * 1_000_000 + "savevm t").command == SaveVM("t")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("", ""),
        (" \n", ""),
        ("/x", ""),
        ("savevm", "savevm"),
        ("\tsavevm t", "savevm"),
        ("savevm/t", "savevm"),
        ("info snapshots", "info"),
        ("info/snapshots", "info"),
        ("SAVEVM x", "SAVEVM"),
        ("savevm\\ x", "savevm\\"),
        ('"savevm" t', '"savevm"'),
        ("# c", "#"),
        ("\ufeffsavevm t", "\ufeffsavevm"),
        ("x/10i 0", "x"),
        ("s" * 300 + " x", "s" * 255),
        ("s" * 254 + "é", "s" * 254),
        ("s" * 253 + "\0", "s" * 253 + "\0"),
        ("s" * 254 + "\0", "s" * 254),
        ("\0" * 128, "\0" * 127),
        ("a\ud800b c", "a?b"),
    ],
)
def test_command_name(line: str, name: str) -> None:
    assert HMPLine.read(line).name == name


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("info version", "info version"),
        ("\tinfo\v version \r\n", "info version"),
        ("info version\u00a0", "info version\u00a0"),
        ("info\u00a0version", "info\u00a0version"),
        ("info version\x1c", "info version\x1c"),
        ("info \u2003", "info \u2003"),
        ("stop\u3000", "stop\u3000"),
        ("info", "info"),
        ("info /x", "info"),
        ("/x", ""),
        ("", ""),
    ],
    ids=ascii,
)
def test_name_ends_at_cs_blanks_only(line: str, name: str) -> None:
    """QEMU 7.2 to 11.1 answer `unknown command` to `info version` with U+00A0 behind it."""
    assert HMPLine.read(line).full_name == name


def test_topic_is_cut_as_a_name_is() -> None:
    assert HMPLine.read("info " + "é" * 200).topic == "é" * 127
    assert HMPLine.read("info " + "x" * 360_000).full_name == "info " + "x" * 255
