"""The command lines that ask a running proxy, and that tell it what to do."""

import pytest

from proxy.command_line import ask
from proxy.command_line.invocations import AskInvocation, Question


@pytest.mark.parametrize(
    ("words", "invocation"),
    [
        ("status", AskInvocation(Question.STATUS)),
        ("status vm1 --json", AskInvocation(Question.STATUS, vm="vm1", as_json=True)),
        ("status --control /c --watch", AskInvocation(Question.STATUS, "/c", watches=True)),
        ("clients", AskInvocation(Question.CLIENTS)),
        ("clients vm1 --json", AskInvocation(Question.CLIENTS, vm="vm1", as_json=True)),
        ("metrics --control /c", AskInvocation(Question.METRICS, "/c")),
        ("disconnect vm1 7 --admin /a", AskInvocation(Question.DISCONNECT, "/a", vm="vm1", client="7")),
        ("pause vm1", AskInvocation(Question.PAUSE, vm="vm1")),
        ("pause vm1 --for 1.5 --no-wait", AskInvocation(Question.PAUSE, vm="vm1", for_s=1.5, no_wait=True)),
        ("resume vm1", AskInvocation(Question.RESUME, vm="vm1")),
        ("reload", AskInvocation(Question.RELOAD)),
    ],
)
def test_it_is_known_what_is_asked_for(words: str, invocation: AskInvocation) -> None:
    name, *others = words.split()
    assert ask.parse(Question(name), others) == invocation


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("status --watch --json", "--watch shows a table; drop --json"),
        ("pause", "the following arguments are required: VM"),
        ("disconnect vm1", "the following arguments are required: CLIENT"),
        ("pause vm1 --for 0", "argument --for: '0' is not a number of seconds greater than 0"),
        ("pause vm1 --for inf", "argument --for: 'inf' is not a number of seconds greater than 0"),
        ("pause vm1 --for soon", "argument --for: 'soon' is not a number of seconds greater than 0"),
        ("status --admin /a", "unrecognized arguments: --admin"),
        ("reload --control /c", "unrecognized arguments: --control /c"),
    ],
)
def test_what_is_wrong_is_said(words: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, *others = words.split()
    with pytest.raises(SystemExit) as caught:
        ask.parse(Question(name), others)
    assert caught.value.code == 2
    assert f"hmp-proxy {name}: {complaint}" in capsys.readouterr().err


@pytest.mark.parametrize("question", Question)
def test_help_names_the_socket_and_the_statuses(question: Question, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        ask.parse(question, ["--help"])
    shown = capsys.readouterr().out
    assert ("--admin PATH" if question.acts else "--control PATH") in shown
    assert "exit status:\n  0  " in shown
    assert "\n  3  no proxy answers there" in shown
