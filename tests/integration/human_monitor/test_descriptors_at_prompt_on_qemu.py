"""Descriptors that are sent to the proxy's prompt: taken, named, used and closed as at QEMU's own, twins show."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.integration.command_lines import BIOS
from tests.integration.human_monitor.human_twins import HumanTwins, human_twins

pytestmark = [pytest.mark.versions, pytest.mark.needs_snapshot_jobs]


@pytest.fixture(scope="module")
def twins() -> Iterator[HumanTwins]:
    with human_twins(BIOS, {}) as running:
        yield running


@pytest.mark.parametrize(
    "writes",
    [
        (b"getfd a\n", b"closefd a\nclosefd a\n"),
        (b"g", b"etfd a\nclosefd a\n"),
        (b"info name\n", b"info uuid\ngetfd b\ngetfd c\nclosefd b\n"),
        (b"getfd 1\n", b"getfd c\n"),
        (b"getfd\ngetfd a b\n", b"getfd d\nclosefd d\n"),
        (b'getfd "a b"\n', b'closefd "a b"\nclosefd\nclosefd x y\nclosefd "x\n'),
    ],
)
def test_one_is_taken_by_getfd(twins: HumanTwins, writes: tuple[bytes, ...]) -> None:
    with open(os.devnull, "wb") as file:
        twins.assert_same(*writes, descriptors=[file.fileno()])


def test_of_two_the_first_is_taken(twins: HumanTwins) -> None:
    with open(os.devnull, "wb") as file:
        twins.assert_same(b"getfd a\ngetfd b\nclosefd a\n", descriptors=[file.fileno()] * 2)


def test_none_outlives_its_client(twins: HumanTwins) -> None:
    """What `getfd` has named does."""
    with open(os.devnull, "wb") as file:
        twins.assert_same(b"getfd a\n", descriptors=[file.fileno()])
        twins.assert_same(b"info name\n", descriptors=[file.fileno()])
    twins.assert_same(b"getfd b\nclosefd a\n")


def test_migration_goes_to_it(twins: HumanTwins) -> None:
    """A pipe: of a file QEMU 10.0 says that it is deprecated, at its own prompt only."""
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as cat:
        assert cat.stdin is not None
        descriptors = [cat.stdin.fileno()]
        twins.assert_same(b"getfd a\nmigrate fd:a\ninfo status\nclosefd a\n", descriptors=descriptors)
