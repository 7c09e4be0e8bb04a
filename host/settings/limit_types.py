"""The types of settings that set a limit and can also be "none", so that a VM can lift a limit from [defaults]."""

from argparse import ArgumentTypeError
from typing import Any

from host.settings.bad_value import BadValue
from host.settings.setting_types import ALLOWED, MOST_NUMBER, TEXT, SettingType, argument, text_of_word

__all__ = ["LIMIT", "PREFIX", "TAGS"]

_NUMBER = f"a whole number from 0 to {MOST_NUMBER}; 0 sets no limit"


def _limit(value: Any) -> int:
    if type(value) is int and 0 <= value <= MOST_NUMBER:
        return value
    raise BadValue(f"write {_NUMBER}")


def _limit_of_word(text: str) -> int:
    # The length first: int() refuses a text with thousands of digits.
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(MOST_NUMBER))
    if is_number and str(int(text)) == text:
        return int(text)
    raise ArgumentTypeError(f"'{text:.40}' is not {_NUMBER}")


def _prefix(value: Any) -> str:
    prefix: str = "" if value == "" else TEXT.from_file(value)
    return prefix


# A whole number; 0 sets no limit.
LIMIT = SettingType(_limit, _limit_of_word)
# On a command line an empty prefix would have nothing to take back.
PREFIX = SettingType(_prefix, argument(text_of_word))
TAGS = ALLOWED
