"""A message of the log is one line, whatever is in it, and no terminal obeys it."""

import io
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import pytest

from host.log_lines import LogLines, write_log
from tests.support.checkout import ROOT

HOSTILE: Final = "/x\x1b[2J\r\nhmp-proxy: all is well\x9b1m\u202e\ud800"
SHOWN: Final = r"/x\x1b[2J\r\nhmp-proxy: all is well\x9b1m\u202e\ud800"


@pytest.fixture
def written() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """Return a logger and what it has written."""
    logger, stream = logging.Logger("test"), io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogLines("hmp-proxy: %(message)s"))
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
