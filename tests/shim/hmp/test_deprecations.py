"""The table of what QEMU dropped of HMP is sound. tests/integration/hmp/test_replacements_on_qemu.py asks each QEMU."""

import pytest

from shim.hmp.deprecations import CHANGES, NEWEST, OLDEST, WITHOUT_HMP, Change
from shim.hmp.replacements import REPLACEMENTS


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: f"{change.command} {change.option}".strip())
def test_entry_is_sound(change: Change) -> None:
    releases = [release for release in (change.deprecated, change.gone) if release is not None]
    assert releases
    assert releases == sorted(set(releases))
    assert releases[-1] <= NEWEST
    assert change.instead or change.command in REPLACEMENTS


def test_command_that_the_table_begins_with_has_a_replacement() -> None:
    """Older ones are no command of any QEMU that the table of replacements is made from."""
    still_there = {change.command for change in CHANGES if change.option or change.gone is None or change.gone > OLDEST}
    assert still_there - REPLACEMENTS.keys() == set()


def test_command_is_told_of_once() -> None:
    assert len({(change.command, change.option) for change in CHANGES}) == len(CHANGES)


def test_releases_are_in_order() -> None:
    assert OLDEST < WITHOUT_HMP <= NEWEST
