"""The question which VM is meant, at terminals of several sizes."""

import re
import threading
import time
from collections.abc import Sequence
from typing import TextIO, cast

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output.vt100 import Vt100_Output

from host.net.addresses import UnixAddress
from repl.finding.choosing import NoVMError
from repl.finding.vms import FoundVM, State, Via
from repl.prompt.choice import choose_at_terminal, chosen, rows
from tests.support.raw_client import DEADLINE_S
from tests.support.repl.screen import CTRL_C, CTRL_D, ENTER, TAB, Screen


def vm(name: str, state: State = State.SERVED, via: Via = Via.PROXY) -> FoundVM:
    return FoundVM(name, UnixAddress(f"/run/{name}/legacy.sock"), via, state)


VMS = (vm("alpha"), vm("beta", State.OFF), vm("beta-two", State.BUSY, Via.QEMU))


def answered(
    keys: str,
    vms: Sequence[FoundVM] = VMS,
    *,
    columns: int = 80,
    lines: int = 24,
    then: tuple[str, str] | None = None,
) -> tuple[FoundVM, Screen]:
    """Type at the question. then: what is seen at last, and the keys after it."""
    screen = Screen(columns, lines)
    output = Vt100_Output(cast(TextIO, screen), lambda: screen.size, term="xterm-256color")
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=output):
        screen.answer_with(pipe.send_text)
        pipe.send_text(keys)

        def wait_and_type() -> None:
            deadline = time.monotonic() + DEADLINE_S
            while then is not None and screen.last_line != then[0] and time.monotonic() < deadline:
                time.sleep(0.005)
            pipe.send_text("" if then is None else then[1])

        thread = threading.Thread(target=wait_and_type)
        thread.start()
        try:
            return choose_at_terminal(vms), screen
        finally:
            thread.join()


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ("2" + ENTER, "beta"),
        ("beta-two" + ENTER, "beta-two"),
        ("9" + ENTER + "1" + ENTER, "alpha"),
        ("nosuch" + ENTER + "beta" + ENTER, "beta"),
        ("a" + TAB + ENTER, "alpha"),
        (ENTER + "3" + ENTER, "beta-two"),
    ],
)
def test_number_or_name_chooses(keys: str, name: str) -> None:
    found, screen = answered(keys)
    assert found.name == name
    assert screen.lines[:3] == [
        "1  alpha     served  proxy's unix:/run/alpha/legacy.sock",
        "2  beta      off     proxy's unix:/run/beta/legacy.sock",
        "3  beta-two  busy    QEMU's  unix:/run/beta-two/legacy.sock",
    ]
    assert screen.lines[3].startswith("Which VM?")


def test_wrong_answer_is_told_in_full_above_a_fresh_line() -> None:
    many = [vm(f"a-name-that-is-long-{number}") for number in range(12)]
    found, screen = answered("nosuch" + ENTER, many, then=("Which VM?", "2" + ENTER))
    assert found is many[1]
    shown = screen.text.partition("Which VM? nosuch\n")[2].replace("\n", "")
    assert shown.startswith("no VM is called 'nosuch'; there are a-name-that-is-long-0, ")
    assert "a-name-that-is-long-11Which VM? 2" in shown


def test_tab_completes_names() -> None:
    found, _ = answered("a" + TAB, then=("Which VM? alpha", ENTER))
    assert found.name == "alpha"


@pytest.mark.parametrize("key", [CTRL_C, CTRL_D])
def test_whoever_leaves_chooses_none(key: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        answered(key)


def test_only_vm_is_told_and_taken() -> None:
    found, screen = answered("", VMS[:1])
    assert found is VMS[0]
    assert screen.lines[0] == "the only VM here is alpha: proxy's socket unix:/run/alpha/legacy.sock, served"


def test_list_fits_a_small_terminal() -> None:
    many = [vm(f"a-name-that-is-long-{number}\x1b") for number in range(30)]
    found, screen = answered("30" + ENTER, many, columns=40, lines=10)
    assert found is many[29]
    shown = screen.text.splitlines()
    assert [line[:2].strip() for line in shown[:6]] == ["1", "2", "3", "4", "5", "6"]
    assert shown[6] == "and 24 more; Tab completes names"
    assert all(len(line) <= 40 for line in shown)
    assert re.match(r" 1  a-name-that-is-lo…  served  proxy's", shown[0])
    assert len(rows(many, width=5, height=2)) == 2
    assert len(rows(many, width=40)) == 30
    assert rows([], width=40) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  ", "type a number or a name"),
        ("gamma", "no VM is called 'gamma'; there are a "),
        ("A", r"no VM is called 'A'; did you mean 'a'\?"),
        ("a", "several VMs are called 'a'; type a number"),
        ("0", "no VM is called '0'"),
    ],
)
def test_answer_that_is_none_is_refused(text: str, said: str) -> None:
    with pytest.raises(NoVMError, match=said):
        chosen((vm("a"), vm("a")), text)
