"""A message of the log is one line, whatever is in it, and no terminal obeys it."""

import asyncio
import io
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Final, NoReturn

import pytest

from host import log_lines
from host.log_lines import LogLines, LogObjects, about_vm, write_log
from tests.support.checkout import ROOT

HOSTILE: Final = "/x\x1b[2J\r\nhmp-proxy: all is well\x9b1m\u202e\ud800"
SHOWN: Final = r"/x\x1b[2J\r\nhmp-proxy: all is well\x9b1m\u202e\ud800"


@pytest.fixture
def written() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """Return a logger and what it has written."""
    logger, stream = logging.Logger("test"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogLines("hmp-proxy"))
    logger.addHandler(handler)
    yield logger, stream
    handler.close()


def test_message_is_one_line(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = written
    logger.warning("client connected: %s", HOSTILE)
    assert stream.getvalue() == f"hmp-proxy: client connected: {SHOWN}\n"


def test_message_of_ours_stays_as_it_is(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = written
    logger.warning("QEMU's “ü” 日本")
    assert stream.getvalue() == "hmp-proxy: QEMU's “ü” 日本\n"


def test_traceback_forges_no_message(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = written
    try:
        raise ValueError(HOSTILE)
    except ValueError:
        logger.exception("it went wrong with %s", "\n")
    first, *others = stream.getvalue().splitlines()
    assert first == r"hmp-proxy: it went wrong with \n"
    assert "    | Traceback (most recent call last):" in others
    assert {line[:6] for line in others} == {"    | "}
    assert stream.getvalue().replace("\n", "").isprintable()


def test_stack_forges_no_message(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = written
    logger.warning("here", stack_info=True)
    assert {line[:6] for line in stream.getvalue().splitlines()[1:]} == {"    | "}


def test_program_writes_its_log_on_standard_error(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    write_log("hmp-repl")
    logging.getLogger("host").warning("%s", HOSTILE)
    assert capsys.readouterr() == ("", f"hmp-repl: {SHOWN}\n")


def test_message_names_its_vm_once(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = written
    with about_vm("vm\n1"):
        logger.warning("client connected")
        logger.warning("it begins anew")
        with about_vm(""):
            logger.warning("of none")
    logger.warning("of the process")
    assert stream.getvalue().splitlines() == [
        r"hmp-proxy: vm\n1: client connected",
        r"hmp-proxy: vm\n1: it begins anew",
        "hmp-proxy: of none",
        "hmp-proxy: of the process",
    ]


def test_no_message_names_the_vm_that_it_is_about() -> None:
    """The name is with it already, and a program would find it in the text of a JSON object."""
    calls = re.compile(r"_log\.(?:log\([^\"]*|\w+\()\s*f?\"(?:%s|\{[^}\"]*name\}): ")
    sources = [path for package in ("host", "proxy") for path in (ROOT / package).rglob("*.py")]
    assert len(sources) > 100
    assert [str(path) for path in sources if calls.search(path.read_text(encoding="utf-8"))] == []


def test_callbacks_and_tasks_of_a_vm_are_about_it(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = written

    async def say(text: str) -> None:
        logger.warning(text)

    async def run() -> None:
        with about_vm("a"):
            task = asyncio.create_task(say("task"))
            asyncio.get_running_loop().call_soon(logger.warning, "callback")
        await task
        await say("other")

    asyncio.run(run())
    assert stream.getvalue().splitlines() == ["hmp-proxy: a: task", "hmp-proxy: a: callback", "hmp-proxy: other"]


def test_object_for_each_message(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = written
    logger.handlers[0].setFormatter(LogObjects("hmp-proxy"))
    with about_vm("a"):
        logger.warning("client %s", HOSTILE)
    try:
        raise ValueError("x")
    except ValueError:
        logger.exception("it went wrong")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert datetime.fromisoformat(first.pop("time")).utcoffset() == timedelta(0)
    assert first == {"level": "warning", "program": "hmp-proxy", "vm": "a", "message": f"client {HOSTILE}"}
    assert (second["level"], second["message"], "vm" in second) == ("error", "it went wrong", False)
    assert second["traceback"].endswith("ValueError: x")


def test_lines_for_the_journal_have_priorities(written: tuple[logging.Logger, io.StringIO]) -> None:
    logger, stream = written
    logger.handlers[0].setFormatter(LogLines("p", for_journal=True))
    logger.info("a")
    logger.warning("b")
    logger.critical("c")
    try:
        raise ValueError("x")
    except ValueError:
        logger.exception("d")
    first, second, third, *others = stream.getvalue().splitlines()
    assert [first, second, third, others[0]] == ["<6>p: a", "<4>p: b", "<6>p: c", "<3>p: d"]
    assert {line[:9] for line in others[1:]} == {"<3>    | "}


@pytest.mark.parametrize(("is_journals", "begins"), [(True, "<4>"), (False, "")])
def test_journal_is_known_by_its_socket(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], is_journals: bool, begins: str
) -> None:
    status = os.fstat(2)
    monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino + (not is_journals)}")
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    write_log("p")
    logging.getLogger("host").warning("x")
    write_log("p", as_json=True)
    logging.getLogger("host").warning("y")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{begins}p: x"
    assert json.loads(lines[1])["message"] == "y"


def test_closed_standard_error_is_no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(number: int) -> NoReturn:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    monkeypatch.setattr(log_lines, "os", SimpleNamespace(environ=os.environ, fstat=fail))
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    write_log("p")


@pytest.mark.parametrize(
    "command",
    [
        ["proxy", "--upstream", f"unix:/none{HOSTILE[:-1]}", "--listen", "unix:/none/x"],
        ["repl", f"unix:/none{HOSTILE[:-1]}"],
        ["proxy", f"--{HOSTILE[:-1]}"],
        ["audit", "check", HOSTILE[:-1]],
    ],
    ids=["proxy", "prompt", "wrong option", "check"],
)
def test_programs_say_their_errors_in_one_line(command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"}
    run = [sys.executable, "-m", *command]
    done = subprocess.run(run, cwd=ROOT, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    told = done.stderr + done.stdout
    assert done.returncode in (1, 2, 3, 5)
    assert told.count("\n") == 1
    assert told[:-1].isprintable()
