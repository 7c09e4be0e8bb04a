"""Whose tool a client is, for people who read the audit log: more than a process's number and its executable.

It is looked up outside the event loop (host/who/), because reading another process's memory can take as long as that process
likes. No permission depends on it: a process can set its own command line to anything.
"""

import re
from dataclasses import dataclass
from typing import Final, Protocol

from shim.client import Client

__all__ = ["NOBODY", "PROMPT_TOOL", "Identified", "Identify", "Identity", "Parent", "lasting_name", "unidentified"]

# A script that is written for one run is the same tool in the next: by GitHub's runner, Python's tempfile, mktemp(1), Jenkins.
_FLEETING: Final = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32,}|(?<=^tmp)[a-z0-9_]{8}(?=\.|$)|(?<=^tmp\.)\w{6,10}|(?<=^jenkins)[0-9]+"
)
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


class Identify(Protocol):
    """Returns what was looked up. is_settled: it need not be waited for; only then may an event loop call it."""

    @property
    def is_settled(self) -> bool: ...

    def __call__(self) -> Identity: ...


@dataclass(frozen=True, slots=True)
class Identified:
    """What is known without looking it up."""

    found: Identity = NOBODY

    @property
    def is_settled(self) -> bool:
        return True

    def __call__(self) -> Identity:
        return self.found


unidentified: Final = Identified()
"""Of a client that nobody has looked up, nothing is known."""


def lasting_name(name: str) -> str:
    """Return the name of a tool with * for what differs from run to run."""
    return _FLEETING.sub("*", name)
