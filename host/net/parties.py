"""Whose clients are counted together by limits.

On a unix socket, that is the user, whom the kernel names. On the network it is the name in a TLS client certificate, or without
one the host: nobody can get many certificates from an authority that does not issue them, but one host may have many users, and
loopback has all users of this machine. If not even the host is known any more, the client counts as its listener's.
"""

from collections import Counter
from collections.abc import Collection
from typing import TypeAlias

from shim.client import Client

__all__ = ["Party", "largest_parties", "party_of"]

# Its kind, as shown to people, and its name.
Party: TypeAlias = tuple[str, str]


def party_of(client: Client) -> Party:
    """Return the party of a client."""
    if client.uid is not None:
        return "user", str(client.uid)
    if client.certificate is not None:
        return "certificate", client.certificate
    if client.address is not None:
        return "host", client.address.rpartition(":")[0]
    return "listener", str(client.listener)


def largest_parties(clients: Collection[Client]) -> set[Party]:
    """Return the parties with the most clients: when there is no room left, one of theirs has to go."""
    counts = Counter(map(party_of, clients))
    most = max(counts.values(), default=0)
    return {party for party, count in counts.items() if count == most}
