"""The answers to completion's questions: asked in the background, a few at a time, and kept up to a limit.

Only the tasks in here wait for QEMU. A caller gets what is known at that moment.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from repl.completing.drivers import drivers
from repl.completing.files import list_files, list_own_files
from repl.completing.questions import Kind, Question, is_lasting, query, read_answer, uses_hmp
from repl.completion_data import Named
from repl.errors import LostError
from repl.executor import Executor
from shim.errors import UnreadableReply
from shim.graph.policy import Mode
from shim.qmp import ReturnReply

__all__ = ["Answers", "Looking"]

# How long to believe an answer that may change.
_FRESH_S: Final = 1.0
# While QEMU does not answer, at most this many questions wait for it, whatever is typed.
MOST_UNDER_WAY: Final = 4
MOST_KEPT: Final = 64


@dataclass(frozen=True, slots=True)
class _Answer:
    """stale_s: when to ask again, by the loop's clock; None for never."""

    names: tuple[Named, ...]
    stale_s: float | None


class Answers:
    """The answers about one VM. on_change: called when an answer has arrived."""

    def __init__(self, executor: Executor, *, on_change: Callable[[], None]) -> None:
        self._executor = executor
        self._on_change = on_change
        self._known: OrderedDict[Question, _Answer] = OrderedDict()
        self._asking: dict[Question, asyncio.Task[None]] = {}

    @property
    def under_way(self) -> set[asyncio.Task[None]]:
        """Return the tasks of questions that have not been answered yet."""
        return set(self._asking.values())

    def look(self, question: Question) -> tuple[Named, ...]:
        """Return the names that are known; if there are none, or they are stale, ask for them."""
        if question.kind is not Kind.DRIVERS and self._is_due(question):
            self._ask(question)
        return self.known(question)

    def known(self, question: Question) -> tuple[Named, ...]:
        """Return the names that are known, without asking."""
        if question.kind is Kind.DRIVERS:
            return drivers(self._executor.link.version)
        known = self._known.get(question)
        return () if known is None else known.names

    def bringing(self, questions: Iterable[Question]) -> set[asyncio.Task[None]]:
        """Return the tasks that bring the answers to these questions; all tasks if one of these waits for its turn."""
        due = [one for one in questions if one.kind is not Kind.DRIVERS and self._is_due(one)]
        return {self._asking[one] for one in due} if all(one in self._asking for one in due) else self.under_way

    def forget(self) -> None:
        """Forget all answers, because another QEMU may be connected now."""
        self._known.clear()

    async def close(self) -> None:
        """Cancel all questions that are under way."""
        tasks = self.under_way
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _is_due(self, question: Question) -> bool:
        known = self._known.get(question)
        if known is None:
            return True
        self._known.move_to_end(question)
        return known.stale_s is not None and known.stale_s <= asyncio.get_running_loop().time()

    def _ask(self, question: Question) -> None:
        if question in self._asking or len(self._asking) >= MOST_UNDER_WAY:
            return
        task = asyncio.create_task(self._find(question))
        self._asking[question] = task
        task.add_done_callback(lambda _: self._asking.pop(question))

    async def _find(self, question: Question) -> None:
        is_of_files = question.kind in (Kind.FILES, Kind.OWN_FILES)
        names = await (self._list_files(question) if is_of_files else self._ask_qemu(question))
        stale_s = None if names and not is_of_files and is_lasting(question) else self._soon()
        self._known[question] = _Answer(names, stale_s)
        self._known.move_to_end(question)
        while len(self._known) > MOST_KEPT:
            self._known.popitem(last=False)
        self._on_change()

    def _soon(self) -> float:
        return asyncio.get_running_loop().time() + _FRESH_S

    async def _list_files(self, question: Question) -> tuple[Named, ...]:
        if question.kind is Kind.OWN_FILES:
            return await list_own_files(question.about)
        link = self._executor.link
        return await list_files(question.about, link.address, None if self._executor.proxy is not None else link.server_pid)

    async def _ask_qemu(self, question: Question) -> tuple[Named, ...]:
        # Where HMP is refused, asking would only put the refusal of a command that nobody typed on record.
        if uses_hmp(question) and self._executor.policy.mode is Mode.ENFORCE:
            return ()
        try:
            (timed,) = await self._executor.link.execute([query(question)])
            return read_answer(question, timed.reply.value) if isinstance(timed.reply, ReturnReply) else ()
        except (LostError, UnreadableReply):
            return ()


class Looking:
    """The look of one purpose, which knows what it still waits for: others' questions may never be answered."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._asked: set[Question] = set()

    def __call__(self, question: Question) -> tuple[Named, ...]:
        self._asked.add(question)
        return self._answers.look(question)

    @property
    def under_way(self) -> set[asyncio.Task[None]]:
        return self._answers.bringing(self._asked)
