"""The table of snapshots, plans and help, on a modelled QEMU."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

import pytest

from repl.executor import Executor
from repl.lines.lines import OWN_COMMANDS
from repl.output.layout import Fragments
from repl.output.printed import Printed, text_of
from repl.prompt.answers import help_text, hmp_printed, plan_text, qmp_printed, snapshots_text
from repl.results import HMPResult
from shim.hmp.line import HMPLine
from shim.qmp import ErrorReply, ReturnReply
from tests.fakes import commands
from tests.fakes.qemu import FakeQEMU, Snapshot, VMFaults, disk, two_disks
from tests.support.repl import executing
from tests.support.repl.executing import Bench
from tests.support.repl.qemu_facts import SCHEMA

Ask = Callable[[Executor], Awaitable[Fragments | Printed | None]]


def asked(ask: Ask, *tags: str, **options: Any) -> str | None:
    found: list[Fragments | Printed | None] = []

    async def scene(qemu: FakeQEMU, bench: Bench) -> None:
        for tag in tags:
            qemu.vm.save_snapshot(tag, overwrite=True)
        before = [node.snapshots[:] for node in qemu.vm.graph.nodes]
        found.append(await ask(bench.executor))
        assert [node.snapshots for node in qemu.vm.graph.nodes] == before

    executing.played(scene, FakeQEMU(**({"nodes": two_disks()} | options)))
    if isinstance(found[0], Printed):
        return found[0].kept
    return None if found[0] is None else "".join(text for _, text in found[0])


# -- snapshots ------------------------------------------------------------------------------------------------------------


def test_snapshots_are_a_table() -> None:
    shown = asked(lambda executor: snapshots_text(executor, width=100), "one", "two words")
    assert shown is not None
    assert [line.split("  ")[0] for line in shown.splitlines()] == ["TAG", "two words", "one"]


def test_repair_names_the_tag_as_hmp_reads_it() -> None:
    async def look(executor: Executor) -> Fragments | None:
        return await snapshots_text(executor, width=100)

    twice = [Snapshot(id, "two words", size) for id, size in (("1", 9), ("2", 0))]
    shown = asked(look, nodes=disk("d0", device="", snapshots=twice))
    assert shown is not None
    assert 'delvm "two words"' in shown


def test_hostile_tag_is_harmless_in_the_table() -> None:
    shown = asked(lambda executor: snapshots_text(executor, width=100), "\x1b[2J\u202e")
    assert shown is not None
    assert shown.replace("\n", "").isprintable()


def test_no_snapshots() -> None:
    shown = asked(lambda executor: snapshots_text(executor, width=100))
    assert shown == "There is no snapshot. To make one: savevm NAME\n"


def test_no_table_of_a_qemu_that_does_not_tell_its_nodes() -> None:
    refused = VMFaults(is_graph_refused=True)
    assert asked(lambda executor: snapshots_text(executor, width=100), "t", vm_faults=refused) is None


# -- what is kept of it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("is_raw", "kept"), [(False, "\x1b[2J\nend"), (True, "\x1b[2J\r\nend")])
def test_what_hmp_prints_is_harmless_on_the_screen_and_as_it_is_in_a_file(is_raw: bool, kept: str) -> None:
    async def look(executor: Executor) -> Printed:
        result = HMPResult("\x1b[2J\r\nend", False, 0, 0)
        printed = await hmp_printed(executor, HMPLine.read("ringbuf_read c 9"), result, is_raw=is_raw, width=80)
        assert text_of(printed.shown) == "\\x1b[2J\nend\n"
        return printed

    assert asked(look) == kept


@pytest.mark.parametrize(("is_raw", "is_failure", "begin"), [(False, False, "TAG"), (True, False, "hmp"), (False, True, "hmp")])
def test_snapshots_are_kept_as_they_are_shown(is_raw: bool, is_failure: bool, begin: str) -> None:
    async def look(executor: Executor) -> Printed:
        result = HMPResult("hmp's", is_failure, 0, 0)
        return await hmp_printed(executor, HMPLine.read("info snapshots"), result, is_raw=is_raw, width=100)

    kept = asked(look, "one")
    assert kept is not None
    assert kept.startswith(begin)


def test_lost_connection_leaves_what_hmp_has_printed() -> None:
    async def look(executor: Executor) -> Printed:
        await executor.link.close()
        result = HMPResult("hmp's", False, 0, 0)
        return await hmp_printed(executor, HMPLine.read("info snapshots"), result, is_raw=False, width=100)

    assert asked(look, "one") == "hmp's"


def test_what_qmp_returns_is_kept_as_json_whatever_is_in_it() -> None:
    value = {"tag": "\x1b\u202e\x9b"}
    assert json.loads(qmp_printed(ReturnReply(value)).kept) == value
    assert qmp_printed(ErrorReply("GenericError", "no")).kept == "GenericError: no\n"


# -- plans ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [30, 60, 80, 120, 400])
@pytest.mark.parametrize("line", ["savevm t", "savevm", "loadvm t", "delvm t", "info snapshots"])
def test_plan_fits_and_tells_commands(line: str, width: int) -> None:
    shown = asked(lambda executor: plan_text(executor, HMPLine.read(line), width=width), "t")
    assert shown is not None
    assert max(map(len, shown.splitlines())) <= width
    known = {"savevm t": "replaces", "savevm": "snapshot-save", "loadvm t": "snapshot-load", "delvm t": "snapshot-delete"}
    expected = known.get(line, "")
    assert expected in "".join(shown.split())


def test_plan_of_no_snapshot_command_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no snapshot command: stop"):
        asked(lambda executor: plan_text(executor, HMPLine.read("stop"), width=80))


# -- help -----------------------------------------------------------------------------------------------------------------


def test_help_of_one_of_our_commands_asks_nobody() -> None:
    for command in OWN_COMMANDS:
        if command.name not in ("help", "qmp"):
            shown = asked(partial(help_text, width=80, topic=command.name))
            assert shown == f"{' '.join([command.name, *command.arguments.split(maxsplit=0)])} -- {command.text}\n"


def test_help_of_a_command_of_qemus_is_qemus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "run_hmp", lambda vm, line: f"{line} -- as QEMU says\n")
    assert asked(partial(help_text, width=80, topic="info")) == "help info -- as QEMU says\n"


def test_help_that_there_is_none_of_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """QEMU then prints nothing."""
    monkeypatch.setattr(commands, "run_hmp", lambda vm, line: "")
    assert asked(partial(help_text, width=80, topic="no\x1b")) == "there is no help for 'no\\x1b'\n"


def test_help_lists_ours_below_qemus_where_they_stay_in_sight() -> None:
    async def look(executor: Executor) -> Printed:
        told.append(await help_text(executor, "", width=80))
        return told[0]

    told: list[Printed] = []
    shown = asked(look)
    assert shown is not None
    assert shown.startswith("QEMU's monitor\n")
    foot = text_of(told[0].foot)
    assert shown.endswith(foot)
    assert foot.startswith("At this prompt\n")
    assert all(command.text in foot for command in OWN_COMMANDS)


def test_help_of_qmp_is_the_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = commands.Command(lambda vm, arguments: SCHEMA)
    monkeypatch.setitem(cast(dict[str, commands.Command], commands.COMMANDS), "query-qmp-schema", schema)
    help_of = partial(help_text, width=80)
    assert asked(partial(help_of, topic="qmp stop")) == "stop\ntakes no arguments\nreturns nothing\n"
    assert asked(partial(help_of, topic="qmp stpo")) == "unknown QMP command 'stpo'; did you mean 'stop'?\n"
    shown = asked(partial(help_of, topic="qmp"))
    assert shown is not None
    assert shown.startswith("qmp command [{json} | key=value ...] -- run a QMP command\nQMP commands\n  device_add ")


@pytest.mark.parametrize("synonym", [r"\q", ".quit", ":q"])
def test_help_of_a_synonym_is_that_of_our_command(synonym: str) -> None:
    assert asked(partial(help_text, width=80, topic=synonym)) == asked(partial(help_text, width=80, topic="exit"))
