"""walk: which words are options, and which are their arguments."""

import pytest

from proxy.qemu_command_line.options import WITH_ARGUMENT, WITHOUT_ARGUMENT, Option, walk


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-S", [Option("S", None, 0)]),
        ("-m 32 -S", [Option("m", "32", 0), Option("S", None, 2)]),
        # Two hyphens are as good as one, three are not.
        ("--qmp stdio --S", [Option("qmp", "stdio", 0), Option("S", None, 2)]),
        ("---qmp stdio", [Option("-qmp", "stdio", 0)]),
        # An argument is the next word, whatever it looks like.
        ("-append -S -S", [Option("append", "-S", 0), Option("S", None, 2)]),
        ("-qmp -qmp", [Option("qmp", "-qmp", 0)]),
        # It never stands behind an equals sign.
        ("-qmp=stdio disk.img", [Option("qmp=stdio", "disk.img", 0)]),
        # A disk's image.
        ("disk.img -S", [Option("S", None, 1)]),
        ("-S disk.img -m 32", [Option("S", None, 0), Option("m", "32", 2)]),
        # One of a newer QEMU.
        ("-newer word -S", [Option("newer", "word", 0), Option("S", None, 2)]),
        ("-newer -S", [Option("newer", None, 0), Option("S", None, 1)]),
        ("-newer", [Option("newer", None, 0)]),
        ("-", [Option("", None, 0)]),
        ("", []),
    ],
)
def test_words_are_options_and_arguments(words: str, expected: list[Option]) -> None:
    assert list(walk(words.split())) == expected


def test_argument_may_be_empty() -> None:
    assert list(walk(["-append", "", "-S"])) == [Option("append", "", 0), Option("S", None, 2)]


def test_argument_may_be_lacking() -> None:
    (qmp,) = walk(["-qmp"])
    (paused,) = walk(["-S"])
    (newer,) = walk(["-newer"])
    assert qmp.lacks_its_argument
    assert not paused.lacks_its_argument
    assert not newer.lacks_its_argument


def test_option_knows_its_words() -> None:
    words = ["-S", "--qmp", "stdio", "-m", "32"]
    assert [words[option.at : option.end] for option in walk(words)] == [["-S"], ["--qmp", "stdio"], ["-m", "32"]]
    assert [str(option) for option in walk(words)] == ["-S", "-qmp stdio", "-m 32"]


def test_no_option_is_in_both_tables() -> None:
    assert not WITH_ARGUMENT & WITHOUT_ARGUMENT
