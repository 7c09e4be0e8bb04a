"""A Dialogue's driver for tests, as the contract in proxy/human_monitor/__init__.py has it: one client, from banner to end."""

from collections.abc import Callable, Iterable, Sequence
from typing import assert_never

from proxy.human_monitor.completion import CompletionRequest
from proxy.human_monitor.dialogue import CommandEntered, Dialogue, PasswordEntered

__all__ = ["converse"]


def converse(
    dialogue: Dialogue,
    typed: Iterable[bytes],
    run: Callable[[CommandEntered], str | None],
    candidates: Callable[[CompletionRequest], Sequence[str]] = lambda request: (),
) -> bytes:
    """Return all that a client is sent that types this, in these pieces, and then sends no more.

    run: a command; returns what it prints, None if it asks for a password. Whatever that is, it is answered with nothing.
    """
    sent = bytearray()
    pieces = iter(typed)
    while not dialogue.is_finished:
        match dialogue.next_event():
            case CommandEntered() as command:
                output = run(command)
                if output is None:
                    dialogue.reply_password_prompt()
                else:
                    dialogue.reply(output)
            case PasswordEntered():
                dialogue.reply("")
            case CompletionRequest() as request:
                dialogue.complete(candidates(request))
            case None if not dialogue.has_input:
                if (piece := next(pieces, None)) is None:
                    dialogue.receive_eof()
                else:
                    dialogue.receive(piece)
            case None:
                pass
            case event:
                assert_never(event)
        sent += dialogue.data_to_send()
    return bytes(sent)
