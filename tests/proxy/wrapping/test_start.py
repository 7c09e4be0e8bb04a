"""The words and descriptors with which QEMU is started."""

import os
import re
import resource
import socket

import pytest

from proxy.wrapping.start import prepare
from tests.support.processes.wrapped_monitors import line_of

WORDS = "-qmp unix:q,server=on,wait=off -m 32 -chardev socket,id=c,path=h,server=on,wait=off -mon c"


def text_of(path: str) -> str:
    with open(path) as file:
        return file.read()


def test_qemus_ends_are_inherited_and_ours_are_not() -> None:
    start = prepare(line_of(WORDS))
    try:
        # A control monitor, one for each that is served, and the file that makes them.
        assert len(start.inherited) == 4
        assert all(os.get_inheritable(number) for number in start.inherited)
        assert not any(os.get_inheritable(sock.fileno()) for sock in (start.control, *start.idle))
    finally:
        start.close()


def test_words_lead_to_them() -> None:
    start = prepare(line_of(WORDS))
    try:
        assert start.words[0] == "-readconfig"
        configuration = text_of(start.words[1])
        control = re.search(r'fd = "(\d+)"', configuration)
        assert control is not None
        for ours, number in [
            (start.control, int(control[1])),
            *zip(start.idle, map(int, re.findall(r"fd=(\d+)", " ".join(start.words))), strict=True),
        ]:
            with socket.socket(fileno=os.dup(number)) as theirs:
                theirs.sendall(b"x")
                assert ours.recv(1) == b"x"
    finally:
        start.close()


def test_numbers_are_none_that_people_write() -> None:
    start = prepare(line_of(WORDS))
    start.close()
    numbers = [int(found) for found in re.findall(r"(?:fd=|/fd/)(\d+)", " ".join(start.words))]
    assert len(numbers) == 3
    assert min(numbers) >= 200


def test_numbers_are_low_where_there_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    start = prepare(line_of(WORDS))
    assert max(start.inherited) < 200
    start.close()


def test_what_is_left_to_qemu_ends_with_qemu() -> None:
    start = prepare(line_of(WORDS))
    start.close_inherited()
    assert start.inherited == []
    assert [sock.recv(1) for sock in (start.control, *start.idle)] == [b"", b"", b""]
    start.close()


def test_nothing_is_left_open_where_something_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    """tests/conftest.py looks for what is."""

    def refuse(name: str) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    with pytest.raises(OSError, match="Too many"):
        prepare(line_of(WORDS))
