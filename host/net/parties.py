"""Whose a client is, where limits count the clients of one and the same together.

On a unix socket that is a user, whom the kernel names. On the network it is the name in a TLS client certificate, and without
one the host: nobody can have many certificates of an authority that does not issue them, but a host may have many users, and on
loopback it has all of this machine. A client of which not even that is known any more counts as its listener's.
"""

from collections import Counter
from collections.abc import Collection
from typing import TypeAlias

from shim.client import Client

__all__ = ["Party", "largest_parties", "party_of"]

# What it is, as a text for people names it, and which.
Party: TypeAlias = tuple[str, str]


def party_of(client: Client) -> Party:
    """Return whose a client is."""
    if client.uid is not None:
        return "user", str(client.uid)
    if client.certificate is not None:
        return "certificate", client.certificate
    if client.address is not None:
        return "host", client.address.rpartition(":")[0]
    return "listener", str(client.listener)


def largest_parties(clients: Collection[Client]) -> set[Party]:
    """Return those that have most clients: where there is no room for more, it is they who have to make some."""
    counts = Counter(map(party_of, clients))
    most = max(counts.values(), default=0)
    return {party for party, count in counts.items() if count == most}
