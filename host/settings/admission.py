"""Who may connect to a listener: a decision about the client that the kernel describes, without I/O.

A client is let in if its user or one of its groups is named, or no user or group is, and if its executable is named, or none
is. The user and the groups are facts: the kernel noted them when the client connected. The executable is only a hint: a process
that may connect can start the named program and take its place.
"""

from collections.abc import Callable, Collection
from enum import StrEnum

from host.settings.listener import Terms
from shim.client import Client

__all__ = ["Refusal", "asked_of_processes", "why_refused"]

# The members of Terms that only a process of this machine can meet.
_OF_PROCESSES = ("allow_users", "allow_groups", "allow_executables")


class Refusal(StrEnum):
    """Why a client was refused, of a few reasons that can be counted. LIMIT: too many are connected. NOT_ALLOWED: the terms of
    the listener do not admit it. TLS: its handshake failed, or took too long."""

    LIMIT = "limit"
    NOT_ALLOWED = "not_allowed"
    TLS = "tls"


def asked_of_processes(terms: Terms) -> list[str]:
    """Return the keys of conditions that only a process of this machine can meet, and no client on TCP."""
    return [key for key in _OF_PROCESSES if getattr(terms, key)]


def why_refused(terms: Terms, client: Client, groups: Callable[[], Collection[int]]) -> str | None:
    """Return why a client may not connect; None if it may. groups: returns those of its process; called if needed."""
    if terms.allow_users or terms.allow_groups:
        is_named = client.uid in terms.allow_users or not terms.allow_groups.isdisjoint(groups() if terms.allow_groups else ())
        if not is_named:
            return "neither its user nor any of its groups may connect there"
    if terms.allow_executables and client.exe not in terms.allow_executables:
        return "its executable may not connect there" if client.exe is not None else "its executable cannot be determined"
    return None
