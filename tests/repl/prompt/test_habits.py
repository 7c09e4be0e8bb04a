"""What a person has set, and JSON as it is typed, at the prompt of a modelled QEMU."""

from pathlib import Path
from typing import Final

import pytest

from repl.settings.values import Editing, Enter, KeyBinding, Perform, Question, Settings
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.repl.modelled_sitting import sit
from tests.support.repl.screen import CTRL_C, ENTER, TAB, UP, Person, pasted

F5: Final = "\x1b[15~"
STATUS: Final = '{"execute":\n"query-status"}'


def saved() -> FakeQEMU:
    qemu = FakeQEMU(two_disks())
    qemu.vm.save_snapshot("t", overwrite=False)
    return qemu


# -- the settings ---------------------------------------------------------------------------------------------------------


def test_start_says_which_vm_and_how_to_get_help() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        said = "vm1: QEMU 7.2.22, policy auto. Tab completes, 'help' lists all, 'exit' leaves."
        assert said in person.screen.text.splitlines()
        await person.runs("reconnect")
        assert person.screen.text.count("'exit' leaves") == 1

    sit(scene, FakeQEMU(), name="vm1")


def test_mistakes_are_told_and_the_prompt_is_there() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert "repl.toml:1: a: wrong\nrepl.toml:2: \\x1b: wrong" in person.screen.text
        assert "all events are shown" in await person.runs("events")

    sit(scene, FakeQEMU(), settings=Settings(mistakes=("repl.toml:1: a: wrong", "repl.toml:2: \x1b: wrong")))


def test_what_is_not_to_be_asked_is_not_and_the_rest_is() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert "hmp-repl does not ask before: replace, delete, quit." in person.screen.text.replace("\n", " ")
        assert "done: savevm t" in await person.runs("savevm t")
        person.type("loadvm t" + ENTER)
        await person.sees("Load it? [y/N]")
        person.type("n")
        await person.sees("not done")
        assert "done: delvm t" in await person.runs("delvm t")

    sit(scene, saved(), settings=Settings(asks=frozenset({Question.LOAD})))


def test_yes_asks_nothing_whatever_is_set_and_says_so() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert "hmp-repl does not ask before: replace, load, delete, quit." in person.screen.text.replace("\n", " ")
        assert "done: delvm t" in await person.runs("delvm t")

    sit(scene, saved(), asks=False)


def test_colours_are_the_persons() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.runs("events")
        assert person.screen.styled(lambda look: look.fg == "blue").strip() == "all events are shown"

    sit(scene, FakeQEMU(), settings=Settings(colors={"notice": "ansiblue"}))


@pytest.mark.parametrize("options", [{"is_vi": True}, {"settings": Settings(editing=Editing.VI)}])
def test_keys_are_those_of_vi(options: dict[str, object]) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.sees_toolbar("vi insert")

    sit(scene, FakeQEMU(), **options)


def test_key_enters_a_line_and_what_was_begun_comes_back() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type("savevm t1" + F5)
        await person.sees("hmp> events\nall events are shown")
        await person.sees_line("savevm t1")
        assert not qemu.vm.graph["d0"].count("t1")

    sit(scene, FakeQEMU(two_disks()), settings=Settings(keys=(KeyBinding(("f5",), Enter("events")),)))


def test_key_that_loads_asks_as_the_line_does() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(F5)
        await person.sees("Load it? [y/N]")
        person.type(CTRL_C)
        await person.sees("not done")

    sit(scene, saved(), settings=Settings(keys=(KeyBinding(("f5",), Enter("loadvm t")), KeyBinding(("f6",), Perform("undo")))))


# -- aliases --------------------------------------------------------------------------------------------------------------

ALIASES: Final = Settings(aliases={"s": "savevm", "d": "delvm", "e": "events", "l": "loadvm", "pw": "set_password vnc"})


def test_alias_shows_what_it_became_and_asks_as_that_does() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        said = (await person.runs("s t1")).splitlines()
        assert said[0] == "= savevm t1"
        assert said[-1].startswith("done: savevm t1 (")
        person.type("d t" + ENTER)
        await person.sees("= delvm t\n")
        await person.sees("Delete it? [y/N]")
        person.type("n")
        await person.sees("not done")
        assert qemu.vm.graph["d0"].count("t") == qemu.vm.graph["d0"].count("t1") == 1
        person.type(UP + UP)
        await person.sees_line("s t1")

    sit(scene, saved(), settings=ALIASES)


def test_fault_in_what_an_alias_became_is_shown_there() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        assert (
            await person.runs("l a b")
            == 'loadvm a b\n         ^ extraneous characters at the end of the line; a tag with blanks needs quotes: "a b"'
        )

    sit(scene, FakeQEMU(), settings=ALIASES)


def test_aliases_of_a_paste_are_written_out() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(pasted("e off\ne on") + ENTER)
        await person.sees("= events off\nno events are shown\n= events on\nall events are shown")

    sit(scene, FakeQEMU(), settings=ALIASES)


def test_tab_completes_after_an_alias() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await qemu.wait_received("query-qmp-schema")
        person.type("l ")
        await person.sees_line("l ")
        person.type(TAB)
        await person.sees_line("l t")

    sit(scene, saved(), settings=ALIASES)


# -- secrets --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["set_password vnc hunter2", "pw hunter2", '{"execute": "x", "arguments": {"password": "hunter2"}}']
)
def test_line_with_a_secret_is_not_kept_and_that_is_told_once(tmp_path: Path, line: str) -> None:
    path = tmp_path / "history"

    async def scene(person: Person, qemu: FakeQEMU) -> None:
        await person.runs("info name")
        await person.runs(line)
        await person.runs(line)
        assert person.screen.text.count("is not kept in the history") == 1
        person.type(UP)
        await person.sees_line("info name")

    sit(scene, FakeQEMU(), settings=ALIASES, history=path)
    assert "info name" in path.read_text()
    assert "hunter2" not in path.read_text()


# -- JSON as it is typed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("typed", [STATUS.replace("\n", ENTER), pasted(STATUS)], ids=["typed", "pasted"])
@pytest.mark.parametrize("is_vi", [False, True])
def test_json_goes_on_in_rows_until_it_is_whole(typed: str, is_vi: bool) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(typed + ENTER)
        await person.sees('hmp> {"execute":\n...> "query-status"}\n{\n')
        await person.sees('"status": "running"')
        await person.sees_prompt()
        person.type(UP)
        await person.sees('...> "query-status"}', times=2)

    sit(scene, FakeQEMU(), is_vi=is_vi)


@pytest.mark.parametrize(
    ("lines", "told"),
    [("\n# later\ninfo name\n\ninfo status", "2 more of the pasted lines were not run"), ("\n# later\n ", "")],
)
def test_lines_that_were_not_run_are_counted_without_blank_ones_and_comments(lines: str, told: str) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(pasted(f"delvm nosuch\n{lines}") + ENTER)
        await person.sees("nothing was done")
        await person.sees_prompt()
        assert ("were not run" in person.screen.text) is bool(told)
        assert told in person.screen.text

    sit(scene, saved())


def test_json_in_a_paste_is_one_of_its_lines() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(pasted(f'events off\n{STATUS}\nqmp job-dismiss {{\n"id": "x"}}\nevents on') + ENTER)
        await person.sees("GenericError: Job not found\n1 more of the pasted lines were not run")
        text = person.screen.text
        assert text.index("no events are shown") < text.index('"status": "running"')

    sit(scene, FakeQEMU())


def test_fault_in_json_stands_in_its_row() -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(f'{{"execute":{ENTER}"query-status" 1}}{ENTER}')
        await person.sees("\"query-status\" 1}\n               ^ not JSON: Expecting ',' delimiter\n")
        await person.sees_prompt()
        person.type("{" + ENTER)
        await person.sees("hmp> {\n...>")
        person.type(CTRL_C)
        await person.sees_prompt()

    sit(scene, FakeQEMU())


@pytest.mark.parametrize("line", ['{"execute": "quit"}', "qmp quit"])
def test_quit_by_qmp_asks_and_is_no_loss(line: str) -> None:
    async def scene(person: Person, qemu: FakeQEMU) -> None:
        person.type(line + ENTER)
        await person.sees("End the VM? [y/N]")
        person.type("n")
        await person.sees("not done")
        assert not qemu.vm.has_quit
        person.type(line + ENTER)
        await person.sees("End the VM? [y/N]", times=2)
        person.type("y")
        await person.sees("'reconnect' connects again")
        assert "is not known" not in person.screen.text

    sit(scene, FakeQEMU())
