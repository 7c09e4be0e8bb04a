"""Whole dialogues at QEMU's own monitor and at the proxy's, each before a QEMU of its own: both print the same bytes.

HMPSHIM_RANDOM_DIALOGUES=N plays N random ones of each kind instead of 40; a number that fails plays the same keys again.
"""

import os
import random
from collections.abc import Iterator
from typing import Final

import pytest

from tests.integration.command_lines import BIOS
from tests.integration.human_monitor.dialogues import DIALOGUES, IMAGES, TALKED_TO
from tests.integration.human_monitor.human_twins import HumanTwins, human_twins
from tests.integration.human_monitor.random_keys import STEMS, typed_at_random
from tests.support.routing.keyboard import in_pieces

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]

DIALOGUES_AT_RANDOM: Final = int(os.environ.get("HMPSHIM_RANDOM_DIALOGUES", "40"))
MACHINE: Final = f"{BIOS} {TALKED_TO}"
# Arguments that are completed here, and then may be entered. Not those of savevm: without one it takes the time for a tag.
ARGUMENTS: Final = [
    *(b"loadvm ", b"delvm ", b"delvm t", b"info block ", b"info block -v d", b"eject ", b"block_resize d", b"commit "),
    *(b"sendkey ", b"sendkey ctrl-a", b"device_del ", b"object_del ", b"migrate_set_parameter x", b"help loadvm "),
    *(b"watchdog_action ", b"migrate_set_capability x", b"set_link x o", b"chardev-send-break ", b"netdev_add v"),
]
# It begins the sequence of a key, and gets into no line.
_CSI: Final = 0x9B


@pytest.fixture(scope="module")
def twins() -> Iterator[HumanTwins]:
    with human_twins(MACHINE, IMAGES) as running:
        yield running


def test_dialogues(twins: HumanTwins) -> None:
    for writes in DIALOGUES.values():
        twins.assert_same(*writes)


@pytest.mark.parametrize("script", [b"quit\n", b"q\n", b"info name\nquit\n", b"quit\r\ninfo name\n", b"savevm t\nquit\nstop\n"])
def test_quit(script: bytes) -> None:
    with human_twins(MACHINE, IMAGES) as twins:
        twins.assert_same(script)
        assert [one.vm.wait_gone() for one in (twins.native, twins.ours)] == [0, 0]


@pytest.mark.parametrize("completing", [False, True], ids=["editing", "completing"])
def test_dialogues_at_random(twins: HumanTwins, completing: bool) -> None:
    """All lines are ASCII: the proxy refuses what is not UTF-8, and half a letter that was deleted is not."""
    twins.assert_same(b"savevm ta\nsavevm tb\nsavevm xa\n")
    for number in range(DIALOGUES_AT_RANDOM):
        rng = random.Random(f"dialogue {completing} {number}")
        keys = typed_at_random(rng, completing=completing, stems=STEMS + ARGUMENTS)
        keys = bytes(byte for byte in keys if byte < 0x80 or byte == _CSI)
        twins.assert_same(*in_pieces(keys, rng))
