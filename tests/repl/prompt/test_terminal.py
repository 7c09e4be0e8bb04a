"""What outlasts a line: text above the prompt in its order, questions, and the progress of a command."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable

import pytest

from repl.output.layout import Fragments
from repl.prompt.terminal import Terminal
from tests.support.raw_client import DEADLINE_S
from tests.support.repl.desk import Desk, at_desk
from tests.support.repl.screen import CTRL_C, CTRL_D, ENTER, ESCAPE, F4, TAB, UP, pasted


def played(scene: Callable[[Desk], Awaitable[None]]) -> str:
    """Play a scene and give what is on the screen then."""

    async def run() -> str:
        async with at_desk(Terminal()) as desk, asyncio.timeout(DEADLINE_S):
            await scene(desk)
            await desk.terminal.drain()
            return desk.screen.text

    return asyncio.run(run())


# -- show -----------------------------------------------------------------------------------------------------------------


def test_lines_are_shown_in_their_order() -> None:
    async def scene(desk: Desk) -> None:
        for number in range(100):
            desk.terminal.show([("", f"{number}"), ("class:tag", "!")])
        desk.terminal.notice("notice")
        desk.terminal.error("error\n")
        desk.terminal.show([])

    assert played(scene).splitlines() == [*(f"{number}!" for number in range(100)), "notice", "error"]


def test_what_is_shown_while_a_line_is_typed_stands_above_it() -> None:
    async def scene(desk: Desk) -> None:
        line = asyncio.create_task(desk.next_line())
        desk.keyboard.send_text("ab")
        await desk.sees("> ab")
        desk.terminal.notice("above")
        await desk.terminal.drain()
        await desk.sees("above\n> ab")
        desk.keyboard.send_text("c" + ENTER)
        assert await line == "abc"

    assert played(scene) == "above\n> abc"


def test_storm_is_bounded_and_counted() -> None:
    async def scene(desk: Desk) -> None:
        for number in range(5000):
            desk.terminal.show([("", f"event {number}")])

    lines = played(scene).splitlines()
    assert lines[0] == "(older lines were dropped: 4000)"
    assert lines[1:] == [f"event {number}" for number in range(4000, 5000)]


def test_what_is_shown_after_a_storm_is_not_counted_to_it() -> None:
    async def scene(desk: Desk) -> None:
        for number in range(1001):
            desk.terminal.show([("", f"event {number}")])
        await desk.terminal.drain()
        desk.terminal.notice("later")

    lines = played(scene).splitlines()
    assert lines[0] == "(older lines were dropped: 1)"
    assert lines[-2:] == ["event 1000", "later"]


def test_drain_waits_for_nothing_where_nothing_is_to_show() -> None:
    assert played(lambda desk: desk.terminal.drain()) == ""


@pytest.mark.parametrize(("kind", "shown"), [("xterm", "after"), ("dumb", "before after")])
def test_clear_empties_a_screen_that_can_be_emptied(monkeypatch: pytest.MonkeyPatch, kind: str, shown: str) -> None:
    monkeypatch.setenv("TERM", kind)

    async def scene(desk: Desk) -> None:
        desk.terminal.show([("", "before")])
        await desk.terminal.clear()
        desk.terminal.show([("", "after")])

    assert " ".join(played(scene).split()) == shown


# -- ask ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "is_yes"),
    [
        *(("y", True), ("Y", True), ("xqy", True), (pasted("y") + TAB + "y", True), (UP + F4 + "y", True)),
        *(("n", False), ("N", False), (ENTER, False), (CTRL_C, False), (CTRL_D, False), (ESCAPE, False)),
        *((" n", False), ("ny", False), (pasted("y") + ENTER, False)),
    ],
)
def test_only_y_is_a_yes(keys: str, is_yes: bool) -> None:
    async def scene(desk: Desk) -> None:
        asking = asyncio.create_task(desk.terminal.ask("Sure?"))
        await desk.sees("Sure? [y/N]")
        desk.keyboard.send_text(keys)
        assert await asking is is_yes

    assert played(scene).splitlines() == [f"Sure? [y/N] {'yes' if is_yes else 'no'}"]


@pytest.mark.parametrize(("key", "word"), [("y", "yes"), ("n", "no")])
def test_terminal_that_cannot_move_its_cursor_is_asked_too(monkeypatch: pytest.MonkeyPatch, key: str, word: str) -> None:
    monkeypatch.setenv("TERM", "dumb")

    async def scene(desk: Desk) -> None:
        asking = asyncio.create_task(desk.terminal.ask("Sure?"))
        await desk.sees("Sure? [y/N]")
        desk.keyboard.send_text(key)
        assert await asking is (key == "y")
        assert "\x1b" not in desk.screen.written

    assert played(scene) == f"Sure? [y/N] {word}"


def test_what_was_typed_before_the_question_is_no_answer_but_the_next_line() -> None:
    """Also what nobody has read yet."""

    async def scene(desk: Desk) -> None:
        desk.keyboard.send_text("y")
        asking = asyncio.create_task(desk.terminal.ask("Sure?"))
        await desk.sees("Sure? [y/N]")
        assert not asking.done()
        desk.keyboard.send_text("n" + "es" + ENTER)
        assert await asking is False
        assert await desk.next_line() == "yes"

    played(scene)


def test_event_during_a_question_is_shown_above_it() -> None:
    async def scene(desk: Desk) -> None:
        asking = asyncio.create_task(desk.terminal.ask("Sure?"))
        await desk.sees("Sure? [y/N]")
        desk.terminal.notice("STOP")
        await desk.sees("STOP\nSure? [y/N]")
        desk.keyboard.send_text("y")
        assert await asking

    assert played(scene) == "STOP\nSure? [y/N] yes"


# -- watch ----------------------------------------------------------------------------------------------------------------


def busy() -> Fragments:
    return [("", "busy")]


def bar() -> Fragments:
    return [("", "bar")]


def test_end_of_what_is_watched_ends_it() -> None:
    async def scene(desk: Desk) -> None:
        end = asyncio.Event()
        task = asyncio.create_task(end.wait())
        watching = asyncio.create_task(desk.terminal.watch(task, busy, bar))
        await desk.sees("busy\nbar")
        assert not watching.done()
        end.set()
        assert await watching is True

    assert played(scene) == ""


def test_what_is_done_already_is_not_watched() -> None:
    async def scene(desk: Desk) -> None:
        task = asyncio.create_task(asyncio.Event().wait())
        task.cancel()
        await asyncio.wait([task])
        assert await desk.terminal.watch(task, busy, bar) is True

    assert played(scene) == ""


def test_ctrl_c_is_heeded_also_where_the_task_ends_in_the_same_moment() -> None:
    """As at a look before a question: whoever has given it up wants no command begun."""

    async def scene(desk: Desk) -> None:
        end = asyncio.Event()
        task = asyncio.create_task(end.wait())
        watching = asyncio.create_task(desk.terminal.watch(task, busy, bar))
        await desk.sees("busy")
        desk.keyboard.send_text(CTRL_C)
        end.set()
        assert await watching is False
        assert await task is True

    assert played(scene) == ""


def test_task_that_ends_at_once() -> None:
    async def nothing() -> None:
        pass

    async def scene(desk: Desk) -> None:
        for _ in range(20):
            assert await desk.terminal.watch(asyncio.create_task(nothing()), busy, bar) is True

    assert played(scene) == ""


def test_ctrl_c_leaves_the_task_to_itself() -> None:
    async def scene(desk: Desk) -> None:
        end = asyncio.Event()
        task = asyncio.create_task(end.wait())
        watching = asyncio.create_task(desk.terminal.watch(task, busy, bar))
        await desk.sees("busy")
        desk.keyboard.send_text(CTRL_C)
        assert await watching is False
        assert not task.done()
        end.set()
        assert await task is True

    assert played(scene) == ""


def test_progress_goes_on_by_itself() -> None:
    async def scene(desk: Desk) -> None:
        count = 0

        def progress() -> Fragments:
            nonlocal count
            count += 1
            return [("", f"step {count}")]

        task = asyncio.create_task(asyncio.Event().wait())
        watching = asyncio.create_task(desk.terminal.watch(task, progress, bar))
        await desk.sees("step 10")
        desk.keyboard.send_text(CTRL_C)
        await watching
        task.cancel()

    played(scene)


@pytest.mark.parametrize("parts", [("info ", "name"), ("info name",), tuple("info name"), (pasted("info "), "name")])
def test_what_is_typed_while_watching_is_the_next_line(parts: tuple[str, ...]) -> None:
    async def scene(desk: Desk) -> None:
        end = asyncio.Event()
        task = asyncio.create_task(end.wait())
        watching = asyncio.create_task(desk.terminal.watch(task, busy, bar))
        await desk.sees("busy")
        for part in parts:
            desk.keyboard.send_text(part)
            await asyncio.sleep(0)
        end.set()
        await watching
        desk.keyboard.send_text(ENTER)
        assert await desk.next_line() == "info name"

    played(scene)


def test_keys_around_ctrl_c_keep_their_order() -> None:
    async def scene(desk: Desk) -> None:
        task = asyncio.create_task(asyncio.Event().wait())
        watching = asyncio.create_task(desk.terminal.watch(task, busy, bar))
        await desk.sees("busy")
        desk.keyboard.send_text("abc" + CTRL_C + "def" + ENTER)
        assert await watching is False
        assert await desk.next_line() == "abcdef"
        task.cancel()

    played(scene)


def test_cancelled_watch_leaves_nothing_behind() -> None:
    async def scene(desk: Desk) -> None:
        end = asyncio.Event()
        task = asyncio.create_task(end.wait())
        watching = asyncio.create_task(desk.terminal.watch(task, busy, bar))
        await desk.sees("busy")
        watching.cancel()
        await asyncio.wait([watching])
        end.set()
        await task

    played(scene)


def test_size_is_the_screens() -> None:
    async def scene(desk: Desk) -> None:
        assert (desk.terminal.columns, desk.terminal.rows) == (80, 24)

    played(scene)


def test_terminal_obeys_no_text() -> None:
    async def scene(desk: Desk) -> None:
        desk.terminal.notice("\x9b2Jnotice\u202e")
        desk.terminal.error("\x1b[2Jerror\r")
        desk.terminal.show([("", "two\nlines\x07")])

    assert played(scene).splitlines()[:4] == [r"\x9b2Jnotice\u202e", r"\x1b[2Jerror\r", "two", r"lines\x07"]


# -- lent -----------------------------------------------------------------------------------------------------------------


def test_what_is_shown_while_the_terminal_is_lent_is_shown_after_it() -> None:
    async def scene(desk: Desk) -> None:
        desk.terminal.notice("before")
        async with desk.terminal.lent():
            assert desk.screen.text == "before"
            for number in range(1001):
                desk.terminal.notice(f"meanwhile {number}")
            await desk.terminal.drain()
            assert desk.screen.text == "before"
        await desk.terminal.drain()
        assert desk.screen.text.startswith("before\n(older lines were dropped: 1)\nmeanwhile 1\n")

    assert played(scene).endswith("\nmeanwhile 1000")


@pytest.mark.parametrize(("written", "shown"), [("", "after"), ("whole\r\n", "whole\nafter"), ("part", "part\nafter")])
@pytest.mark.parametrize("fails", [False, True])
def test_line_begins_at_its_start_whatever_the_other_program_wrote(written: str, shown: str, fails: bool) -> None:
    async def scene(desk: Desk) -> None:
        with contextlib.suppress(OSError):
            async with desk.terminal.lent():
                desk.screen.write(written)
                if fails:
                    raise OSError
        desk.terminal.notice("after")

    assert played(scene) == shown


def test_terminal_that_cannot_move_its_cursor_is_lent_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")

    async def scene(desk: Desk) -> None:
        async with desk.terminal.lent():
            desk.terminal.notice("after")

    assert played(scene) == "after"


def test_quit_key_does_not_end_this_program_while_another_has_the_terminal() -> None:
    async def scene(desk: Desk) -> None:
        async with desk.terminal.lent():
            os.kill(os.getpid(), signal.SIGQUIT)
        assert signal.getsignal(signal.SIGQUIT) is signal.SIG_DFL

    assert played(scene) == ""
