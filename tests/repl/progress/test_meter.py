"""How far a command is, from what is under way: on a modelled QEMU whose images are files here."""

import asyncio
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from repl.progress.meter import Meter, image_paths
from repl.results import Running
from shim.client import Client
from shim.graph.blockgraph import BlockGraph, BlockNode
from shim.graph.snapshot_rows import SnapshotRows
from shim.qmp import Execute, ReturnReply
from shim.records.audit import SentCommand, Trace
from tests.support.proxy.running_vm_proxy import until

MIB = 1024 * 1024
NS_PER_S = 1_000_000_000
SAVE, LOAD = Execute("snapshot-save", {"tag": "t"}), Execute("snapshot-load", {"tag": "old"})
SAVED_FIRST = Execute("snapshot-save", {"tag": "hmprepl-1-t"})


class Scene:
    """A disk here with a snapshot of 4 MiB, and a command under way. now_s: what time it is."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.image = folder / "d0"
        self.image.write_bytes(b"")
        row = {"id": "1", "name": "old", "vm-state-size": 4 * MIB, "date-sec": 1, "vm-clock-sec": 0, "vm-clock-nsec": 0}
        disk = BlockNode("d0", "qcow2", children={"file": "f0"}, snapshots=SnapshotRows([row]))
        file = BlockNode("f0", "file", filename=str(self.image))
        self.graph: BlockGraph | None = BlockGraph({"d0": disk, "f0": file}, ("d0",))
        self.ram_bytes: int | None = 40 * MIB
        self.records: Mapping[str, float] = {}
        self.under_way: tuple[Execute, ...] = (SAVE,)
        self.running = self.begun()
        self.now_s = 100.0
        self.meter = Meter(lambda: self.graph, lambda: self.ram_bytes, lambda: self.records)
        monkeypatch.setattr(time, "monotonic_ns", lambda: round(self.now_s * NS_PER_S))

    def begun(self) -> Running:
        trace = Trace(datetime.now(UTC), 0, Client(), None)
        return Running("savevm t", trace, lambda: self.under_way)

    @property
    def text(self) -> str:
        return self.meter.text(self.running)

    async def tells(self, text: str) -> None:
        await until(lambda: self.text == text)

    async def has_looked(self) -> None:
        """Wait until the first look has come back, from which is counted."""
        assert self.meter._measured is not None
        course = self.meter._measured.course
        await until(lambda: course._seen)

    def writes(self, mib: int) -> None:
        with self.image.open("ab") as file:
            file.write(os.urandom(mib * MIB))
            file.flush()
            os.fsync(file.fileno())


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(tmp_path, monkeypatch)


def test_nothing_is_told_where_nothing_is_saved_or_loaded(scene: Scene) -> None:
    scene.under_way = (Execute("query-jobs"),)
    assert scene.text == ""
    assert scene.meter.text(None) == ""


def test_save_is_measured_by_the_image_and_the_newest_state(scene: Scene) -> None:
    async def main() -> None:
        assert scene.text == ""
        await scene.has_looked()
        scene.writes(1)
        scene.now_s += 2
        await scene.tells("about 25 %, about 6 s left")

    asyncio.run(main())


def test_what_is_moved_before_the_first_sight_counts_where_it_was_prepared(scene: Scene) -> None:
    async def main() -> None:
        scene.meter.prepare("info name")
        assert scene.meter._measured is None
        scene.meter.prepare("savevm t")
        await scene.has_looked()
        scene.writes(1)
        scene.now_s += 0.9
        await scene.tells("about 25 %")

    asyncio.run(main())


@pytest.mark.parametrize(("line", "later_s"), [("savevm t", 1.0), ("loadvm old", 0.1)])
def test_what_was_prepared_long_ago_or_for_another_command_is_of_no_use(scene: Scene, line: str, later_s: float) -> None:
    async def main() -> None:
        scene.meter.prepare(line)
        assert scene.meter._measured is not None
        prepared = scene.meter._measured
        scene.now_s += later_s
        assert scene.text == ""
        assert scene.meter._measured is not prepared
        await scene.has_looked()
        await until(lambda: not prepared.looks._is_out)

    asyncio.run(main())


def test_first_save_is_measured_by_the_ram(scene: Scene) -> None:
    assert scene.graph is not None
    nodes = dict(scene.graph.nodes)
    nodes["d0"] = BlockNode("d0", "qcow2", children={"file": "f0"})
    scene.graph = BlockGraph(nodes, ("d0",))

    async def main() -> None:
        assert scene.text == ""
        await scene.has_looked()
        scene.writes(4)
        scene.now_s += 2
        await scene.tells("at least 10 %, at most 20 s left")

    asyncio.run(main())


def test_image_is_looked_at_twice_a_second_at_most(scene: Scene) -> None:
    async def main() -> None:
        assert scene.text == ""
        await scene.has_looked()
        assert scene.meter._measured is not None
        seen = scene.meter._measured.course._seen
        scene.now_s += 0.4
        assert scene.text == ""
        assert not scene.meter._measured.looks._is_out
        scene.now_s += 0.2
        assert scene.text == ""
        await until(lambda: len(seen) == 2)

    asyncio.run(main())


def test_load_and_disk_elsewhere_are_measured_by_the_log(scene: Scene) -> None:
    scene.graph, scene.under_way, scene.records = None, (LOAD,), {"loadvm": 10.0, "savevm": 99.0}

    async def main() -> None:
        scene.now_s = 104
        assert scene.text == ""
        await scene.tells("about 0 %, about 10 s left")
        scene.now_s += 4
        assert scene.text == "about 40 %, about 6 s left"

    asyncio.run(main())


def test_own_commands_are_the_later_ones(scene: Scene) -> None:
    scene.graph, scene.records = None, {"savevm": 10.0}
    scene.meter.learn("savevm", 20 * NS_PER_S)

    async def main() -> None:
        assert scene.text == "about 0 %, about 20 s left"
        await until(lambda: scene.meter._of_log)
        assert scene.text == "about 0 %, about 20 s left"
        scene.under_way, scene.running = (LOAD,), scene.begun()
        assert scene.text == ""

    asyncio.run(main())


def test_what_was_somebody_elses_is_measured_anew(scene: Scene) -> None:
    scene.graph = None
    scene.meter.learn("savevm", 20 * NS_PER_S)

    async def main() -> None:
        assert scene.text == "about 0 %, about 20 s left"
        scene.now_s += 10
        assert scene.text == "about 50 %, about 10 s left"
        scene.meter.forget()
        scene.meter._take_earlier({})
        assert scene.text == "about 0 %, about 20 s left"

    asyncio.run(main())


def test_two_saves_that_are_one_command_are_measured_as_one(scene: Scene) -> None:
    scene.under_way = (SAVED_FIRST,)

    async def main() -> None:
        assert scene.text == ""
        await scene.has_looked()
        scene.writes(4)
        scene.now_s += 2
        await scene.tells("about 50 %, about 2 s left")
        scene.running.trace.sent.append(SentCommand(SAVED_FIRST, 1, ReturnReply({}), 2))
        scene.under_way = (Execute("snapshot-delete"),)
        assert scene.text == "about 50 %, about 2 s left"
        scene.under_way = (SAVE,)
        scene.writes(2)
        scene.now_s += 1
        await scene.tells("about 75 %, about 1 s left")

    asyncio.run(main())


def test_first_save_counts_twice_as_soon_as_that_is_known(scene: Scene) -> None:
    async def main() -> None:
        assert scene.text == ""
        assert scene.meter._measured is not None
        scene.under_way = (SAVED_FIRST,)
        assert scene.text == ""
        assert scene.meter._measured.course.parts == 2
        await scene.has_looked()

    asyncio.run(main())


def test_next_command_that_saves_nothing_is_not_measured(scene: Scene) -> None:
    scene.graph = None
    scene.meter.learn("savevm", 20 * NS_PER_S)

    async def main() -> None:
        assert scene.text != ""
        scene.running, scene.under_way = scene.begun(), (Execute("query-status"),)
        assert scene.text == ""

    asyncio.run(main())


def test_files_of_all_disks_that_are_saved_are_looked_at(scene: Scene) -> None:
    assert scene.graph is not None
    disk, file = scene.graph.nodes["d0"], scene.graph.nodes["f0"]
    remote = BlockNode("r", "rbd")
    second = BlockNode("d1", "qcow2", children={"file": "f0"})
    read_only = BlockNode("ro", "qcow2", is_read_only=True, children={"file": "f0"})
    raw = BlockNode("raw", "raw", children={"file": "f0"})
    nodes = {node.name: node for node in (disk, file, remote, second, read_only, raw)}
    graph = BlockGraph(nodes, ("r", "ro", "raw", "d0", "d1"))
    assert image_paths(graph) == [str(scene.image)]
    assert image_paths(BlockGraph({"r": remote}, ("r",))) == []
