"""A row of the table of settings spells its key in all the ways that are needed."""

from typing import Any

from host.settings import setting_types
from host.settings.setting_row import Owner, Program, Section, Setting


def row(**members: str) -> Setting:
    rest: dict[str, Any] = {"type": setting_types.TEXT, "owner": Owner.POLICY, "section": Section.VM, "help": "what it is"}
    return Setting(**{"key": "a_key", **rest, **members})


def test_names_come_from_the_key() -> None:
    setting = row()
    assert (setting.field, setting.flag, setting.destination) == ("a_key", "--a-key", "a_key")
    assert (setting.key_of_listener, setting.word_of_listener) == ("a_key", "a-key")
    assert (setting.programs, setting.gives_policy) == ((Program.PROXY,), False)


def test_names_can_be_other_ones() -> None:
    setting = row(member="a", option="--b-c")
    assert (setting.field, setting.flag, setting.destination) == ("a", "--b-c", "b_c")
    assert (setting.key_of_listener, setting.word_of_listener) == ("a_key", "b-c")
    setting = row(listener_key="d_e")
    assert (setting.key_of_listener, setting.word_of_listener) == ("d_e", "d-e")
