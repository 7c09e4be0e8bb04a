"""What is known of a client that nobody has looked up."""

from shim.records.identity import Identity, unidentified


def test_nothing_is_known_of_who_was_not_looked_up() -> None:
    assert unidentified() == Identity(user=None, tool=None, argv=(), unit=None, container=None, parent=None, process=None)
