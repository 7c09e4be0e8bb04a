"""A client is told to a person by where it comes from, or by its process."""

import pytest

from shim.client import Client


@pytest.mark.parametrize(
    ("client", "text"),
    [
        (Client(pid=1, uid=2, exe="/usr/bin/virsh"), "/usr/bin/virsh (pid 1, uid 2)"),
        (Client(pid=1, uid=2, exe="/x\x1b[2J\nforged\u202e"), "/x\\x1b[2J\\nforged\\u202e (pid 1, uid 2)"),
        (Client(pid=1, uid=2), "an unknown program (pid 1, uid 2)"),
        (Client(), "an unknown program (pid None, uid None)"),
        (Client(address="192.0.2.1:4444"), "192.0.2.1:4444"),
    ],
)
def test_client_as_text(client: Client, text: str) -> None:
    assert str(client) == text
