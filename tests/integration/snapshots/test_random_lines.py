"""Random command lines: the same text and the same snapshots natively and through the proxy, to the byte.

HMPSHIM_RANDOM_LINES=N plays about N lines instead of 1000, with more seeds; a seed that fails plays the same lines again.
"""

import json
import os
import random
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeAlias

import pytest

from shim.qmp import QEMUVersion
from tests.integration.command_lines import disk
from tests.integration.outcomes import Images, images_of
from tests.integration.proxy_process import ProxyProcess
from tests.integration.twins import Case, normal, started
from tests.support.raw_client import RawClient, command_bytes

pytestmark = pytest.mark.versions

LINES_OF_A_SEED: Final = 250
SEEDS: Final = range(max(1, int(os.environ.get("HMPSHIM_RANDOM_LINES", "1000")) // LINES_OF_A_SEED))
# So many lines go out in one go, and then the snapshots are compared.
BATCH: Final = 25
TWO_DISKS: Final = Case("random", f"{disk('d0')} {disk('d1')}", (), {"d0.qcow2": "", "d1.qcow2": ""})

COMMANDS: Final = ("savevm", "savevm", "loadvm", "delvm", "delvm", "info snapshots")
NEAR_MISSES: Final = (
    *("SAVEVM", "Savevm", "savev", "savevmx", "save vm", "loadvm_", "delvm,", "delvm;", "load", "info", "info snapshot"),
    *("infosnapshots", "info Snapshots", "info/snapshots", "INFO snapshots", "help savevm", "? delvm", "help", "#savevm"),
    *('"savevm"', "'loadvm'"),
    *("\ufeffsavevm", "\u00a0delvm", "savevm\\", "", "-savevm", "$loadvm", "snapshots", "commit_", "savevm\x00", "\x01loadvm"),
)
BLANKS: Final = " \t\n\v\f\r"
# What may mean something to a parser, somewhere; and what is more than one byte, or none to be seen.
PUNCTUATION: Final = "\"'\\/%$#;:,.-_=()[]{}<>|&*?!~`^@+"
SPECIAL: Final = PUNCTUATION + BLANKS + "\x00\x01\x1b\x7f\u00a0\u00e9\u00fc\u65e5\u672c\ufeff\U0001f600"
PLAIN: Final = "abcXYZ0189"
ESCAPED: Final = {"\n": "\\n", "\r": "\\r", "\\": "\\\\", "'": "\\'", '"': '\\"'}

ID_OF_ANOTHER: Final = re.compile(r"Error: on 'd0' \d+ is also the id of the snapshot '.*', and loading .*\r\n", re.DOTALL)

Texts: TypeAlias = list[tuple[str, str]]


class LineMaker:
    """Makes lines that often come back to a tag, so that it is replaced, loaded and deleted."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._tags = ["t", "a b", "", "vm-1", *(self._text(8) for _ in range(6))]

    def lines(self) -> list[str]:
        return [self._line() for _ in range(LINES_OF_A_SEED)]

    def _line(self) -> str:
        chance = self._random.random()
        if chance < 0.6:
            return self._well_formed()
        if chance < 0.9:
            return self._mutated(self._well_formed())
        return self._near_miss()

    def _well_formed(self) -> str:
        command = self._random.choice(COMMANDS)
        argument = "" if command.startswith("info") or self._random.random() < 0.05 else self._spelled(self._tag())
        before, behind = self._blanks(0.2), self._blanks(0.2)
        between = self._blanks(0.2) or self._random.choice(" ////\t"[: self._random.choice((1, 6))])
        return before + command.replace(" ", self._blanks(0.2) or " ") + between + argument + behind

    def _near_miss(self) -> str:
        return self._random.choice(NEAR_MISSES) + self._random.choice(("", " ", f" {self._text(6)}", f" {self._text(6)} t"))

    def _mutated(self, line: str) -> str:
        """Put in, take out or double a character, up to three times."""
        for _ in range(self._random.randint(1, 3)):
            place = self._random.randint(0, len(line))
            put = self._random.choice((self._text(1), "", line[place : place + 1] * 2))
            line = line[:place] + put + line[place + self._random.randint(0, 1) :]
        return line

    def _tag(self) -> str:
        if self._random.random() < 0.7:
            return self._random.choice(self._tags)
        is_long = self._random.random() < 0.1
        return self._text(self._random.randint(240, 1100) if is_long else self._random.choice((1, 3, 8, 30)))

    def _text(self, limit: int) -> str:
        count = limit if limit > 200 else self._random.randint(1, limit)
        alphabet = PLAIN * 5 + SPECIAL
        return "".join(self._random.choice(alphabet) for _ in range(count))

    def _spelled(self, tag: str) -> str:
        if tag and self._random.random() < 0.4:
            return tag
        return '"' + "".join(ESCAPED.get(one, one) for one in tag) + '"'

    def _blanks(self, chance: float) -> str:
        if self._random.random() >= chance:
            return ""
        return "".join(self._random.choice(BLANKS) for _ in range(self._random.randint(1, 3)))


def without_refusals(texts: Texts, texts_proxied: Texts) -> Texts:
    """Put in what the proxy says where it refuses on purpose and QEMU loads another snapshot instead."""

    def refused(native: str, proxied: str) -> bool:
        return native == "" and ID_OF_ANOTHER.fullmatch(proxied) is not None

    pairs = zip(texts, texts_proxied, strict=True)
    return [(line, proxied if refused(native, proxied) else native) for (line, native), (_, proxied) in pairs]


def ask_at_once(client: RawClient, lines: Sequence[str]) -> Texts:
    """Send all lines, then read all replies."""
    commands = [command_bytes("human-monitor-command", {"command-line": line}, number) for number, line in enumerate(lines)]
    client.send(b"".join(commands))
    replies: list[dict[str, Any]] = [json.loads(normal(client.read_until_reply()[-1])) for _ in lines]
    assert [reply["id"] for reply in replies] == list(range(len(lines)))
    return [(line, reply["return"]) for line, reply in zip(lines, replies, strict=True)]


def converse(client: RawClient, observer: RawClient, lines: Sequence[str]) -> list[tuple[Texts, Images]]:
    batches = [lines[start : start + BATCH] for start in range(0, len(lines), BATCH)]
    return [(ask_at_once(client, batch), images_of(observer)) for batch in batches]


def play_natively(lines: Sequence[str]) -> list[tuple[Texts, Images]]:
    with started(TWO_DISKS, paused=True) as vm, vm.negotiated() as client, vm.negotiated(observer=True) as observer:
        return converse(client, observer, lines)


def play_proxied(lines: Sequence[str]) -> tuple[list[tuple[Texts, Images]], list[dict[str, Any]]]:
    with (
        started(TWO_DISKS, paused=True) as vm,
        ProxyProcess(vm.folder, vm.qmp_path) as proxy,
        proxy.negotiated() as client,
        vm.negotiated(observer=True) as observer,
    ):
        return converse(client, observer, lines), proxy.records


@pytest.mark.parametrize("seed", SEEDS)
def test_random_lines_do_what_they_do_natively(seed: int, qemu_version: QEMUVersion) -> None:
    lines = LineMaker(seed).lines()
    with ThreadPoolExecutor(2) as pool:
        native, proxied = pool.submit(play_natively, lines), pool.submit(play_proxied, lines)
        seen, (seen_proxied, records) = native.result(), proxied.result()
    for (texts, images), (texts_proxied, images_proxied) in zip(seen, seen_proxied, strict=True):
        assert texts_proxied == without_refusals(texts, texts_proxied)
        assert images_proxied == images
    assert [record["command_line"] for record in records] == lines
    rewritten = sum(record["action"] == "rewritten" for record in records)
    assert rewritten >= LINES_OF_A_SEED // 4 if qemu_version >= (6, 0) else rewritten == 0


def test_lines_of_a_seed_are_the_same_again() -> None:
    assert LineMaker(7).lines() == LineMaker(7).lines()
