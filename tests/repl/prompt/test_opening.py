"""What is shown before there is a prompt, where that takes long."""

import asyncio
import re

import pytest

from host.net.addresses import UnixAddress
from repl.errors import LinkError
from repl.output.show import duration_text
from repl.progress.silence import Silence
from repl.prompt import opening
from repl.prompt.opening import opened
from repl.prompt.terminal import Terminal
from tests.support.repl.desk import Desk, at_desk
from tests.support.repl.screen import CTRL_C


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_SOON_S", 0)


def why(silence: Silence) -> str:
    return f"waits for a test since {duration_text(1)}" if silence.since_ns > 0 else "never"


async def sees(desk: Desk) -> None:
    await desk.sees("waits for a test since 0 ms  (Ctrl-C: leave)")


def test_what_is_waited_for_is_shown_until_the_connection_is_there() -> None:
    async def main() -> None:
        is_there = asyncio.Event()

        async def connect() -> None:
            await is_there.wait()

        async with at_desk(Terminal()) as desk:
            waiting = asyncio.create_task(opened(desk.terminal, connect(), why))
            await sees(desk)
            is_there.set()
            assert await waiting
            assert desk.screen.text == ""

    asyncio.run(main())


def test_ctrl_c_leaves() -> None:
    async def main() -> None:
        ended = []

        async def connect() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(True)

        async with at_desk(Terminal()) as desk:
            waiting = asyncio.create_task(opened(desk.terminal, connect(), why))
            await sees(desk)
            desk.keyboard.send_text(CTRL_C)
            assert not await waiting
            assert ended

    asyncio.run(main())


@pytest.mark.parametrize("is_late", [True, False])
def test_failure_is_the_callers(monkeypatch: pytest.MonkeyPatch, is_late: bool) -> None:
    if not is_late:
        monkeypatch.setattr(opening, "_SOON_S", 1000)

    async def connect() -> None:
        if is_late:
            await shown.wait()
        raise LinkError(str(UnixAddress("/q")), "nobody is there")

    shown = asyncio.Event()

    async def main() -> None:
        async with at_desk(Terminal()) as desk:
            waiting = asyncio.create_task(opened(desk.terminal, connect(), why))
            if is_late:
                await sees(desk)
                shown.set()
            with pytest.raises(LinkError, match=re.escape("cannot connect to QEMU at unix:/q: nobody is there")):
                await waiting
            assert "waits" not in desk.screen.text

    asyncio.run(main())


def test_nothing_is_shown_where_it_is_soon_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_SOON_S", 1000)

    async def connect() -> None:
        await asyncio.sleep(0)

    async def main() -> None:
        async with at_desk(Terminal()) as desk:
            assert await opened(desk.terminal, connect(), why)
            assert desk.screen.written == ""

    asyncio.run(main())
