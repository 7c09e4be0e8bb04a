"""`hmp>`: a person's line editor, in front of a console that does what the lines ask for.

The prompt appears before the console is ready: its modules are loaded, and the VM is queried, while the person reads and types.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app_or_none, get_app_session
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import FormattedText

from host.errors import ProgramError
from repl.errors import ExitStatus
from repl.link import Event, Link
from repl.output.show import duration_text
from repl.prompt.editor.editing import continuation, editing_mode_name, goes_on, keys, menu_rows
from repl.prompt.editor.history import DiscreetHistory, history_in
from repl.prompt.editor.own_keys import CursorOfVi, HeldLine
from repl.prompt.editor.style import style_with
from repl.prompt.opening import opened
from repl.prompt.terminal import Terminal
from repl.settings.values import Editing

if TYPE_CHECKING:
    from host.audit_log.log import AuditLog
    from repl.command_line import Invocation
    from repl.errors import LostError
    from repl.progress.others import Others
    from repl.progress.silence import Silence
    from repl.prompt.change_over import OtherVMs
    from repl.prompt.console import Console
    from shim.client import Client

__all__ = ["Prompt"]


class Prompt:
    """The prompt of one person at one terminal. `run` returns when the person leaves."""

    def __init__(self, invocation: Invocation, client: Client, audit_log: AuditLog | None) -> None:
        self._invocation = invocation
        self._client = client
        self._audit_log = audit_log
        self._settings = invocation.settings
        self._style = style_with(self._settings.colors)
        self._terminal = Terminal(self._style, self._settings.pager)
        self._held = HeldLine()
        self._link = self._new_link(invocation)
        self._is_shown = asyncio.Event()
        self._console: Console | None = None
        # Events and losses from before the console was ready.
        self._early: list[Event | LostError] = []
        self._vms: OtherVMs | None = None
        # QEMU has greeted, or answered.
        self._is_greeted = False
        self._others: Others | None = None
        self._history: DiscreetHistory | None = None

    def _new_link(self, invocation: Invocation) -> Link:
        link = Link(
            invocation.address,
            tls=invocation.tls,
            on_event=lambda event: self._take(link, event),
            on_lost=lambda error: self._take(link, error),
            on_busy=self._note_busy,
        )
        return link

    def _note_busy(self) -> None:
        self._terminal.notice("QEMU is busy with a save or load; waiting for its answer")
        self._is_greeted = True

    async def run(self) -> ExitStatus:
        """Connect and read lines until the person leaves. Raises LinkError if there is no connection at the start."""
        try:
            if not await opened(self._terminal, self._open(), self._why_not_open):
                return ExitStatus.INTERRUPTED
            with _keys_are_ours():
                async with asyncio.TaskGroup() as tasks:
                    session = self._session()
                    furnishing = tasks.create_task(self._furnish(session, tasks))
                    await self._read_lines(session, furnishing, tasks)
                    await furnishing
                    await self._present.finish()
            return ExitStatus.OK
        finally:
            await self._link.close()
            await self._terminal.drain()
            if self._history is not None:
                self._history.close()

    async def _open(self) -> None:
        await self._link.connect()
        self._is_greeted = True
        await _refuse_own_policy(self._link, self._invocation)

    def _why_not_open(self, silence: Silence) -> str:
        """Return what the prompt is waiting for before it appears."""
        if self._is_greeted:
            from repl.progress.others import Others  # here, because most VMs answer at once

            self._others = self._others or Others(self._invocation.address, server=lambda: self._link.server_pid)
            return self._others.sentence(silence)
        return f"no greeting from {self._invocation.address} for {duration_text(time.monotonic_ns() - silence.since_ns)}"

    @property
    def _present(self) -> Console:
        assert self._console is not None, "it is there as soon as a line can be obeyed"
        return self._console

    def _expand(self, line: str) -> str:
        """Expand the alias in a line."""
        if not self._settings.aliases:
            return line
        from repl.settings.aliases import expand  # already imported if there are aliases

        return expand(line, self._settings.aliases)

    def _correction(self) -> str | None:
        return None if self._console is None else self._console.correction

    def _may_suspend(self) -> bool:
        """Tell whether this program may stand still: not while it carries a command out, which would stand still half done."""
        under_way = None if self._console is None else self._console.under_way
        if under_way is not None:
            self._terminal.notice(f"not suspended: '{under_way}' is under way")
        return under_way is None

    def _session(self) -> PromptSession[str]:
        for mistake in self._settings.mistakes:
            self._terminal.error(mistake)
        self._history, trouble = history_in(self._invocation.history, expand=self._expand, tell=self._terminal.notice)
        if trouble is not None:
            self._terminal.notice(trouble)
        session: PromptSession[str] = PromptSession(
            [("class:prompt", "hmp> ")],
            style=self._style,
            history=self._history,
            auto_suggest=AutoSuggestFromHistory(),
            complete_while_typing=True,
            key_bindings=keys(self._correction, self._settings.keys, self._held, self._may_suspend),
            vi_mode=self._invocation.is_vi or self._settings.editing is Editing.VI,
            cursor=CursorOfVi(),
            multiline=Condition(goes_on),
            prompt_continuation=continuation,
            include_default_pygments_style=False,
        )

        def fit_menu(_: object) -> None:
            session.reserve_space_for_menu = menu_rows(self._terminal.rows)

        session.app.before_render += fit_menu
        return session

    async def _furnish(self, session: PromptSession[str], tasks: asyncio.TaskGroup) -> None:
        """Create the console, once the prompt is on the screen."""
        await self._is_shown.wait()
        self._put_console(session, tasks)

    def _put_console(self, session: PromptSession[str], tasks: asyncio.TaskGroup) -> None:
        """Put a console behind the editor. It keeps the previous console's choice of events."""
        from repl.prompt.console import Console
        from repl.prompt.editor.alias_completer import AliasCompleter
        from repl.prompt.editor.completer import LineCompleter

        console = Console(self._invocation, self._client, self._audit_log, self._link, self._terminal, tasks, self._expand)
        before = self._console
        console.events = console.events if before is None else before.events
        completer = LineCompleter(console.knowledge, partial(self._look_for_vms, tasks))
        session.completer = AliasCompleter(completer, self._settings.aliases) if self._settings.aliases else completer
        session.bottom_toolbar = lambda: FormattedText(console.toolbar(editing_mode_name(), is_at_prompt=True))
        self._console = console
        early, self._early = self._early, []
        for one in early:
            self._take(self._link, one)
        console.start(greets=before is None)

    def _look_for_vms(self, tasks: asyncio.TaskGroup) -> asyncio.Task[None]:
        return self._other_vms(tasks).refresh()

    def _other_vms(self, tasks: asyncio.TaskGroup) -> OtherVMs:
        from repl.prompt.change_over import OtherVMs  # here, because few change over

        self._vms = self._vms or OtherVMs(tasks, lambda: self._present.knowledge, self._terminal.error)
        return self._vms

    async def _read_lines(self, session: PromptSession[str], furnishing: asyncio.Task[None], tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._terminal.drain()
            # This runs when the prompt has been drawn and waits for keys.
            asyncio.get_running_loop().call_soon(self._is_shown.set)
            try:
                text = await session.prompt_async(default=self._held.take(), handle_sigint=False)
            except KeyboardInterrupt:
                continue  # Ctrl-C discards the line, as in a shell
            except EOFError:
                return
            await furnishing
            if not await self._obey(text, session, tasks):
                return

    async def _obey(self, text: str, session: PromptSession[str], tasks: asyncio.TaskGroup) -> bool:
        """Do what the lines ask for; those after a `connect` run on the new VM. Return False to leave the prompt."""
        while await self._present.obey(text):
            if self._present.commands.change_over is None:
                return True
            (target, text), self._present.commands.change_over = self._present.commands.change_over, None
            is_there = await self._change_over(target, session, tasks)
            if not is_there and text:
                self._present.commands.tell_not_run(text.split("\n"))
            if not is_there or not text:
                return True
        return False

    async def _change_over(self, target: str, session: PromptSession[str], tasks: asyncio.TaskGroup) -> bool:
        """Connect to another VM, and only then part from the one before. False if it stays as it was."""
        from repl.prompt.foreground import GivenUpError

        watch, vms, line = self._present.watch, self._other_vms(tasks), f"connect {target}"
        try:
            if not target:
                self._terminal.show(await watch.look(vms.listed(self._invocation, width=self._terminal.columns), line))
                return True
            invocation = await watch.look(vms.invocation_at(target, self._invocation), line)
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
    """Keep the terminal from echoing what is typed between two prompts, and from ending the program on Ctrl-C there.

    prompt_toolkit does this only while it reads keys. Even so, Ctrl-C is a signal for a moment while something is printed; it
    is then treated as the key. While another program has the terminal, Ctrl-C is always a signal, and meant for that program.
    """
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, _press_ctrl_c)
    try:
        with get_app_session().input.raw_mode():
            yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def _press_ctrl_c() -> None:
    app = get_app_or_none()
    if app is not None:
        app.key_processor.send_sigint()
