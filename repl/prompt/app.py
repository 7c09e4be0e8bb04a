"""`hmp>`: the line editor of a person, in front of a console that does what the lines ask for.

The prompt is there before the console is: its modules are loaded, and the VM is asked, while the person reads and types.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app, get_app_session
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.formatted_text import FormattedText

from repl.link import Event, Link
from repl.prompt.editing import editing_mode_name, history_in, keys, menu_rows
from repl.prompt.style import STYLE
from repl.prompt.terminal import Terminal

if TYPE_CHECKING:
    from host.audit_log import AuditLog
    from repl.command_line import Invocation
    from repl.errors import LostError
    from repl.prompt.console import Console
    from shim.client import Client

__all__ = ["Prompt"]


class Prompt:
    """One person at one terminal. `run` goes on until the person leaves."""

    def __init__(self, invocation: Invocation, client: Client, audit_log: AuditLog | None) -> None:
        self._invocation = invocation
        self._client = client
        self._audit_log = audit_log
        self._terminal = Terminal()
        self._link = Link(
            invocation.address,
            tls=invocation.tls,
            on_event=self._take_event,
            on_lost=self._take_loss,
            on_busy=lambda: self._terminal.notice("QEMU is busy with a save or load; waiting for its answer"),
        )
        self._is_shown = asyncio.Event()
        self._console: Console | None = None
        # What came before the console was there.
        self._early: list[Event | LostError] = []

    async def run(self) -> None:
        """Connect and read lines until the person leaves. Raises LinkError if there is no connection at the start."""
        await self._link.connect()
        try:
            await self._refuse_own_policy()
            with _keys_are_ours():
                async with asyncio.TaskGroup() as tasks:
                    session = self._session()
                    furnishing = tasks.create_task(self._furnish(session, tasks))
                    await self._read_lines(session, furnishing)
                    await (await furnishing).finish()
        finally:
            await self._link.close()
            await self._terminal.drain()

    async def _refuse_own_policy(self) -> None:
        if self._invocation.policy_options:
            from repl.beside import refuse_own_policy  # here, because the prompt is there sooner without it

            await refuse_own_policy(self._link, self._invocation.policy_options)

    def _session(self) -> PromptSession[str]:
        history, trouble = history_in(self._invocation.history)
        if trouble is not None:
            self._terminal.notice(trouble)
        session: PromptSession[str] = PromptSession(
            [("class:prompt", "hmp> ")],
            style=STYLE,
            history=history,
            auto_suggest=AutoSuggestFromHistory(),
            complete_while_typing=True,
            key_bindings=keys(lambda: None if self._console is None else self._console.correction),
            vi_mode=self._invocation.is_vi,
            include_default_pygments_style=False,
        )

        def fit_menu(_: object) -> None:
            session.reserve_space_for_menu = menu_rows(self._terminal.rows)

        session.app.before_render += fit_menu
        return session

    async def _furnish(self, session: PromptSession[str], tasks: asyncio.TaskGroup) -> Console:
        """Return the editor what it needs the console for, when the prompt is there."""
        await self._is_shown.wait()
        from repl.prompt.completer import LineCompleter
        from repl.prompt.console import Console

        console = Console(self._invocation, self._client, self._audit_log, self._link, self._terminal, tasks)
        session.completer = LineCompleter(console.knowledge)
        session.bottom_toolbar = lambda: FormattedText(console.toolbar(editing_mode_name()))
        self._console = console
        early, self._early = self._early, []
        for one in early:
            self._take_event(one) if isinstance(one, Event) else self._take_loss(one)
        console.start()
        return console

    async def _read_lines(self, session: PromptSession[str], furnishing: asyncio.Task[Console]) -> None:
        while True:
            await self._terminal.drain()
            # Its turn comes when the prompt has been drawn and waits for keys.
            asyncio.get_running_loop().call_soon(self._is_shown.set)
            try:
                text = await session.prompt_async(handle_sigint=False)
            except KeyboardInterrupt:
                continue  # the line is given up, as in a shell
            except EOFError:
                return
            if not await (await furnishing).obey(text):
                return

    def _take_event(self, event: Event) -> None:
        if self._console is None:
            self._early.append(event)
        else:
            self._console.take_event(event)

    def _take_loss(self, error: LostError) -> None:
        if self._console is None:
            self._early.append(error)
        else:
            self._console.take_loss(error)


@contextlib.contextmanager
def _keys_are_ours() -> Iterator[None]:
    """Keep the terminal from echoing what is typed between two lines, and from ending the program at Ctrl-C there.

    prompt_toolkit does so only while something can be typed. Even so, while something is printed Ctrl-C is a signal for a
    moment; it is taken for the key.
    """
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, lambda: get_app().key_processor.send_sigint())
    try:
        with get_app_session().input.raw_mode():
            yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)
