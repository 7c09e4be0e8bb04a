"""What is known of the VM: looked at in the background, one look at a time, and kept where a look fails."""

import asyncio
from collections.abc import Awaitable, Callable
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest

from repl.vm_cache import VMCache
from shim.hmp.line import HMPLine
from tests.fakes.qemu import FakeQEMU, VMFaults, When, two_disks
from tests.support.raw_client import DEADLINE_S
from tests.support.repl import executing
from tests.support.repl.executing import Bench
from tests.support.repl.seen_link import obeying

LOOK: Final = "query-block"
Scene = Callable[[FakeQEMU, Bench, VMCache], Awaitable[None]]


def played(scene: Scene, **options: Any) -> list[None]:
    """Run a scene, and give what was told of changes."""
    changes: list[None] = []

    async def with_knowledge(qemu: FakeQEMU, bench: Bench) -> None:
        knowledge = VMCache(bench.executor, on_change=lambda: changes.append(None))
        try:
            await scene(qemu, bench, knowledge)
        finally:
            await knowledge.close()

    executing.played(with_knowledge, FakeQEMU(two_disks(), **options))
    return changes


def test_nothing_is_known_at_first() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, knowledge: VMCache) -> None:
        assert (knowledge.run_state, knowledge.snapshot_count) == (None, None)
        assert knowledge.facts.tags == ()
        assert not knowledge.is_fresh

    assert played(scene) == []


def test_look_tells_the_toolbars_numbers_and_what_to_complete() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, knowledge: VMCache) -> None:
        await bench.executor.hmp(HMPLine.read("savevm t1"))
        await knowledge.refresh()
        assert (knowledge.run_state, knowledge.snapshot_count) == ("running", 1)
        assert [tag.name for tag in knowledge.facts.tags] == ["t1"]
        assert [name.name for name in knowledge.facts.nodes] == ["d0", "d1", "d0-file", "d1-file"]
        assert knowledge.is_fresh

    assert len(played(scene)) == 1


def test_one_look_at_a_time() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, knowledge: VMCache) -> None:
        qemu.hold(LOOK, When.RECEIVED)
        first = knowledge.refresh()
        await qemu.reached(LOOK)
        assert [knowledge.refresh() for _ in range(10)] == [first] * 10
        assert not knowledge.is_fresh
        qemu.release()
        await first
        # The ten wishes came when the look had begun, so one more was made.
        assert qemu.commands.count(LOOK) == 2
        assert knowledge.refresh() is not first

    played(scene)


def test_wish_during_a_look_sees_what_happened_since() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, knowledge: VMCache) -> None:
        qemu.hold("query-status")
        looking = knowledge.refresh()
        await qemu.reached("query-status")
        qemu.vm.save_snapshot("late", overwrite=True)
        assert knowledge.refresh() is looking
        qemu.release()
        await looking
        assert knowledge.snapshot_count == 1

    assert len(played(scene)) == 2


def test_event_during_a_look_tells_more_than_the_answer_before_it() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, knowledge: VMCache) -> None:
        qemu.hold("query-memory-size-summary", When.RECEIVED)
        look = knowledge.refresh()
        await qemu.reached("query-memory-size-summary")
        knowledge.run_state = "paused"
        qemu.release()
        await look
        assert knowledge.run_state == "paused"
        assert knowledge.is_fresh

    assert len(played(scene)) == 1


def test_lost_connection_leaves_all_as_it_was() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, knowledge: VMCache) -> None:
        await bench.executor.hmp(HMPLine.read("savevm t1"))
        await knowledge.refresh()
        facts = knowledge.facts
        qemu.hold(LOOK)
        looking = knowledge.refresh()
        await qemu.reached(LOOK)
        qemu.disconnect()
        qemu.release()
        await looking
        assert (knowledge.facts, knowledge.run_state, knowledge.snapshot_count) == (facts, "running", 1)
        await knowledge.refresh()
        assert (knowledge.facts, knowledge.run_state, knowledge.snapshot_count) == (facts, "running", 1)

    assert len(played(scene)) == 1


def test_qemu_that_does_not_tell_its_nodes_tells_the_rest() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, knowledge: VMCache) -> None:
        await knowledge.refresh()
        assert (knowledge.run_state, knowledge.snapshot_count) == ("running", None)

    played(scene, vm_faults=VMFaults(is_graph_refused=True))


def test_close_ends_a_look_that_is_under_way() -> None:
    async def scene(qemu: FakeQEMU, bench: Bench, knowledge: VMCache) -> None:
        qemu.hold(LOOK)
        looking = knowledge.refresh()
        await qemu.reached(LOOK)
        await knowledge.close()
        assert looking.cancelled()
        await knowledge.close()
        qemu.release()

    played(scene)


# What the fake does not know, and what is no answer to it.
ANSWERS: Final[dict[str, Any]] = {
    "query-status": {"status": "paused"},
    "query-memory-size-summary": {"base-memory": 64, "plugged-memory": 8},
    "query-block": [],
    "query-named-block-nodes": [],
    "x-debug-query-block-graph": {"nodes": [], "edges": []},
    "qom-list": [{"name": "net0", "type": "child<e1000>"}],
    "human-monitor-command": "savevm tag -- save a VM snapshot\r\n",
    "query-qmp-schema": [{"name": "STOP", "meta-type": "event", "arg-type": "0"}],
    "query-commands": [],
    "query-name": {},
}


REFUSED: Final = {"error": {"class": "GenericError", "desc": "disabled by policy"}}


def loaded(**answers: Any) -> VMCache:
    """Load all from a QEMU that answers so. REFUSED is an error."""
    return loaded_on_record(**answers)[0]


def loaded_on_record(**answers: Any) -> tuple[VMCache, list[dict[str, Any]]]:
    """Do the same, and return what the prompt's own log has in the end, too."""
    known: list[tuple[VMCache, list[dict[str, Any]]]] = []

    async def run() -> None:
        values = ANSWERS | answers
        server = obeying(lambda name: REFUSED if values[name] is REFUSED else {"return": values[name]})
        with TemporaryDirectory(prefix="k", dir="/tmp") as folder:
            async with await asyncio.start_unix_server(server, f"{folder}/s"), executing.executing(f"{folder}/s") as bench:
                knowledge = VMCache(bench.executor, on_change=lambda: None)
                async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as tasks:
                    knowledge.load_soon(tasks)
                known.append((knowledge, bench.records))

    asyncio.run(run())
    return known[0]


def test_load_asks_for_everything() -> None:
    knowledge = loaded()
    assert (knowledge.run_state, knowledge.snapshot_count) == ("paused", 0)
    assert [name.name for name in knowledge.facts.qdev_ids] == ["net0"]
    assert [command.name for command in knowledge.facts.commands] == ["savevm"]
    assert knowledge.facts.events == ("STOP",)
    assert knowledge.ram_bytes == 72
    assert knowledge.graph is not None


@pytest.mark.parametrize("answer", [REFUSED, None, {}], ids=str)
def test_qemu_that_does_not_tell_its_ram_tells_the_rest(answer: Any) -> None:
    knowledge = loaded(**{"query-memory-size-summary": answer})
    assert (knowledge.run_state, knowledge.ram_bytes) == ("paused", None)


@pytest.mark.parametrize("answer", [{"qom-list": 5}, {"query-qmp-schema": [{}]}, {"query-qmp-schema": None}], ids=str)
def test_answer_that_cannot_be_read_is_no_end_of_the_prompt(answer: dict[str, Any]) -> None:
    knowledge = loaded(**answer)
    assert knowledge.facts.events == ()
    assert knowledge.snapshot_count == 0


def test_qemu_that_does_not_tell_its_state_tells_the_rest() -> None:
    knowledge = loaded(**{"query-status": REFUSED})
    assert (knowledge.run_state, knowledge.snapshot_count) == (None, 0)
    assert knowledge.facts.events == ("STOP",)


def test_help_that_is_no_text_is_none() -> None:
    knowledge = loaded(**{"human-monitor-command": {}})
    assert knowledge.facts.commands == ()
    assert knowledge.facts.events == ("STOP",)


def test_help_that_the_prompt_asks_for_is_on_record_as_housekeeping() -> None:
    _, records = loaded_on_record()
    told = [(record["command_line"], record["action"], record["housekeeping"], record["failed"]) for record in records]
    assert told == [("help", "passed", True, False), ("help info", "passed", True, False)]
    assert {record["client"]["tool"] for record in records} == {"hmp-repl"}
