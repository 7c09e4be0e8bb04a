"""Completion as the line editor asks for it: nothing waits for QEMU longer than a moment."""

from collections.abc import Awaitable, Callable

from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from repl.completion_data import CommandHelp, CompletionData, Named
from repl.prompt.editor.completer import LineCompleter
from repl.vm_cache import VMCache
from tests.fakes.qemu import FakeQEMU, two_disks
from tests.support.repl import executing
from tests.support.repl.executing import Bench

TAB_KEY = CompleteEvent(completion_requested=True)
TYPED = CompleteEvent(text_inserted=True)
COMMANDS = (CommandHelp(("loadvm",), "tag", "load"), CommandHelp(("info",), "", ""))
FACTS = CompletionData(commands=COMMANDS, tags=(Named("known", "then"),))


def played(scene: Callable[[FakeQEMU, VMCache, LineCompleter], Awaitable[None]]) -> None:
    async def with_completer(qemu: FakeQEMU, bench: Bench) -> None:
        knowledge = VMCache(bench.executor, on_change=lambda: None)
        knowledge.facts = FACTS
        try:
            await scene(qemu, knowledge, LineCompleter(knowledge))
        finally:
            await knowledge.close()

    executing.played(with_completer, FakeQEMU(two_disks()))


async def completed(completer: LineCompleter, text: str, event: CompleteEvent) -> list[str]:
    return [one.text async for one in completer.get_completions_async(Document(text), event)]


def test_tab_looks_at_the_vm_first() -> None:
    """Tags change without an event."""

    async def scene(qemu: FakeQEMU, knowledge: VMCache, completer: LineCompleter) -> None:
        await knowledge.refresh()
        qemu.vm.save_snapshot("just-now", overwrite=True)
        assert await completed(completer, "loadvm ", TYPED) == []
        assert await completed(completer, "loadvm ", TAB_KEY) == ["just-now"]

    played(scene)


def test_typing_looks_at_the_vm_where_the_last_look_is_old() -> None:
    async def scene(qemu: FakeQEMU, knowledge: VMCache, completer: LineCompleter) -> None:
        qemu.vm.save_snapshot("just-now", overwrite=True)
        assert await completed(completer, "loadvm j", TYPED) == ["just-now"]

    played(scene)


def test_typing_waits_for_a_look_that_is_under_way() -> None:
    async def scene(qemu: FakeQEMU, knowledge: VMCache, completer: LineCompleter) -> None:
        await knowledge.refresh()
        qemu.vm.save_snapshot("just-now", overwrite=True)
        knowledge.refresh()
        assert await completed(completer, "loadvm j", TYPED) == ["just-now"]

    played(scene)


def test_name_of_a_command_needs_no_look() -> None:
    async def scene(qemu: FakeQEMU, knowledge: VMCache, completer: LineCompleter) -> None:
        before = len(qemu.commands)
        assert await completed(completer, "load", TAB_KEY) == ["loadvm"]
        assert len(qemu.commands) == before

    played(scene)


def test_what_is_known_must_do_while_qemu_stands_still() -> None:
    async def scene(qemu: FakeQEMU, knowledge: VMCache, completer: LineCompleter) -> None:
        qemu.hold("query-block")
        for event in (TAB_KEY, TYPED, TAB_KEY):
            assert await completed(completer, "loadvm ", event) == ["known"]
        # All of them wait for the same look.
        assert qemu.commands.count("query-block") == 1
        qemu.release()

    played(scene)


def test_what_is_known_must_do_without_a_connection() -> None:
    async def scene(qemu: FakeQEMU, knowledge: VMCache, completer: LineCompleter) -> None:
        qemu.disconnect()
        assert await completed(completer, "loadvm ", TAB_KEY) == ["known"]

    played(scene)


def test_completion_says_what_it_replaces_and_what_it_is() -> None:
    async def scene(qemu: FakeQEMU, knowledge: VMCache, completer: LineCompleter) -> None:
        (one,) = completer.get_completions(Document("loadvm kn"), TAB_KEY)
        assert (one.text, one.start_position, one.display_meta_text) == ("known", -2, "then")

    played(scene)


def test_only_the_line_of_the_cursor_counts() -> None:
    async def scene(qemu: FakeQEMU, knowledge: VMCache, completer: LineCompleter) -> None:
        (one,) = completer.get_completions(Document("info x\nloadvm kn\ninfo", cursor_position=16), TAB_KEY)
        assert one.text == "known"

    played(scene)


def test_row_of_unfinished_json_is_completed_as_its_part() -> None:
    async def scene(qemu: FakeQEMU, knowledge: VMCache, completer: LineCompleter) -> None:
        assert await completed(completer, '{\n  "', TYPED) == ['"execute": ', '"arguments": ', '"id": ']

    played(scene)
