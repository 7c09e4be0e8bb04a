"""Whose clients are, and who has most of them."""

import pytest

from host.net.parties import Party, largest_parties, party_of
from shim.client import Client


@pytest.mark.parametrize(
    ("client", "party"),
    [
        (Client(1, 1000, "/bin/a", listener="unix:/l"), ("user", "1000")),
        (Client(2, 0), ("user", "0")),
        (Client(address="tcp:10.0.0.1:4000", certificate="backup", listener="tcp::4444"), ("certificate", "backup")),
        (Client(address="tcp:10.0.0.1:4000", listener="tcp::4444"), ("host", "tcp:10.0.0.1")),
        (Client(address="tcp:[2001:db8::1]:4000"), ("host", "tcp:[2001:db8::1]")),
        (Client(listener="unix:/l"), ("listener", "unix:/l")),
        (Client(), ("listener", "None")),
    ],
)
def test_client_is_its_users_or_certificates_or_hosts(client: Client, party: Party) -> None:
    assert party_of(client) == party


def test_those_that_have_most() -> None:
    clients = [Client(1, 5), Client(2, 6), Client(3, 6), Client(address="tcp:h:1"), Client(address="tcp:h:2")]
    assert largest_parties(clients) == {("user", "6"), ("host", "tcp:h")}
    assert largest_parties([]) == set()
