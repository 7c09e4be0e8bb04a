"""`hmp>`: the line editor of a person, in front of a console that does what the lines ask for.

The prompt is there before the console is: its modules are loaded, and the VM is asked, while the person reads and types.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app, get_app_session
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.formatted_text import FormattedText

from host.errors import ProgramError
from repl.link import Event, Link
from repl.prompt.editing import editing_mode_name, history_in, keys, menu_rows
from repl.prompt.style import STYLE
from repl.prompt.terminal import Terminal

if TYPE_CHECKING:
    from host.audit_log import AuditLog
    from repl.command_line import Invocation
    from repl.errors import LostError
    from repl.prompt.change_over import VMNames
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
        self._link = self._new_link(invocation)
        self._is_shown = asyncio.Event()
        self._console: Console | None = None
        # What came before the console was there.
        self._early: list[Event | LostError] = []
        self._names: VMNames | None = None

    def _new_link(self, invocation: Invocation) -> Link:
        link = Link(
            invocation.address,
            tls=invocation.tls,
            on_event=lambda event: self._take(link, event),
            on_lost=lambda error: self._take(link, error),
            on_busy=lambda: self._terminal.notice("QEMU is busy with a save or load; waiting for its answer"),
        )
        return link

    async def run(self) -> None:
        """Connect and read lines until the person leaves. Raises LinkError if there is no connection at the start."""
        await self._link.connect()
        try:
            await self._refuse_own_policy()
            with _keys_are_ours():
                async with asyncio.TaskGroup() as tasks:
                    session = self._session()
                    furnishing = tasks.create_task(self._furnish(session, tasks))
                    await self._read_lines(session, furnishing, tasks)
                    await furnishing
                    await self._present.finish()
        finally:
            await self._link.close()
            await self._terminal.drain()

    async def _refuse_own_policy(self) -> None:
        await _refuse_own_policy(self._link, self._invocation)

    @property
    def _present(self) -> Console:
        assert self._console is not None, "it is there as soon as a line can be obeyed"
        return self._console

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

    async def _furnish(self, session: PromptSession[str], tasks: asyncio.TaskGroup) -> None:
        """Return the editor what it needs the console for, when the prompt is there."""
        await self._is_shown.wait()
        self._put_console(session, tasks)

    def _put_console(self, session: PromptSession[str], tasks: asyncio.TaskGroup) -> None:
        """Put a console behind the editor. The settings of the one before stay."""
        from repl.prompt.completer import LineCompleter
        from repl.prompt.console import Console

        console = Console(self._invocation, self._client, self._audit_log, self._link, self._terminal, tasks)
        console.events = console.events if self._console is None else self._console.events
        session.completer = LineCompleter(console.knowledge, partial(self._look_for_vms, tasks))
        session.bottom_toolbar = lambda: FormattedText(console.toolbar(editing_mode_name()))
        self._console = console
        early, self._early = self._early, []
        for one in early:
            self._take(self._link, one)
        console.start()

    def _look_for_vms(self, tasks: asyncio.TaskGroup) -> asyncio.Task[None]:
        from repl.prompt.change_over import VMNames  # here, because few change over

        self._names = self._names or VMNames(tasks, lambda: self._present.knowledge)
        return self._names.refresh()

    async def _read_lines(self, session: PromptSession[str], furnishing: asyncio.Task[None], tasks: asyncio.TaskGroup) -> None:
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
            await furnishing
            if not await self._obey(text, session, tasks):
                return

    async def _obey(self, text: str, session: PromptSession[str], tasks: asyncio.TaskGroup) -> bool:
        """Do what lines ask for, those after a `connect` at the VM that was changed over to. False to leave the prompt."""
        while await self._present.obey(text):
            if self._present.commands.change_over is None:
                return True
            (target, text), self._present.commands.change_over = self._present.commands.change_over, None
            is_there = await self._change_over(target, session, tasks)
            if not is_there and text:
                self._terminal.notice(f"{text.count(chr(10)) + 1} more of the pasted lines were not run")
            if not is_there or not text:
                return True
        return False

    async def _change_over(self, target: str, session: PromptSession[str], tasks: asyncio.TaskGroup) -> bool:
        """Connect to another VM, and only then part from the one before. False if it stays as it was."""
        from repl.prompt.change_over import found_vms, invocation_at  # here, as above
        from repl.prompt.choice import rows
        from repl.prompt.foreground import GivenUpError

        watch, line = self._present.watch, f"connect {target}"
        try:
            if not target:
                vms = await watch.look(found_vms(), line)
                self._terminal.show(rows(vms, width=self._terminal.columns, height=max(len(vms) + 3, self._terminal.rows)))
                return True
            invocation = await watch.look(invocation_at(target, self._invocation), line)
            if invocation.address == self._invocation.address and self._link.is_connected:
                self._terminal.notice("the connection is there")
                return True
            link = await watch.look(self._connected(invocation), line)
        except ProgramError as exc:
            self._terminal.error(str(exc))
            return False
        except GivenUpError:
            self._terminal.notice("not done")
            return False
        await self._present.finish()
        await self._link.close()
        self._invocation, self._link = invocation, link
        self._terminal.notice(f"connected to QEMU {link.version} at {invocation.address}")
        self._put_console(session, tasks)
        return True

    async def _connected(self, invocation: Invocation) -> Link:
        link = self._new_link(invocation)
        try:
            await link.connect()
            await _refuse_own_policy(link, invocation)
        except BaseException:
            await link.close()
            self._early.clear()
            raise
        return link

    def _take(self, link: Link, one: Event | LostError) -> None:
        if self._console is None or link is not self._link:
            self._early.append(one)
        elif isinstance(one, Event):
            self._console.take_event(one)
        else:
            self._console.take_loss(one)


async def _refuse_own_policy(link: Link, invocation: Invocation) -> None:
    if invocation.policy_options:
        from repl.beside import refuse_own_policy  # here, because the prompt is there sooner without it

        await refuse_own_policy(link, invocation.policy_options)


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
