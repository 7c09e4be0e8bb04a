"""The shim's errors: each one's text and fields."""

import pytest

from shim.errors import CommandPatternError, PatternError, ShimError, UnreadableReply


def test_unreadable_reply_says_what_and_why() -> None:
    error = UnreadableReply("the block graph", "KeyError('nodes')")
    assert str(error) == "QEMU's answer about the block graph cannot be read: KeyError('nodes')"
    assert (error.what, error.detail) == ("the block graph", "KeyError('nodes')")
    assert error.args == ("the block graph", "KeyError('nodes')")


def test_pattern_error_says_which_pattern_and_why() -> None:
    error = PatternError("d[", "an open bracket")
    assert str(error) == "invalid pattern 'd[' for block nodes: an open bracket"
    assert (error.pattern, error.reason, error.args) == ("d[", "an open bracket", ("d[", "an open bracket"))


def test_command_pattern_error_says_which_pattern_and_why() -> None:
    error = CommandPatternError("quit:", "nothing")
    assert str(error) == "invalid command pattern 'quit:': nothing"
    assert (error.pattern, error.reason, error.args) == ("quit:", "nothing", ("quit:", "nothing"))


@pytest.mark.parametrize("kind", [CommandPatternError, PatternError, UnreadableReply])
def test_every_error_is_a_shim_error(kind: type[Exception]) -> None:
    assert issubclass(kind, ShimError)
