"""The targets over their corpus and over changes to it, and whether their oracles see a product that fails."""

import importlib
import os
import random
from collections.abc import Callable
from typing import Any, Final

import pytest

from audit.counting import report_builder
from audit.errors import SourceError
from audit.log.reading import read_record
from host.errors import ConfigError
from proxy.qmp_json.framing import CommandFramer
from proxy.routing.queues.descriptor_queue import DescriptorQueue
from proxy.sessions.inbox import Inbox
from shim.hmp.line import HMPLine, SaveVM
from shim.rules.rules import Rule
from tests.fuzz.corpus import CORPUS, kept, mutated
from tests.fuzz.targets import audit, config, descriptors, framing, hmp, rules

TARGETS: Final = sorted(path.name for path in CORPUS.iterdir())
CASES: Final = int(os.environ.get("HMPSHIM_FUZZ_CASES", "3000" if os.environ.get("CI") == "true" else "1000")) // 10


def play(check: Callable[[bytes], None], name: str, data: bytes) -> None:
    try:
        check(data)
    except Exception as exc:
        exc.add_note(f"{name}: {data!r}")
        raise


@pytest.mark.parametrize("target", TARGETS)
def test_corpus_passes(target: str) -> None:
    module = importlib.import_module(f"tests.fuzz.targets.{target}")
    for name, data in kept(target).items():
        play(module.check, name, data)


@pytest.mark.parametrize("target", TARGETS)
def test_changed_corpus_passes(target: str) -> None:
    module = importlib.import_module(f"tests.fuzz.targets.{target}")
    inputs = list(kept(target).values())
    for seed in range(CASES):
        play(module.check, f"seed {seed}", mutated(random.Random(seed), inputs, module.WORDS))


def test_changes_follow_from_the_seed() -> None:
    def made(seed: int) -> bytes:
        return mutated(random.Random(seed), [b"abc", b"defg"], [b"word"])

    assert [made(seed) for seed in range(50)] == [made(seed) for seed in range(50)]
    assert len({made(seed) for seed in range(50)}) > 20


@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_wrong_with_nothing(target: str) -> None:
    importlib.import_module(f"tests.fuzz.targets.{target}").check(b"")


class TestOracles:
    """Each fails if the product does."""

    def test_framing_that_hides_a_command_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = CommandFramer.feed
        monkeypatch.setattr(CommandFramer, "feed", lambda self, data: real(self, data)[:1])
        with pytest.raises(AssertionError, match="in pieces"):
            framing.check(b'\0{"execute":"x"}{"execute":"y"}')

    def test_framing_that_counts_what_matters_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(CommandFramer, "count_plain", lambda self, data, room: 1)
        with pytest.raises(AssertionError):
            framing.check(b'\0{"execute":"getfd"}')

    def test_another_tag_than_hmps_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = HMPLine.read("savevm a")
        monkeypatch.setattr(HMPLine, "read", lambda text: real)
        hmp.check(b"savevm a")
        monkeypatch.setattr(HMPLine, "read", lambda text: HMPLine("savevm a", "savevm", "", "savevm", SaveVM("b"), ""))
        with pytest.raises(AssertionError, match="instead of"):
            hmp.check(b"savevm a")

    def test_rule_that_is_walked_around_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sent = b'{"execute": "human-monitor-command", "arguments": {"command-line": " q"}}'
        rules.check(b"allow stop\n" + sent)
        monkeypatch.setattr(Rule, "decides", lambda self, asked: False)
        with pytest.raises(AssertionError):
            rules.check(b"allow stop\n" + sent)

    def test_error_of_another_kind_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(path: str) -> None:
            raise KeyError(path)

        monkeypatch.setattr(config, "load_config_file", fail)
        with pytest.raises(KeyError):
            config.check(b"x")

    def test_error_without_a_place_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(path: str) -> None:
            raise ConfigError(path, 7, "", "no")

        monkeypatch.setattr(config, "load_config_file", fail)
        with pytest.raises(AssertionError, match="line 7"):
            config.check(b"x")

    def test_record_that_hides_others_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def read(line: bytes) -> dict[str, Any]:
            if line.startswith(b"{"):
                return real(line)
            raise SourceError("log", "it stops here")

        real = read_record
        monkeypatch.setattr(report_builder, "read_record", read)
        with pytest.raises(AssertionError, match="hides the record after it"):
            audit.check(b"x")

    def test_descriptor_that_stays_in_qemu_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(DescriptorQueue, "settle", lambda self, message: setattr(self, "_state", type(self._state).FREE))
        with pytest.raises(AssertionError, match="QEMU holds"):
            descriptors.check(bytes((0, 0, 0, 2, 3)))

    def test_descriptor_that_is_kept_open_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Inbox, "drop_descriptors", lambda self: ())
        with pytest.raises(AssertionError, match="of 2"):
            descriptors.check(bytes((1, 0, 0, 5, 6)))
