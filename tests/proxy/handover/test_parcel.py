"""A VM as one descriptor: what went in comes out once, and only with a seal."""

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from proxy.handover.parcel import Parcel, unpack
from tests.support.proxy.few_descriptors import few_descriptors_left


def opened(folder: Path, count: int) -> list[int]:
    """Open as many files, each of which has its number in it."""
    numbers = []
    for number in range(count):
        (folder / str(number)).write_text(str(number))
        numbers.append(os.open(folder / str(number), os.O_RDONLY))
    return numbers


def contents(numbers: list[int]) -> list[str]:
    found = []
    for number in numbers:
        found.append(os.pread(number, 10, 0).decode())
        os.close(number)
    return found


def packed(message: dict[str, Any], numbers: list[int], *, is_sealed: bool = True) -> int:
    """Return what a service manager keeps of it."""
    parcel = Parcel(message, numbers)
    kept = os.dup(parcel.number)
    parcel.given()
    assert parcel.is_kept
    if is_sealed:
        parcel.seal()
    parcel.close()
    parcel.close()
    return kept


@pytest.mark.parametrize("count", [0, 1, 200, 450])
def test_what_went_in_comes_out(tmp_path: Path, count: int) -> None:
    """More than the kernel takes at once, with more text than a socket holds."""
    numbers = opened(tmp_path, count)
    kept = packed({"is": "x" * 3_000_000}, numbers)
    for number in numbers:
        os.close(number)
    message, taken = unpack(kept)
    assert (message["is"], message["count"]) == ("x" * 3_000_000, count)
    assert contents(taken) == [str(number) for number in range(count)]


def test_what_was_taken_out_is_not_there_a_second_time() -> None:
    kept = packed({}, [])
    again = os.dup(kept)
    unpack(kept)
    with pytest.raises(ValueError, match="did not finish"):
        unpack(again)


def test_it_counts_for_nothing_without_a_seal(tmp_path: Path) -> None:
    (number,) = opened(tmp_path, 1)
    with pytest.raises(ValueError, match="did not finish"):
        unpack(packed({}, [number], is_sealed=False))
    os.close(number)


def test_it_can_be_taken_out_while_the_other_process_lives() -> None:
    parcel = Parcel({"a": 1}, [])
    kept = os.dup(parcel.number)
    parcel.given()
    parcel.seal()
    assert unpack(kept)[0] == {"a": 1, "count": 0}
    parcel.close()


def test_it_is_known_when_nobody_keeps_it() -> None:
    parcel = Parcel({}, [])
    parcel.given()
    assert not parcel.is_kept
    with pytest.raises(BrokenPipeError):
        parcel.seal()
    parcel.close()


def test_descriptors_that_are_lost_on_the_way_are_missed(tmp_path: Path) -> None:
    numbers = opened(tmp_path, 9)
    kept = packed({}, numbers)
    for number in numbers:
        os.close(number)
    with few_descriptors_left(5), pytest.raises(ValueError, match=r"too few files may be open; raise ulimit -n"):
        unpack(kept)


def test_failure_to_pack_leaves_nothing_open() -> None:
    with pytest.raises(OSError, match="Bad file descriptor"):
        Parcel({}, [-1])


@pytest.mark.parametrize("kind", ["no socket", "no message", "no object", "no file"])
def test_what_is_no_parcel(kind: str) -> None:
    if kind == "no socket":
        number = os.open("/dev/null", os.O_RDONLY)
    else:
        ours, theirs = socket.socketpair()
        number = os.dup(theirs.fileno())
        theirs.close()
        if kind != "no file":
            memory = os.memfd_create("x")
            os.write(memory, b"{}" if kind == "no message" else b"[]")
            socket.send_fds(ours, [b"\0"], [memory])
            os.close(memory)
        ours.sendall(b"\1")
        ours.close()
    with pytest.raises(ValueError, match="what is kept of it is no VM"):
        unpack(number)
