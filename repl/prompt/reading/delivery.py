"""Bring what a command printed to its destination: the screen, the pager, a shell command or a file.

No output gets lost: what cannot go to a pager or a file is shown on the screen. A command that nobody waits for any more must
not take the terminal away from the person who types, so its shell command runs without the terminal, and there is no pager.
"""

import io
import os
from functools import partial
from typing import TypeAlias, assert_never

from prompt_toolkit.application import get_app_session
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.utils import is_dumb_terminal

from repl.outlets.files import FileError, write
from repl.outlets.redirection import Outlet, ToFile, ToShell
from repl.outlets.shell import Ended, feed, feed_behind, status_text
from repl.output.layout import Fragments
from repl.output.printed import Printed, is_longer
from repl.output.show import hmp_text
from repl.progress.aside import beside_loop
from repl.prompt.editor.style import STYLE
from repl.prompt.foreground import Foreground, GivenUpError
from repl.prompt.terminal import Terminal
from shim.printable import harmless

__all__ = ["Delivery"]

# The result: a text to show, and whether everything went well.
_Told: TypeAlias = tuple[Fragments, bool]


class Delivery:
    """Delivers output. watch: shows progress while a file is written."""

    def __init__(self, terminal: Terminal, watch: Foreground) -> None:
        self._terminal = terminal
        self._watch = watch

    async def deliver(self, printed: Printed, outlet: Outlet | None, line: str) -> bool:
        """Deliver output while somebody waits. Return False if that or the shell command failed."""
        match outlet:
            case None:
                await self._to_screen(printed)
                return True
            case ToShell(command):
                told, is_well = await self._through(command, printed)
            case ToFile():
                told, is_well = await self._watched(outlet, printed, line)
            case _:
                assert_never(outlet)
        self._terminal.show(told)
        return is_well

    async def behind(self, printed: Printed, outlet: Outlet | None) -> _Told:
        """Deliver output without using the terminal; return what to show, and whether everything went well."""
        match outlet:
            case None:
                return [*printed.shown, *printed.foot], True
            case ToShell(command):
                return await _through_behind(command, printed)
            case ToFile():
                try:
                    return await _into(outlet, printed)
                except FileError as exc:
                    return [*printed.shown, *printed.foot, *_error(str(exc))], False
            case _:
                assert_never(outlet)

    async def _to_screen(self, printed: Printed) -> None:
        # As with less -F, what fits on the screen together with the prompt needs no pager.
        is_long = is_longer(printed.shown, columns=self._terminal.columns, rows=self._terminal.rows - 1)
        if is_long and self._terminal.pager.is_used and not is_dumb_terminal():
            await self._page(printed.shown)
        else:
            self._terminal.show(printed.shown)
        self._terminal.show(printed.foot)

    async def _page(self, shown: Fragments) -> None:
        pager = self._terminal.pager
        text = _coloured(shown) if pager.shows_colours(os.environ) else "".join(harmless(text) for _, text in shown)
        try:
            async with self._terminal.lent():
                ended = await feed(pager.command, text, pager.environment(os.environ))
        except (OSError, ValueError) as exc:
            self._terminal.show([*shown, *_not_run(pager.command, exc)])
            return
        if ended.was_not_run:
            self._terminal.show([*shown, *_error(f"{status_text(pager.command, ended)}; 'pager COMMAND' sets another one")])

    async def _through(self, command: str, printed: Printed) -> _Told:
        try:
            async with self._terminal.lent():
                return _ending(command, await feed(command, harmless(printed.kept)))
        except (OSError, ValueError) as exc:
            return _not_run(command, exc), False

    async def _watched(self, target: ToFile, printed: Printed, line: str) -> _Told:
        try:
            return await self._watch.look(_into(target, printed), line)
        except FileError as exc:
            await self._to_screen(printed)
            return _error(str(exc)), False
        except GivenUpError:
            return _error(f"no longer waiting for {target.path}; it may still be written"), False


async def _through_behind(command: str, printed: Printed) -> _Told:
    try:
        ended = await feed_behind(command, harmless(printed.kept))
    except (OSError, ValueError) as exc:
        return _not_run(command, exc), False
    told, is_well = _ending(command, ended)
    return [*hmp_text(ended.text, is_failure=False), *told], is_well


async def _into(target: ToFile, printed: Printed) -> _Told:
    written = await beside_loop(partial(write, target, printed.kept))
    return [("class:notice", f"{harmless(str(written))}\n")], True


def _ending(command: str, ended: Ended) -> _Told:
    """Return how a shell command ended, and whether it succeeded; nothing to show if the person ended it with Ctrl-C."""
    if ended.status == 0 or ended.was_interrupted:
        return [], ended.status == 0
    return _error(status_text(command, ended)), False


def _not_run(command: str, error: OSError | ValueError) -> Fragments:
    return _error(f"'{command}' cannot be run: {error}")


def _error(text: str) -> Fragments:
    return [("class:error", f"{harmless(text)}\n")]


def _coloured(fragments: Fragments) -> str:
    """Return a text with the escape sequences for its colours that the terminal would get, and no others."""
    depth = get_app_session().output.get_default_color_depth()
    text = io.StringIO()
    output = Vt100_Output(text, get_app_session().output.get_size)
    for style, part in fragments:
        output.set_attributes(STYLE.get_attrs_for_style_str(style), depth)
        output.write_raw(harmless(part))
    output.reset_attributes()
    output.flush()
    return text.getvalue()
