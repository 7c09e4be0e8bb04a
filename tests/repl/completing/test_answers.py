"""Answers as they come: beside the typing, few at a time, and kept as long as they are true."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from repl.completing import answers as module
from repl.completing.answers import MOST_KEPT, MOST_UNDER_WAY, Answers, Looking
from repl.completing.questions import Kind, Question
from repl.completion_data import Named
from shim.graph.policy import Mode, Policy
from tests.support.raw_client import DEADLINE_S
from tests.support.repl import executing
from tests.support.repl.executing import Bench
from tests.support.repl.seen_link import obeying

CHARDEVS = Question(Kind.CHARDEVS)
PROPERTIES = Question(Kind.PROPERTIES, "e1000")
NETWORK = Question(Kind.NETWORK)
REPLIES: dict[str, Any] = {
    "query-chardev": [{"label": "rb", "filename": "ringbuf"}],
    "device-list-properties": [{"name": "mac", "type": "str"}],
    "qom-list": [{"name": "machine", "type": "child<pc>"}],
    "human-monitor-command": "nic0: index=0,type=nic\r\n",
    "query-commands": [],
    "query-name": {},
}


class Table:
    """Answers on a QEMU that answers by a table. asked: the commands that came for them. changes: how often one was told."""

    def __init__(self, bench: Bench, asked: list[str]) -> None:
        self.asked = asked
        self.bench = bench
        self.changes = 0
        self.answers = Answers(bench.executor, on_change=self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def look(self, question: Question) -> list[str]:
        return [one.name for one in self.answers.look(question)]

    async def settled(self) -> None:
        while self.answers.under_way:
            await asyncio.wait(self.answers.under_way)

    async def found(self, question: Question) -> list[str]:
        self.look(question)
        await self.settled()
        return self.look(question)


def played(scene: Callable[[Table], Awaitable[None]], *, policy: Policy | None = None, **replies: Any) -> None:
    async def run() -> None:
        asked: list[str] = []
        known = REPLIES | {name.replace("_", "-"): value for name, value in replies.items()}

        def reply(name: str) -> dict[str, Any]:
            asked.append(name)
            return {"return": known[name]} if name in known else {"error": {"class": "GenericError", "desc": "no"}}

        with TemporaryDirectory(prefix="a", dir="/tmp") as folder:
            path = f"{folder}/s"
            async with await asyncio.start_unix_server(obeying(reply), path), executing.executing(path, policy=policy) as bench:
                asked.clear()
                table = Table(bench, asked)
                try:
                    async with asyncio.timeout(DEADLINE_S):
                        await scene(table)
                finally:
                    await table.answers.close()

    asyncio.run(run())


def test_look_returns_at_once_and_the_answer_comes_later() -> None:
    async def scene(table: Table) -> None:
        assert table.look(CHARDEVS) == []
        assert table.look(CHARDEVS) == []
        assert len(table.answers.under_way) == 1
        await table.settled()
        assert table.look(CHARDEVS) == ["rb"]
        assert table.asked == ["query-chardev"]
        assert table.changes == 1

    played(scene)


def test_answer_that_may_change_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FRESH_S", -1.0)

    async def scene(table: Table) -> None:
        assert await table.found(CHARDEVS) == ["rb"]
        await table.settled()
        assert table.asked == ["query-chardev"] * 2
        assert await table.found(PROPERTIES) == ["mac"]
        assert not table.answers.under_way

    played(scene)


def test_known_asks_nothing() -> None:
    async def scene(table: Table) -> None:
        assert table.answers.known(CHARDEVS) == ()
        assert not table.answers.under_way
        await table.found(CHARDEVS)
        assert table.answers.known(CHARDEVS) == (Named("rb", "ringbuf"),)
        assert any(one.name == "e1000" for one in table.answers.known(Question(Kind.DRIVERS)))

    played(scene)


def test_devices_are_known_without_a_question() -> None:
    async def scene(table: Table) -> None:
        assert "e1000" in table.look(Question(Kind.DRIVERS))
        assert not table.answers.under_way

    played(scene)


def test_few_questions_are_under_way_at_a_time() -> None:
    async def scene(table: Table) -> None:
        paths = [Question(Kind.QOM, f"/{number}") for number in range(MOST_UNDER_WAY + 3)]
        for path in paths:
            table.look(path)
        assert len(table.answers.under_way) == MOST_UNDER_WAY
        await table.settled()
        assert [table.look(path) for path in paths].count(["machine"]) == MOST_UNDER_WAY

    played(scene)


def test_look_knows_which_questions_are_its_own() -> None:
    async def scene(table: Table) -> None:
        own, other = Looking(table.answers), Looking(table.answers)
        assert own(CHARDEVS) == other(PROPERTIES) == other(Question(Kind.DRIVERS))[:0] == ()
        assert len(own.under_way) == len(other.under_way) == 1
        assert own.under_way | other.under_way == table.answers.under_way
        assert own.under_way != other.under_way
        await table.settled()
        assert own(CHARDEVS) == (Named("rb", "ringbuf"),)
        assert own.under_way | other.under_way == set()

    played(scene)


def test_question_that_waits_for_its_turn_waits_for_all_others() -> None:
    async def scene(table: Table) -> None:
        for number in range(MOST_UNDER_WAY):
            table.look(Question(Kind.QOM, f"/{number}"))
        waits = Looking(table.answers)
        assert waits(CHARDEVS) == ()
        assert waits.under_way == table.answers.under_way

    played(scene)


def test_what_was_not_looked_at_for_longest_is_forgotten() -> None:
    async def scene(table: Table) -> None:
        await table.found(PROPERTIES)
        for number in range(MOST_KEPT):
            await table.found(Question(Kind.QOM, f"/{number}"))
        table.asked.clear()
        assert await table.found(PROPERTIES) == ["mac"]
        assert table.asked == ["device-list-properties"]

    played(scene)


def test_other_qemu_is_asked_anew() -> None:
    async def scene(table: Table) -> None:
        await table.found(PROPERTIES)
        table.answers.forget()
        assert table.look(PROPERTIES) == []

    played(scene)


@pytest.mark.parametrize("reply", [{}, {"query_chardev": 5}, {"query_chardev": [{}]}], ids=str)
def test_question_that_qemu_does_not_answer_well_has_no_names(reply: dict[str, Any]) -> None:
    async def scene(table: Table) -> None:
        assert await table.found(CHARDEVS if reply else Question(Kind.JOBS)) == []
        assert not table.answers.under_way

    played(scene, **reply)


def test_lost_connection_has_no_names() -> None:
    async def scene(table: Table) -> None:
        await table.bench.link.close()
        assert await table.found(CHARDEVS) == []

    played(scene)


def test_nothing_is_asked_by_hmp_where_that_is_refused() -> None:
    async def by_hmp(table: Table) -> None:
        assert await table.found(NETWORK) == ["nic0"]

    async def refused(table: Table) -> None:
        assert await table.found(NETWORK) == []
        assert table.asked == []

    played(by_hmp)
    played(refused, policy=Policy(mode=Mode.ENFORCE))


def test_files_are_looked_for_here(tmp_path: Path) -> None:
    (tmp_path / "disk.img").touch()

    async def scene(table: Table) -> None:
        assert await table.found(Question(Kind.FILES, f"{tmp_path}/")) == [f"{tmp_path}/disk.img"]
        assert await table.found(Question(Kind.OWN_FILES, f"{tmp_path}/")) == [f"{tmp_path}/disk.img"]
        assert table.asked == []

    played(scene)


def test_close_waits_for_no_answer() -> None:
    async def scene(table: Table) -> None:
        table.look(CHARDEVS)
        await table.answers.close()
        assert not table.answers.under_way
        assert table.changes == 0
        await table.answers.close()

    played(scene)
