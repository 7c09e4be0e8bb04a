"""One look at a client: what `/proc`, the kernel and the list of users say about it now."""

from dataclasses import replace
from typing import Final

from host.net.addresses import process
from host.who.ancestry import Ancestor, telling_ancestor
from host.who.control_groups import place_of
from host.who.passwords import without_passwords
from host.who.process_files import ProcessFiles
from host.who.running import Kind, what_runs
from host.who.tcp_peers import Connection, TCPPeers, peer_socket
from host.who.users import Users
from shim.client import Client
from shim.records.identity import NOBODY, Identity, Parent

__all__ = ["Identifier", "kept_words"]

# How much of a command line a record keeps: what a person needs to recognize it.
_MOST_WORDS: Final = 32
_MOST_WORD_CHARS: Final = 256
_MOST_CHARS: Final = 1024
_MOST_NAME_CHARS: Final = 128
_CUT: Final = "…"


class Identifier:
    """Callable on any thread. files, users, peers: the sources to look in."""

    def __init__(self, files: ProcessFiles | None = None, users: Users | None = None, peers: TCPPeers | None = None) -> None:
        self._files = files or ProcessFiles()
        self._users = users or Users()
        self._peers = peers or TCPPeers()

    def __call__(self, client: Client, connection: Connection | None) -> Identity:
        """Return a client's identity. connection: of a client on the network, which may be a process of this machine."""
        if connection is not None:
            return self._at_other_end(connection)
        if client.pid is None:
            return self._of_user(client.uid)
        found = self._of_process(client.pid, client.exe, client.uid)
        # The start time is read last: if it is the same process now, it was the same then.
        status = self._files.status(client.pid)
        return found if status is not None and status.started == client.started else Identity(user=found.user)

    def _at_other_end(self, connection: Connection) -> Identity:
        found = peer_socket(connection)
        if found is None:
            return NOBODY
        holder = self._peers.holder(found)
        if holder is None:
            return replace(self._of_user(found.uid), process=Client(None, found.uid))
        there = process(holder.pid, found.uid)
        identity = self._of_process(holder.pid, there.exe, found.uid)
        # As above: if it is the same process and still has the socket, it was the one.
        status = self._files.status(holder.pid)
        if status is None or status.started != there.started or not self._peers.is_held(holder, found):
            return replace(self._of_user(found.uid), process=Client(None, found.uid))
        return replace(identity, process=there)

    def _of_user(self, uid: int | None) -> Identity:
        return NOBODY if uid is None else Identity(user=self._users.name(uid))

    def _of_process(self, pid: int, exe: str | None, uid: int | None) -> Identity:
        argv = self._files.argv(pid)
        running = what_runs(exe, argv)
        above = None if running is None or running.kind is Kind.TELLING else telling_ancestor(self._files, pid)
        tool = None if running is None else running.name
        if above is not None and above.running.kind is Kind.TELLING:
            tool = above.running.name
        place = place_of(self._files.control_groups(pid))
        return replace(
            self._of_user(uid),
            tool=None if tool is None else _kept_name(tool),
            argv=kept_words(argv),
            unit=place.unit,
            container=place.container,
            parent=None if above is None else _parent(above),
        )


def _parent(above: Ancestor) -> Parent:
    return Parent(above.pid, above.exe, kept_words(above.argv))


def _kept_name(tool: str) -> str:
    """Return what a record keeps of a name, which may be one that the process has given itself."""
    (name,) = without_passwords([tool])
    return name if len(name) <= _MOST_NAME_CHARS else f"{name[:_MOST_NAME_CHARS]}{_CUT}"


def kept_words(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return what a record keeps of a command line: no passwords, and not too much."""
    kept: list[str] = []
    left = _MOST_CHARS
    for word in without_passwords(argv):
        if len(kept) == _MOST_WORDS or not left:
            kept.append(_CUT)
            break
        most = min(left, _MOST_WORD_CHARS)
        kept.append(word if len(word) <= most else f"{word[:most]}{_CUT}")
        left -= min(len(word), most)
    return tuple(kept)
