"""The types of settings that set a limit, where "none" can be written too: a VM may have none although [defaults] has one."""

from typing import Any

from host.setting_types import ALLOWED, COUNT, TEXT, SettingType

__all__ = ["LIMIT", "PREFIX", "TAGS"]


def _limit(value: Any) -> int:
    limit: int = 0 if type(value) is int and value == 0 else COUNT.from_file(value)
    return limit


def _limit_of_word(text: str) -> int:
    assert COUNT.from_word is not None  # that of a switch is
    limit: int = 0 if text == "0" else COUNT.from_word(text)
    return limit


def _prefix(value: Any) -> str:
    prefix: str = "" if value == "" else TEXT.from_file(value)
    return prefix


# A whole number; 0 is no limit.
LIMIT = SettingType(_limit, _limit_of_word)
PREFIX = SettingType(_prefix)
TAGS = ALLOWED
