"""Whose tool a client is, for people who read the audit log: more than a process's number and its executable.

It is looked up outside the event loop (host/who/), because reading another process's memory can take as long as that process
likes. No permission depends on it: a process can set its own command line to anything.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from shim.client import Client

__all__ = ["NOBODY", "PROMPT_TOOL", "Identify", "Identity", "Parent", "unidentified"]

PROMPT_TOOL: Final = "hmp-repl"
"""The tool of a client that has said that it is our prompt (`is-prompt` of `__hmpshim_query-proxy`)."""


@dataclass(frozen=True, slots=True)
class Parent:
    """The process that started a client, or one further up: the one that shows for whom the client works."""

    pid: int
    exe: str | None
    argv: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """What could be found out about a client. A field is None or empty if this machine does not know.

    user: the name of its uid. tool: what a person would call it, such as `nightly.py`. argv: its command line, bounded, and
    without what looks like a password. unit: its systemd unit. container: `docker:3f2a91bc04de`, `lxc:web`. parent: given if it
    says more than the process itself. process: the process at the other end of a TCP connection within this machine.
    """

    user: str | None = None
    tool: str | None = None
    argv: tuple[str, ...] = ()
    unit: str | None = None
    container: str | None = None
    parent: Parent | None = None
    process: Client | None = None


NOBODY: Final = Identity()

Identify: TypeAlias = Callable[[], Identity]
"""Returns what was looked up; it may have to wait for that, so it is no call for an event loop."""


def unidentified() -> Identity:
    """Return the identity of a client that nobody has looked up: nothing is known."""
    return NOBODY
