"""Each option is understood, and each wrong use is told in one line with status 2."""

import pytest

from proxy.addresses import (
    AcceptAddress,
    DescriptorAddress,
    StdioAddress,
    SystemdAddress,
    TCPAddress,
    UnixAddress,
)
from proxy.config import Config, parse_command_line
from shim.policy import Policy, PolicyKind

UPSTREAM = ["--upstream", "unix:/q"]
BOTH = [*UPSTREAM, "--listen", "unix:/l"]
OPTIONS = [
    *("--upstream", "--listen", "--take-over", "--client-buffer", "--policy", "--vmstate", "--exclude", "--no-guard"),
    *("--name", "--audit", "--audit-sync", "--verbose", "--help"),
]
FORMS = ["unix:PATH", "tcp:HOST:PORT", "[::1]", "fd:N", "accept:unix:PATH", "stdio", "systemd"]


def test_what_is_not_said() -> None:
    assert parse_command_line(BOTH) == Config(
        upstream=UnixAddress("/q"),
        listen=(UnixAddress("/l"),),
        take_over=None,
        name=None,
        policy=Policy(PolicyKind.AUTO, None, frozenset(), guard=True),
        audit=None,
        audit_sync=False,
        client_buffer_bytes=16 * 1024 * 1024,
        verbose=False,
    )


def test_all_that_can_be_said() -> None:
    arguments = [
        *("--upstream", "tcp:[::1]:4444", "--listen", "unix:/l", "--listen", "tcp:localhost:1", "--listen", "fd:3"),
        *("--listen", "systemd", "--client-buffer", "2", "--policy", "auto", "--vmstate", "d1", "--exclude", "a"),
        *("--exclude", "b", "--no-guard", "--name", "vm", "--audit", "/log", "--audit-sync", "--verbose"),
    ]
    assert parse_command_line(arguments) == Config(
        upstream=TCPAddress("::1", 4444),
        listen=(UnixAddress("/l"), TCPAddress("localhost", 1), DescriptorAddress(3), SystemdAddress()),
        take_over=None,
        name="vm",
        policy=Policy(PolicyKind.AUTO, "d1", frozenset({"a", "b"}), guard=False),
        audit="/log",
        audit_sync=True,
        client_buffer_bytes=2 * 1024 * 1024,
        verbose=True,
    )


def test_hmps_policy() -> None:
    assert parse_command_line([*BOTH, "--policy", "hmp"]).policy == Policy(PolicyKind.HMP)


def test_qemu_that_connects_to_us() -> None:
    config = parse_command_line(["--upstream", "accept:unix:/q", "--listen", "stdio"])
    assert (config.upstream, config.listen) == (AcceptAddress(UnixAddress("/q")), (StdioAddress(),))


@pytest.mark.parametrize("path", ["/run/q", "unix:/run/q"])
@pytest.mark.parametrize("more", [[], ["--listen", "tcp:localhost:1"]])
def test_take_over(path: str, more: list[str]) -> None:
    config = parse_command_line(["--take-over", path, *more])
    assert config.upstream == config.take_over == UnixAddress("/run/q")
    assert len(config.listen) == len(more) // 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "say where QEMU is and where the tools come in: --upstream and --listen, or --take-over"),
        (UPSTREAM, "say where QEMU is and where the tools come in: --upstream and --listen, or --take-over"),
        (["--listen", "unix:/l"], "say where QEMU is and where the tools come in: --upstream and --listen, or --take-over"),
        ([*UPSTREAM, "--listen", "unix:/q"], "--upstream and --listen are the same socket; the proxy needs one of its own"),
        ([*BOTH, "--listen", "stdio"], "--listen stdio stands alone: the proxy ends with that client"),
        ([*UPSTREAM, "--take-over", "/q"], "--take-over PATH says where QEMU is; drop --upstream"),
        (
            ["--take-over", "/" + "a" * 99],
            f"'unix:/{'a' * 99}.hmpshim' is no address: a socket's path has at most 107 bytes; choose a shorter one",
        ),
        ([*BOTH, "--client-buffer", "0"], "--client-buffer takes a whole number of MiB from 1"),
        ([*BOTH, "--client-buffer", "-1"], "--client-buffer takes a whole number of MiB from 1"),
        ([*BOTH, "--client-buffer", "x"], "argument --client-buffer: invalid int value: 'x'"),
        ([*BOTH, "--audit-sync"], "--audit-sync goes with --audit FILE"),
        (
            [*BOTH, "--policy", "hmp", "--vmstate", "d0"],
            "--policy hmp leaves the choice to HMP's rule; drop --vmstate and --exclude, or use --policy auto",
        ),
        (
            [*BOTH, "--policy", "hmp", "--exclude", "d0"],
            "--policy hmp leaves the choice to HMP's rule; drop --vmstate and --exclude, or use --policy auto",
        ),
        ([*BOTH, "--policy", "none"], None),
        ([*BOTH, "--bogus"], "unrecognized arguments: --bogus"),
        ([*BOTH, "--name"], "argument --name: expected one argument"),
        (
            ["--upstream", "/q"],
            "argument --upstream: '/q' is no address: write unix:PATH, tcp:HOST:PORT, fd:NUMBER or accept:unix:PATH",
        ),
        (
            ["--listen", "accept:unix:/q"],
            "argument --listen: 'accept:unix:/q' is no address: write unix:PATH, tcp:HOST:PORT, fd:NUMBER, stdio or systemd",
        ),
        (["--upstream", "stdio"], None),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_wrong_use_is_told_in_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str | None) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_command_line(arguments)
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("hmp-proxy: ")
    assert said.err.endswith(" (see hmp-proxy --help)\n")
    if complaint is not None:
        assert said.err == f"hmp-proxy: {complaint} (see hmp-proxy --help)\n"


def test_help_tells_all(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_command_line(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    missing = [word for word in [*OPTIONS, *FORMS] if word not in said]
    assert missing == []
    explained = [
        "0  stopped by SIGINT or SIGTERM", "2  wrong use", "3  QEMU's socket cannot be reached",
        "4  what answers there is no QMP server", "5  the listening socket cannot be made",
        "6  the audit log cannot be written",
    ]  # fmt: skip
    assert [text for text in explained if text not in said] == []


def test_help_has_no_option_that_these_tests_do_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_command_line(["--help"])
    said = capsys.readouterr().out.partition("examples:")[0]
    words = {word.strip("[],.;") for word in said.split() if word.lstrip("[").startswith("--")}
    assert words == set(OPTIONS)
