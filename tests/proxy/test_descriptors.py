"""Descriptors that come with a message."""

import array
import socket

from proxy.net.descriptors import descriptors_of


def test_only_descriptors_are_taken_and_only_whole_ones() -> None:
    numbers = array.array("i", [70, 71]).tobytes()
    ancillary = [(socket.SOL_SOCKET, 2, b"\0" * 12), (socket.SOL_SOCKET, socket.SCM_RIGHTS, numbers + b"\0\0")]
    assert descriptors_of(ancillary) == (70, 71)
