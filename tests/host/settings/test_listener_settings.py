"""The settings that a single listener may have: each is a member of its terms, and has a name of its own in each spelling."""

from dataclasses import fields

from host.settings.listener import Terms
from host.settings.listener_settings import LISTENER_SETTINGS, OF_SOCKETS
from host.settings.setting_row import Owner
from host.settings.settings import SETTINGS


def test_rows_are_those_of_the_terms() -> None:
    assert [row for row in SETTINGS if row.owner is Owner.LISTENER] == sorted(LISTENER_SETTINGS, key=SETTINGS.index)
    assert sorted(row.field for row in LISTENER_SETTINGS) == sorted(field.name for field in fields(Terms))


def test_names_are_told_apart() -> None:
    for names in ([row.key_of_listener for row in LISTENER_SETTINGS], [row.word_of_listener for row in LISTENER_SETTINGS]):
        assert len(set(names)) == len(names)
        assert "address" not in names


def test_every_setting_of_a_listener_takes_a_word() -> None:
    """So there can be no switch among them."""
    assert [row.key for row in LISTENER_SETTINGS if row.type.from_word is None] == []


def test_settings_of_sockets_have_short_names() -> None:
    assert [row.word_of_listener for row in OF_SOCKETS] == ["mode", "owner", "group"]
