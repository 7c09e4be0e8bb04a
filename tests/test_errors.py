"""The shim's errors: each one's text and fields."""

from shim.errors import ShimError, UnreadableReply


def test_unreadable_reply_says_what_and_why() -> None:
    error = UnreadableReply("the block graph", "KeyError('nodes')")
    assert str(error) == "QEMU's answer about the block graph cannot be read: KeyError('nodes')"
    assert (error.what, error.detail) == ("the block graph", "KeyError('nodes')")
    assert error.args == ("the block graph", "KeyError('nodes')")


def test_every_error_is_a_shim_error() -> None:
    assert issubclass(UnreadableReply, ShimError)
