"""Shell commands that a text is fed to."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from repl.outlets.shell import Ended, feed, feed_behind, status_text
from tests.support.raw_client import DEADLINE_S

# More than a pipe holds.
LONG = "line\n" * 200_000


def fed(command: str, text: str = "a\nb\n", **options: dict[str, str]) -> Ended:
    async def scene() -> Ended:
        async with asyncio.timeout(DEADLINE_S):
            return await feed(command, text, **options)

    return asyncio.run(scene())


def fed_behind(command: str, text: str = "a\nb\n") -> Ended:
    async def scene() -> Ended:
        async with asyncio.timeout(DEADLINE_S):
            return await feed_behind(command, text)

    return asyncio.run(scene())


@pytest.mark.parametrize("text", ["", "a\n", LONG, "\udcff é"])
def test_command_gets_all_of_the_text(tmp_path: Path, text: str) -> None:
    path = tmp_path / "got"
    assert fed(f"cat > {path}", text) == Ended(0)
    assert path.read_bytes() == text.encode(errors="surrogatepass")


def test_command_gets_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "got"
    assert fed(f'printf %s "$LESS" > {path}', environment={"LESS": "FRX"}).status == 0
    assert path.read_text() == "FRX"


@pytest.mark.parametrize("command", ["true", "head -n 1 > /dev/null", "exec <&-; true"])
def test_command_that_does_not_read_it_all_is_in_order(command: str) -> None:
    assert fed(command, LONG) == Ended(0)
    assert fed_behind(command, LONG) == Ended(0)


@pytest.mark.parametrize(
    ("command", "status", "said"),
    [
        ("exit 3", 3, "'exit 3' ended with status 3"),
        ("kill -TERM $$", -15, "'kill -TERM $$' was ended by SIGTERM"),
        ("kill -40 $$", -40, "'kill -40 $$' was ended by signal 40"),
    ],
)
def test_end_is_told(command: str, status: int, said: str) -> None:
    for ended in (fed(command), fed_behind(command)):
        assert ended.status == status
        assert status_text(command, ended) == said


def test_command_that_is_not_there() -> None:
    ended = fed_behind("no-such-command-here")
    assert (ended.status, ended.was_not_run) == (127, True)
    assert "not found" in ended.text


@pytest.mark.parametrize(("status", "is_so"), [(-2, True), (130, True), (0, False), (1, False), (-15, False)])
def test_ctrl_c_is_known(status: int, is_so: bool) -> None:
    assert Ended(status).was_interrupted is is_so


def test_wrong_commands_are_refused() -> None:
    for of in (fed, fed_behind):
        with pytest.raises(ValueError, match="null"):
            of("a\0b")


def test_what_is_printed_behind_the_prompt_is_returned() -> None:
    assert fed_behind("tr a-z A-Z; echo end >&2") == Ended(0, "A\nB\nend\n")
    assert fed_behind("printf '\\377'") == Ended(0, "\ufffd")
    assert fed_behind("cat", LONG).text == LONG[: 1 << 20]


def test_command_that_prints_for_ever_is_ended() -> None:
    ended = fed_behind("yes")
    assert ended.status == -signal.SIGKILL
    assert len(ended.text) == 1 << 20


def test_command_behind_the_prompt_has_no_terminal() -> None:
    assert fed_behind("(: < /dev/tty) 2> /dev/null && echo there || echo none").text == "none\n"


@pytest.mark.parametrize("of", [feed, feed_behind])
def test_command_is_ended_when_nobody_waits_for_it_any_more(tmp_path: Path, of: object) -> None:
    """With a text that it does not read, too."""
    path = tmp_path / "pid"

    async def scene() -> None:
        coroutine = feed if of is feed else feed_behind
        waiting = asyncio.create_task(coroutine(f"echo $$ > {path}.new; mv {path}.new {path}; exec sleep 1000", LONG))
        async with asyncio.timeout(DEADLINE_S):
            while not path.exists():  # noqa: ASYNC110 - the shell does not tell
                await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.wait([waiting])
        assert waiting.cancelled()

    asyncio.run(scene())
    assert not Path(f"/proc/{path.read_text().strip()}").exists()


def test_what_a_command_has_started_is_ended_with_it(tmp_path: Path) -> None:
    """It holds the output open, though the command itself is long gone."""
    path = tmp_path / "pid"

    async def scene() -> None:
        waiting = asyncio.create_task(feed_behind(f"sleep 1000 & echo $! > {path}.new; mv {path}.new {path}", ""))
        async with asyncio.timeout(DEADLINE_S):
            while not path.exists():  # noqa: ASYNC110 - the shell does not tell
                await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.wait([waiting])
            # Its parent is gone, so it is for init to bury it.
            while _is_alive(path.read_text().strip()):  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)

    asyncio.run(scene())


def test_command_is_ended_also_while_it_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[asyncio.subprocess.Process] = []
    may_go_on: list[asyncio.Event] = []
    create = asyncio.create_subprocess_shell

    async def slowly(command: str, **options: Any) -> asyncio.subprocess.Process:
        started.append(await create(command, **options))
        await may_go_on[0].wait()
        return started[0]

    async def scene() -> None:
        may_go_on.append(asyncio.Event())
        waiting = asyncio.create_task(feed_behind("exec sleep 1000", ""))
        async with asyncio.timeout(DEADLINE_S):
            while not started:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)
            waiting.cancel()
            await asyncio.sleep(0)
            may_go_on[0].set()
            await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert started[0].returncode == -signal.SIGKILL

    monkeypatch.setattr(asyncio, "create_subprocess_shell", slowly)
    asyncio.run(scene())


def _is_alive(pid: str) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
