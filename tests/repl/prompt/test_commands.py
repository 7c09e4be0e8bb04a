"""What lines do at a modelled QEMU, as seen. tests/integration/prompt/test_console.py and test_app.py sit before a real one."""

import re
from dataclasses import replace
from typing import Any, Final

import pytest

from repl.prompt.commands import Commands
from repl.vm_cache import VMCache
from shim.graph.policy import FailedLoad, Mode, Policy
from shim.qmp import QEMUVersion
from tests.fakes.block import disk
from tests.fakes.qemu import FakeQEMU, VMFaults, two_disks
from tests.support.raw_client import DEADLINE_S
from tests.support.repl.hanging_files import hanging_files
from tests.support.repl.known_names import FACTS as NAMING
from tests.support.repl.modelled_sitting import sit
from tests.support.repl.printing_qemu import sit_reading
from tests.support.repl.screen import CTRL_C, ENTER, RIGHT, TAB, UP, Person, pasted
from tests.support.repl.typed_lines import FACTS
from tests.support.shim.graphs import V7_2, V11_1

# On a busy machine it takes longer than a second.
TIME: Final = r"(?:\d+ ms|[\d.]+ s)"
DONE: Final = rf"done: {{}} \({TIME}{{}}\)"
STOOD_STILL: Final = rf"; the VM stood still for {TIME}"


def saved(tag: str = "t", **options: Any) -> FakeQEMU:
    """Return a VM with two disks and a snapshot."""
    qemu = FakeQEMU(two_disks(), **options)
    qemu.vm.save_snapshot(tag, overwrite=True)
    return qemu


def test_end_of_a_snapshot_command_is_told() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.runs("savevm t")
        await person.sees_match(DONE.format("savevm t", STOOD_STILL))
        await person.sees_toolbar("│ 1 snapshot")
        said = await person.runs("loadvm nosuch")
        assert "Error: Snapshot 'nosuch' does not exist in one or more devices\nfailed: loadvm nosuch (" in said
        assert re.fullmatch(DONE.format("delvm t", ""), await person.runs("delvm t"))
        assert "[y/N]" not in person.screen.text
        assert qemu.vm.graph["d0"].snapshots == []

    sit(scene, FakeQEMU(two_disks()), asks=False)


def test_what_qemu_answers_is_shown_without_more() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert await person.runs("info status") == "unknown command: 'info status'"
        assert await person.runs("") == ""

    sit(scene, FakeQEMU())


@pytest.mark.parametrize("version", [V7_2, V11_1], ids=str)
def test_disks_that_cannot_hold_snapshots_are_explained(version: QEMUVersion) -> None:
    """To 11.1 that is an error, and to 7.2 it is not."""

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        said = await person.runs("info snapshots")
        assert said.startswith("No snapshot can be seen now.\n  ! unable: d0 (format raw)")

    sit(scene, FakeQEMU(disk("d0", "raw", device=""), version=version))


@pytest.mark.parametrize(("key", "is_done"), [("y", True), ("n", False)])
def test_what_is_lost_is_asked_for(key: str, is_done: bool) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("delvm t" + ENTER)
        assert "removes 't' of " in await person.sees("Delete it? [y/N]")
        person.type(key)
        await person.sees("done: delvm t" if is_done else "\nnot done\n")
        await person.sees_prompt()
        assert qemu.vm.graph["d0"].count("t") == (0 if is_done else 1)

    sit(scene, saved())


def test_snapshots_are_a_table_for_a_person_and_raw_is_hmps() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        heads.append((await person.runs("info snapshots")).splitlines()[0].split())

    heads: list[list[str]] = []
    sit(scene, saved())
    sit(scene, saved(), is_raw=True)
    # Without the graph there is nothing to make a table of.
    sit(scene, saved(vm_faults=VMFaults(is_graph_refused=True)))
    assert [" ".join(words)[:9] for words in heads] == ["TAG VM ST", "List of s", "List of s"]


def test_plan_help_and_qmp_are_shown() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert "snapshot-save" in await person.runs("plan savevm t")
        assert await person.runs("help reconnect") == "reconnect -- connect to QEMU again"
        assert '"status": "running"' in await person.runs("qmp query-status")
        assert await person.runs("qmp job-dismiss id=none") == "GenericError: Job not found"
        assert qemu.vm.graph["d0"].snapshots == []

    sit(scene, FakeQEMU(two_disks()))


def test_paste_ends_at_the_first_line_that_fails() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(pasted("savevm a\nloadvm nosuch\nsavevm b\nsavevm c") + ENTER)
        await person.sees("2 more of the pasted lines were not run")
        await person.sees_prompt()
        assert [snapshot.name for snapshot in qemu.vm.graph["d0"].snapshots] == ["a"]

    sit(scene, FakeQEMU(two_disks()), asks=False)


def test_of_a_paste_with_a_wrong_line_nothing_is_run() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(pasted("savevm t\nloadvm\ninfo name") + ENTER)
        await person.sees("loadvm\n      ^ loadvm needs a tag\nNothing of what was pasted was run; Up brings it back.")
        await person.sees_prompt()
        assert qemu.vm.graph["d0"].snapshots == []

    sit(scene, FakeQEMU(two_disks()))


def test_exit_leaves_and_what_is_pasted_below_it_is_not_run() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(pasted("exit\nsavevm t") + ENTER)
        await person.until_gone()
        assert qemu.vm.graph["d0"].snapshots == []

    sit(scene, FakeQEMU(two_disks()))


# -- lines that are wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["loadvm", 'savevm "a', "savevm a b", "plan", "events on x"])
def test_line_that_is_refused_does_not_swallow_the_next(wrong: str) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert "^ " in await person.runs(wrong)
        assert await person.runs("events") == "all events are shown"
        # Also where both are typed at once.
        person.type(f"{wrong}{ENTER}events off{ENTER}")
        await person.sees("hmp> events off\nno events are shown")
        await person.sees_prompt()
        person.type(UP + UP)
        await person.sees_line(wrong)

    sit(scene, FakeQEMU())


def test_paste_at_a_question_is_the_next_line() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("delvm t" + ENTER)
        await person.sees("Delete it? [y/N]")
        person.type(pasted("events") + "n")
        await person.sees_line("events")
        assert qemu.vm.graph["d0"].count("t") == 1

    sit(scene, saved())


async def knows_all(person: Person, qemu: FakeQEMU) -> None:
    """Tell the prompt what the model does not say of itself, after all that it asks for by itself."""
    await qemu.wait_received("query-qmp-schema")
    assert person.console is not None
    person.console.knowledge.facts = FACTS


@pytest.mark.parametrize("key", [TAB, RIGHT, "\x05"])
@pytest.mark.parametrize(
    ("wrong", "mark", "right"),
    [
        ("evnets", "     ^ unknown command 'evnets'; did you mean 'events'?", "events"),
        (" evnets off ", "      ^ unknown command 'evnets'; did you mean 'events'?", " events off "),
        ("info sttus", "          ^ unknown topic of info 'sttus'; did you mean 'status'?", "info status"),
        ("qmp stpo", "         ^ unknown QMP command 'stpo'; did you mean 'stop'?", "qmp stop"),
        ("help qmp stpo", "              ^ unknown QMP command 'stpo'; did you mean 'stop'?", "help qmp stop"),
    ],
)
def test_tab_fills_in_what_was_meant_and_runs_nothing(key: str, wrong: str, mark: str, right: str) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await knows_all(person, qemu)
        said = await person.runs(wrong)
        before = len(qemu.commands)
        assert said.splitlines()[-2:] == [mark, "Tab puts the corrected text on the empty line."]
        person.type(key)
        await person.sees_line(right)
        assert "stop" not in qemu.commands[before:]

    sit(scene, FakeQEMU())


def test_correction_is_for_the_line_after_the_refused_one_only() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await knows_all(person, qemu)
        await person.runs("evnets off")
        assert person.console is not None
        commands: Commands = person.console.commands
        assert commands.correction == person.console.correction == "events off"
        await person.runs("events")
        assert commands.correction is None
        person.type(RIGHT + "x")
        await person.sees_line("x")

    sit(scene, FakeQEMU())


def test_tab_mends_a_paste_in_its_place() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await knows_all(person, qemu)
        person.type(pasted("events off\nevnets\nevents on") + ENTER)
        await person.sees("Up brings it back")
        assert "no events are shown" not in person.screen.text
        await person.sees_prompt()
        person.type(TAB + ENTER)
        await person.sees("no events are shown\nno events are shown\nall events are shown")

    sit(scene, FakeQEMU())


# -- tags -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["loadvm", "delvm"])
@pytest.mark.parametrize("asks", [True, False])
def test_missing_tag_is_refused_and_tab_fills_in_the_nearest(command: str, asks: bool) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        said = await person.runs(f"{command} befor")
        assert said.startswith("Error: ")
        assert f"\nfailed: {command} befor (" in said
        hint = "nothing was done: no disk has 'befor'; did you mean 'before it'? 'info snapshots' lists all; Tab puts it on the"
        assert said.replace("\n", "").endswith(f"{hint} empty line")
        assert qemu.vm.run_state == "running"
        assert not {"snapshot-load", "snapshot-delete", "human-monitor-command"} & set(qemu.commands[at_first[0] :])
        person.type(TAB)
        await person.sees_line(f'{command} "before it"')

    async def known(person: Person, qemu: FakeQEMU) -> None:
        await qemu.wait_received("query-qmp-schema")
        at_first.append(len(qemu.commands))
        await scene(person, qemu)

    at_first: list[int] = []
    sit(known, saved("before it"), asks=asks)


@pytest.mark.parametrize(
    "options", [{"hmp_errors": True}, {"policy": Policy(failed_load=FailedLoad.HMP)}, {"policy": Policy(mode=Mode.OBSERVE)}]
)
def test_missing_tag_is_left_to_qemu_where_that_is_wanted(options: dict[str, Any]) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        said = await person.runs("loadvm t1")
        assert "Error: Snapshot 't1' does not exist in one or more devices\nfailed: loadvm t1 (" in said
        assert "did you mean" not in said
        assert qemu.vm.run_state == "restore-vm"

    sit(scene, saved(), asks=False, **options)


def test_mended_tag_brings_back_the_rest_of_a_paste() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(pasted("events off\ndelvm t1\nevents on") + ENTER)
        await person.sees("1 more of the pasted lines were not run")
        await person.sees_prompt()
        person.type(TAB + ENTER)
        await person.sees("done: delvm t (")
        await person.sees("all events are shown")

    sit(scene, saved("t"), asks=False)


def test_savevm_without_a_tag_names_it() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        said = await person.runs("savevm")
        tag = qemu.vm.graph["d0"].snapshots[-1].name
        assert re.fullmatch(r"vm-\d{14}", tag)
        assert said.endswith(f"\nsaved as {tag}")

    sit(scene, saved())


# -- words of other prompts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["exit", r"\q", ":q", ".exit", " .quit "])
def test_what_leaves_other_prompts_leaves_this_one_and_the_vm_goes_on(word: str) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(word + ENTER)
        await person.until_gone()
        assert not qemu.vm.has_quit

    sit(scene, FakeQEMU())


@pytest.mark.parametrize("line", ["# quit", "#quit", "  # savevm t", '# "', "#\ufffe"])
def test_comment_does_nothing(line: str) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert await person.runs(line) == ""
        assert not qemu.vm.has_quit

    sit(scene, FakeQEMU())


def test_clear_empties_the_screen() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.runs("events")
        person.type("clear" + ENTER)
        await person.until(lambda: "all events" not in "\n".join(person.screen.lines), "an empty screen")
        await person.sees_prompt()
        assert person.screen.cursor[0] == 0

    sit(scene, FakeQEMU())


@pytest.mark.parametrize("word", [r"\?", "?", ".help", "help"])
def test_help_has_its_other_names(word: str) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert await person.runs(f"{word} reconnect") == "reconnect -- connect to QEMU again"
        assert "At this prompt\n" in await person.runs(word)

    sit(scene, FakeQEMU())


def test_quit_is_qemus_and_asks() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("quit" + ENTER)
        await person.sees("End the VM? [y/N]")
        person.type(CTRL_C)
        await person.sees("not done")
        assert not qemu.vm.has_quit

    sit(scene, FakeQEMU())


# -- names ----------------------------------------------------------------------------------------------------------------

NOT_FOUND: Final = "Error: Device 'd00' not found\n"


def knows_commands(person: Person) -> VMCache:
    """Make the commands be known with which these tests misspell a name."""
    assert person.console is not None
    knowledge = person.console.knowledge
    knowledge.facts = replace(knowledge.facts, commands=NAMING.commands, topics=NAMING.topics)
    return knowledge


def corrected(person: Person) -> str | None:
    assert person.console is not None
    return person.console.correction


@pytest.mark.parametrize(
    ("told", "is_corrected"),
    [("Error: 'usb-tablte' is not a valid device model name\n", True), ("Error: no such bus\n", False)],
)
def test_tab_fills_in_the_nearest_name(monkeypatch: pytest.MonkeyPatch, told: str, is_corrected: bool) -> None:
    """What QEMU says comes first: the hint is about it."""

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        knows_commands(person)
        said = await person.runs("device_add usb-tablte")
        hint = "\ndid you mean 'usb-tablet'? Tab puts it on the empty line" if is_corrected else ""
        assert said == told.strip() + hint
        assert corrected(person) == ("device_add usb-tablet" if is_corrected else None)

    sit_reading(scene, monkeypatch, printed=lambda line: told)


@pytest.mark.parametrize(("begin", "rest"), [("", " | grep ro"), (" ", "|cat"), ("", " > out"), ("  ", ' >> "two words"')])
def test_corrected_line_has_its_outlet(monkeypatch: pytest.MonkeyPatch, begin: str, rest: str) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        knows_commands(person)
        person.type(f"{begin}info block d00{rest}{ENTER}")
        await person.sees("did you mean 'd0'?")
        await person.sees_prompt()
        person.type(TAB)
        await person.sees_line(f"{begin}info block d0{rest}")

    sit_reading(scene, monkeypatch, printed=lambda line: NOT_FOUND)


def test_corrected_line_brings_back_the_rest_of_a_paste(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        knows_commands(person)
        person.type(pasted("info block d00 | cat\ninfo block") + ENTER)
        await person.sees("1 more of the pasted lines were not run")
        await person.sees_prompt()
        assert corrected(person) == "info block d0 | cat\ninfo block"

    sit_reading(scene, monkeypatch, printed=lambda line: NOT_FOUND)


@pytest.mark.parametrize("told", ["", "out\n", "Error: no\n"])
def test_command_does_not_wait_for_names_that_nobody_misspelled(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    """A list of files on a disk that hangs is never there."""

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        monkeypatch.setattr("repl.output.near_names._NAMES_S", 2 * DEADLINE_S)
        with hanging_files(monkeypatch, knows_commands(person).answers):
            assert await person.runs("info block") == told.strip()

    sit_reading(scene, monkeypatch, printed=lambda line: told)


def test_command_that_is_left_while_names_are_asked_for_is_told_and_corrects_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """By then Tab is for what the person types now."""

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        monkeypatch.setattr("repl.output.near_names._NAMES_S", 2 * DEADLINE_S)
        knows_commands(person)
        qemu.hold("query-migrate-capabilities")
        person.type("migrate_set_capability xbzrl on" + ENTER)
        await qemu.reached("query-migrate-capabilities")
        await person.sees("(Ctrl-C: do not wait)")
        person.type(CTRL_C)
        await person.sees("its end will be reported here")
        await person.sees_prompt()
        assert "Error: " not in person.screen.text
        qemu.release()
        await person.sees("Error: invalid parameter value: xbzrl\n")
        await person.sees_match(r"did you mean 'xbzrle'\?\n")
        assert corrected(person) is None

    sit_reading(scene, monkeypatch, printed=lambda line: "Error: invalid parameter value: xbzrl\n")
