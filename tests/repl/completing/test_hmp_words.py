"""Options and places, as help has them."""

from repl.completing.hmp_words import ArgumentForms, read_forms
from repl.completion_data import CommandHelp


def forms(arguments: str, name: str = "c") -> ArgumentForms:
    return read_forms(CommandHelp((name,), arguments, ""))


def test_options_and_positions() -> None:
    assert forms("[-p] [-z|-l] filename [begin length]") == ArgumentForms(
        ("-p", "-z", "-l"), frozenset(), ("filename", "begin", "length")
    )
    assert forms("filename [-f format] [device]") == ArgumentForms(("-f",), frozenset({"-f"}), ("filename", "device"))
    assert forms("[-a|vcpu]").options == ("-a",)


def test_name_before_the_arguments_is_none() -> None:
    assert forms("c [-w] device", "c").positions == ("device",)


def test_words_before_tell_the_position() -> None:
    found = forms("filename [-f format] [device]")
    assert found.position([]) == 0
    assert found.position(["x"]) == 1
    assert found.position(["x", "-f"]) is None
    assert found.position(["-f", "png", "x"]) == 1
    assert found.positional(["-f", "png", "x", "y"]) == ["x", "y"]
