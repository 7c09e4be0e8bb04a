"""What happens on the terminal besides editing a line: text above whatever is at the bottom, questions, and progress."""

import asyncio
import functools
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from prompt_toolkit.application import Application, get_app_session
from prompt_toolkit.application.run_in_terminal import run_in_terminal
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.key_binding import KeyBindings, KeyPress, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import ConditionalContainer, FormattedTextControl, HSplit, Layout, Window
from prompt_toolkit.output import DummyOutput
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import BaseStyle
from prompt_toolkit.utils import is_dumb_terminal

from repl.outlets.pager import Pager
from repl.output.layout import Fragments
from repl.prompt.editor.style import STYLE
from shim.printable import harmless

__all__ = ["Terminal"]

# How many texts may wait to be shown during a storm of events; beyond, the oldest are dropped and counted.
_MOST_WAITING = 1000
_PROGRESS_REFRESH_S = 0.1


class Terminal:
    """The terminal. Texts are shown in order. `show` never waits; call `drain` before showing something below them.

    pager: for long output. is_timed: whether the person wants to see how long commands take.
    """

    def __init__(self, style: BaseStyle = STYLE, pager: str | None = None) -> None:
        """pager: the person's setting; None to let the environment decide."""
        self._style = style
        self.pager = Pager.of(os.environ, pager)
        self.is_timed = False
        self._is_lent = False
        self._waiting: deque[Fragments] = deque()
        self._dropped = 0
        self._show_task: asyncio.Task[None] | None = None

    @property
    def columns(self) -> int:
        return get_app_session().output.get_size().columns

    @property
    def rows(self) -> int:
        return get_app_session().output.get_size().rows

    def show(self, fragments: Fragments) -> None:
        """Show lines above the prompt, question or progress at the bottom, with everything harmless for the terminal."""
        if not fragments:
            return
        fragments = [(style, harmless(text)) for style, text in fragments]
        if not fragments[-1][1].endswith("\n"):
            fragments = [*fragments, ("", "\n")]
        if len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(fragments)
        self._begin_to_show()

    def _begin_to_show(self) -> None:
        if not self._is_lent and (self._show_task is None or self._show_task.done()):
            self._show_task = asyncio.create_task(self._show_waiting())

    def notice(self, text: str) -> None:
        """Show a line from the program itself."""
        self.show([("class:notice", text)])

    def error(self, text: str) -> None:
        """Show a line about something that went wrong."""
        self.show([("class:error", text)])

    async def drain(self) -> None:
        """Wait until everything is shown."""
        while self._show_task is not None and not self._show_task.done():
            await asyncio.wait([self._show_task])

    async def clear(self) -> None:
        """Clear the screen, if the terminal can do that."""
        await self.drain()
        if not is_dumb_terminal():
            output = get_app_session().output
            output.erase_screen()
            output.cursor_goto(0, 0)
            output.flush()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[None]:
        """Leave the terminal to another program, such as a pager; what is shown meanwhile appears after it.

        The program is in this one's process group, so that Ctrl-Z stops both. Ctrl-C, which is a signal meanwhile, reaches both
        too, but this program treats it as a key, which nobody waits for at that time (repl/prompt/app.py), so nothing that goes
        on in QEMU is affected.
        """
        await self.drain()
        self._is_lent = True
        loop = asyncio.get_running_loop()
        # A handler, unlike an ignored signal, is not inherited: in the other program Ctrl-\ does what it always does.
        loop.add_signal_handler(signal.SIGQUIT, lambda: None)
        try:
            with get_app_session().input.cooked_mode():
                yield
        finally:
            loop.remove_signal_handler(signal.SIGQUIT)
            self._is_lent = False
            self._go_to_line_start()
            self._begin_to_show()

    def _go_to_line_start(self) -> None:
        """Move the cursor to the start of a line: as many blanks as a line has fill either a begun line or an empty one."""
        if not is_dumb_terminal():
            output = get_app_session().output
            output.write_raw(" " * self.columns + "\r")
            output.erase_end_of_line()
            output.flush()

    async def ask(self, question: str) -> bool:
        """Ask a yes-or-no question; only `y` means yes. What is pasted is not an answer, but goes to the next line."""
        bindings = KeyBindings()
        asked: Fragments = [("class:prompt", f"{question} [y/N] ")]
        answer = ""
        pasted: list[KeyPress] = []

        def decide(event: KeyPressEvent, decision: str) -> None:
            nonlocal answer
            answer = decision
            event.app.exit()

        for key in ("y", "Y"):
            bindings.add(key)(lambda event: decide(event, "yes"))
        for key in ("n", "N", "enter", "escape", "c-c", "c-d", "<sigint>"):
            bindings.add(key)(lambda event: decide(event, "no"))
        bindings.add(Keys.BracketedPaste)(lambda event: pasted.extend(event.key_sequence))
        app = self._application(lambda: asked, bindings)
        # What was typed before the person could see the question is not an answer to it.
        with app.input.raw_mode():
            typed_before = [*get_typeahead(app.input), *app.input.read_keys()]
        if is_dumb_terminal():
            self._print(asked)
        await app.run_async(handle_sigint=False)
        self._print([*([] if is_dumb_terminal() else asked), ("", f"{answer}\n")])
        _put_back(app.input, [*typed_before, *pasted])
        return answer == "yes"

    async def watch(self, task: asyncio.Task[Any], progress: Callable[[], Fragments], toolbar: Callable[[], Fragments]) -> bool:
        """Show the progress of a command until it ends (True), or until Ctrl-C (False), even if it ends at the same moment.

        What is typed meanwhile goes to the next line.
        """
        bindings = KeyBindings()
        typed: list[KeyPress] = []

        is_given_up = False

        @bindings.add("c-c")
        @bindings.add("<sigint>")
        def _(event: KeyPressEvent) -> None:
            nonlocal is_given_up
            is_given_up = True
            event.app.exit()

        @bindings.add(Keys.Any)
        @bindings.add(Keys.BracketedPaste)
        def _(event: KeyPressEvent) -> None:
            typed.extend(event.key_sequence)

        app = self._application(lambda: [] if task.done() else progress(), bindings, toolbar=toolbar)

        def end(_: asyncio.Task[Any]) -> None:
            if app.is_running and not app.is_done:
                app.exit()

        task.add_done_callback(end)
        try:
            if not task.done():
                await app.run_async(pre_run=lambda: end(task) if task.done() else None, handle_sigint=False)
        finally:
            task.remove_done_callback(end)
            _put_back(app.input, typed)
        return not is_given_up

    def _application(
        self,
        text: Callable[[], Fragments],
        bindings: KeyBindings,
        *,
        toolbar: Callable[[], Fragments] | None = None,
    ) -> Application[None]:
        has_text = Condition(lambda: bool(text()))
        said = FormattedTextControl(lambda: FormattedText(text()))
        rows = [ConditionalContainer(Window(said, dont_extend_height=True, wrap_lines=True), has_text)]
        if toolbar is not None:
            bar = FormattedTextControl(lambda: FormattedText(toolbar()))
            rows.append(ConditionalContainer(Window(bar, style="class:bottom-toolbar", height=1), has_text))
        return Application(
            layout=Layout(HSplit(rows)),
            key_bindings=bindings,
            style=self._style,
            # On a terminal that cannot move its cursor, only keys are read.
            output=DummyOutput() if is_dumb_terminal() else None,
            refresh_interval=_PROGRESS_REFRESH_S,
            erase_when_done=True,
        )

    async def _show_waiting(self) -> None:
        while self._waiting:
            batch: Fragments = [part for fragments in self._waiting for part in fragments]
            self._waiting.clear()
            if self._dropped:
                batch.insert(0, ("class:error", f"(older lines were dropped: {self._dropped})\n"))
                self._dropped = 0
            await run_in_terminal(functools.partial(self._print, batch))

    def _print(self, fragments: Fragments) -> None:
        output = get_app_session().output
        if is_dumb_terminal():
            output.write("".join(text for _, text in fragments))
        else:
            depth = output.get_default_color_depth()
            print_formatted_text(output, FormattedText(fragments), self._style, color_depth=depth)
        output.flush()


def _put_back(keyboard: Input, typed: Sequence[KeyPress]) -> None:
    """Make the next line begin with these keys, before keys that were typed later."""
    store_typeahead(keyboard, [*typed, *get_typeahead(keyboard)])
