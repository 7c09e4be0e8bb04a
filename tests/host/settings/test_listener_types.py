"""Listeners with their own terms, as a word and as a table: what they mean, and how a mistake is told."""

import argparse
from typing import Any

import pytest

from host.net.addresses import Address, StdioAddress, TCPAddress, UnixAddress, parse_listen_address, parse_taken_path
from host.settings.bad_value import BadValue
from host.settings.listener import ErrorStyle, Said
from host.settings.listener_settings import LISTENER_SETTINGS
from host.settings.listener_types import EXECUTABLES, GROUPS, USERS, listener_type, listeners_type
from host.settings.setting_types import SettingType

LISTENERS = listeners_type(parse_listen_address, LISTENER_SETTINGS)
LISTENER = listener_type(parse_taken_path, [row for row in LISTENER_SETTINGS if row.key == "errors"])


def of_word(text: str) -> Any:
    assert LISTENERS.from_word is not None
    return LISTENERS.from_word(text)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("unix:/l,mode=0660", Said(UnixAddress("/l"), {"socket_mode": 0o660})),
        (
            "unix:/l,mode=0660,group=7,owner=0",
            Said(UnixAddress("/l"), {"socket_mode": 0o660, "socket_group": 7, "socket_owner": 0}),
        ),
        ("hold:tcp:[::1]:1,errors=qmp", Said(TCPAddress("::1", 1, holds=True), {"errors": ErrorStyle.QMP})),
        ("unix:/l,allow-user=0,allow-user=7", Said(UnixAddress("/l"), {"allow_users": frozenset({0, 7})})),
        ("unix:/l,allow-user=", Said(UnixAddress("/l"), {"allow_users": frozenset()})),
        ("unix:/l,allow-executable=/a,,b", Said(UnixAddress("/l"), {"allow_executables": frozenset({"/a,b"})})),
        ("tcp:127.0.0.1:4444,telnet=on", Said(TCPAddress("127.0.0.1", 4444), {"telnet": True})),
        ("unix:/l,telnet=off", Said(UnixAddress("/l"), {"telnet": False})),
        ("stdio,errors=hmp", Said(StdioAddress(), {"errors": ErrorStyle.HMP})),
        # A comma of the path stays what it is.
        ("unix:/a,b", UnixAddress("/a,b")),
        ("unix:/a,,b", UnixAddress("/a,,b")),
        ("unix:/a,b=c", UnixAddress("/a,b=c")),
        ("unix:/a,modes=1", UnixAddress("/a,modes=1")),
        ("unix:/a,mode", UnixAddress("/a,mode")),
        ("unix:/a,,mode=1", UnixAddress("/a,,mode=1")),
        ("unix:/a,b,mode=0660", Said(UnixAddress("/a,b"), {"socket_mode": 0o660})),
        ("unix:/a,b=c,mode=0660", Said(UnixAddress("/a,b=c"), {"socket_mode": 0o660})),
    ],
)
def test_word(word: str, said: Address | Said) -> None:
    assert of_word(word) == said
    assert LISTENERS.from_file(word) == LISTENERS.from_file([word]) == (said,)


@pytest.mark.parametrize(
    ("word", "error"),
    [
        ("unix:/l,mode=0660,b", "'b' is not an option of a listener; write mode=…, "),
        ("unix:/l,mode=0660,b=1", "'b=1' is not an option of a listener; write mode=…, "),
        ("unix:/l,mode=0660,mode=0600", "mode is given twice; write it once"),
        ("unix:/l,mode=", "mode: '' is not a mode; write it in octal, from 0000 to 0777, such as 0660"),
        ("unix:/l,mode=a,,b", "mode: 'a,b' is not a mode; write it in octal, from 0000 to 0777, such as 0660"),
        ("unix:/l,telnet=true", "telnet: 'true' is not one of on, off"),
        ("unix:/l,errors=maybe", "errors: 'maybe' is not one of hmp, qmp"),
        ("unix:/l,allow-group=no such", "allow-group: there is no group 'no such' on this machine; write a name or a number"),
        ("unix:/l,allow-executable=sh", "allow-executable: 'sh' is not the path of an executable; write it from the root"),
        ("unix:,mode=0660", "invalid address 'unix:': write unix:PATH, tcp:HOST:PORT, fd:NUMBER, stdio or systemd"),
    ],
)
def test_mistake_in_a_word(word: str, error: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as in_word:
        of_word(word)
    with pytest.raises(BadValue) as in_file:
        LISTENERS.from_file(word)
    assert [str(in_word.value)[: len(error)], str(in_file.value)[: len(error)]] == [error, error]


def test_table() -> None:
    table = {"address": "unix:/a,mode=1", "mode": "0660", "errors": "qmp"}
    said = Said(UnixAddress("/a,mode=1"), {"socket_mode": 0o660, "errors": ErrorStyle.QMP})
    assert LISTENERS.from_file(table) == LISTENERS.from_file([table]) == (said,)
    assert LISTENERS.from_file({"address": "unix:/l", "telnet": True}) == (Said(UnixAddress("/l"), {"telnet": True}),)
    assert LISTENERS.from_file(["stdio", {"address": "unix:/l"}]) == (StdioAddress(), UnixAddress("/l"))
    assert LISTENER.from_file({"address": "/q", "errors": "hmp"}) == Said(UnixAddress("/q"), {"errors": ErrorStyle.HMP})
    assert LISTENER.from_file({"address": "hold:/q"}) == UnixAddress("/q", holds=True)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ({}, 'the table of a listener needs its address: { address = "unix:/path", … }'),
        ({"address": 1}, 'address: write a string in quotes, such as "vm1"'),
        ({"address": "/l"}, "address: invalid address '/l': write unix:PATH, tcp:HOST:PORT, fd:NUMBER, stdio or systemd"),
        (
            {"address": "unix:/l", "mod": 1},
            "mod: unknown key; did you mean 'mode'?",
        ),
        ({"address": "unix:/l", "telnet": "on"}, "telnet: write true or false"),
        ([{"address": "unix:/l", "errors": 1}], "item 1: errors: write one of 'hmp', 'qmp'"),
        ([{"address": "unix:/l"}, 1], 'item 2: write a string in quotes, such as "vm1"'),
        ([1], 'item 1: write a string in quotes, such as "vm1"'),
    ],
)
def test_mistake_in_a_table(value: Any, error: str) -> None:
    with pytest.raises(BadValue) as caught:
        LISTENERS.from_file(value)
    assert str(caught.value)[: len(error)] == error


@pytest.mark.parametrize(
    ("kind", "value", "members"),
    [
        (USERS, 7, {7}),
        (USERS, "root", {0}),
        (GROUPS, ["root", 7, "8"], {0, 7, 8}),
        (USERS, [], set()),
        (EXECUTABLES, "/bin/sh", {"/bin/sh"}),
        (EXECUTABLES, ["/bin/sh", "/bin/a"], {"/bin/sh", "/bin/a"}),
    ],
)
def test_list_of_whom_to_let_in(kind: SettingType, value: Any, members: set[object]) -> None:
    assert kind.from_file(value) == members


@pytest.mark.parametrize(
    ("kind", "value", "error"),
    [
        (USERS, [True], 'item 1: write a string in quotes, such as "vm1"'),
        (USERS, -1, "there is no user '-1' on this machine; write a name or a number"),
        (GROUPS, ["no such"], "item 1: there is no group 'no such' on this machine; write a name or a number"),
        (EXECUTABLES, 1, 'write a string in quotes, or a list of strings: ["a", "b"]'),
        (EXECUTABLES, "sh", "'sh' is not the path of an executable; write it from the root, such as /usr/bin/virsh"),
    ],
)
def test_mistake_in_a_list_of_whom_to_let_in(kind: SettingType, value: Any, error: str) -> None:
    with pytest.raises(BadValue) as caught:
        kind.from_file(value)
    assert str(caught.value) == error


def test_path_that_is_taken_over_has_only_some() -> None:
    with pytest.raises(BadValue, match="mode: unknown key; the keys of a listener are address, errors"):
        LISTENER.from_file({"address": "/q", "mode": "0660"})
