"""verdict_on: who can serve the clients of a character device."""

import pytest

from proxy.qemu_command_line.chardevs import Chardev
from proxy.qemu_command_line.endpoints import (
    Descriptor,
    Endpoint,
    Refused,
    Stdio,
    TCPSocket,
    Uncovered,
    UnixSocket,
    Unknown,
    Unreachable,
    Verdict,
    Version,
    verdict_on,
)


def verdict(text: str, version: Version = None, *, has_display: bool = False) -> Verdict:
    chardev = Chardev.from_option(text)
    assert chardev is not None
    return verdict_on(chardev, has_display=has_display, version=version)


ANY = TCPSocket("", "0")


@pytest.mark.parametrize(
    ("options", "endpoint"),
    [
        ("path=q,server=on,wait=off", Endpoint(UnixSocket("q"), listens=True)),
        ("path=q,server=on", Endpoint(UnixSocket("q"), listens=True, waits=True)),
        ("path=q,server,wait", Endpoint(UnixSocket("q"), listens=True, waits=True)),
        ("path=q,server=yes,wait=false,telnet=y", Endpoint(UnixSocket("q"), listens=True, telnet=True)),
        ("path=@q,server,nowait,abstract=off,tight=on", Endpoint(UnixSocket("@q"), listens=True)),
        ("path=q", Endpoint(UnixSocket("q"))),
        ("path=q,reconnect=2", Endpoint(UnixSocket("q"), reconnect_ms=2000)),
        ("path=q,reconnect-ms=20", Endpoint(UnixSocket("q"), reconnect_ms=20)),
        ("path=q,reconnect=0", Endpoint(UnixSocket("q"))),
        ("path=q,server=off,logappend=on,mux=off", Endpoint(UnixSocket("q"))),
        ("host=,port=0,server=on,wait=off", Endpoint(ANY, listens=True)),
        ("host=,port=0,server=on,wait=off,telnet=on", Endpoint(ANY, listens=True, telnet=True)),
        ("host=h,port=1,to=9,ipv4=on,ipv6=off", Endpoint(TCPSocket("h", "1", "9", ipv4=True, ipv6=False))),
        ("host=h,port=1,nodelay=on", Endpoint(TCPSocket("h", "1", no_delay=True))),
        ("host=h,port=1,nodelay=off", Endpoint(TCPSocket("h", "1"))),
        # That is what a lone flag of this name means.
        ("host=h,port=1,nodelay", Endpoint(TCPSocket("h", "1", no_delay=True))),
        ("host=h,port=1,delay=on", Endpoint(TCPSocket("h", "1"))),
        ("fd=5", Endpoint(Descriptor(5))),
        ("fd=5,server=on,wait=off", Endpoint(Descriptor(5), listens=True)),
    ],
)
def test_socket_is_served(options: str, endpoint: Endpoint) -> None:
    assert verdict(f"socket,id=m,{options}") == endpoint


@pytest.mark.parametrize(
    ("options", "refusing"),
    [
        # "Invalid parameter 'reconnect-ms'", and from 11.1 "Invalid parameter 'reconnect'"
        ("reconnect-ms=20", [(7, 2), (9, 1)]),
        ("reconnect=2", [(11, 1), (12, 0)]),
        ("reconnect=0", [(11, 1), (12, 0)]),
        # "'reconnect-ms' option is incompatible with socket in server listen mode"
        ("reconnect-ms=0,server=on", [(7, 2), (9, 1), (11, 1), (12, 0)]),
    ],
)
def test_way_to_connect_again_depends_on_the_version(options: str, refusing: list[Version]) -> None:
    versions: list[Version] = [None, (7, 2), (9, 1), (9, 2), (10, 0), (11, 0), (11, 1), (12, 0)]
    assert [v for v in versions if verdict(f"socket,id=m,path=q,{options}", v) == Refused()] == refusing


@pytest.mark.parametrize(
    ("text", "signal"), [("stdio,id=m", True), ("stdio,id=m,signal=on", True), ("stdio,id=m,signal=off", False)]
)
def test_standard_input_is_served(text: str, signal: bool) -> None:
    assert verdict(text) == Endpoint(Stdio(signal))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("socket,id=m,path=q,server=on,tls-creds=t", "uses TLS"),
        ("socket,id=m,host=,port=0,server=on,websocket=on", "uses the WebSocket protocol"),
        ("socket,id=m,host=,port=0,server=on,tn3270=on", "uses the TN3270 protocol"),
        ("socket,id=m,path=q,server=on,abstract=on", "uses an abstract socket"),
        ("socket,id=m,host=h,port=0,telnet=on", "is a client of telnet"),
        ("socket,id=m,path=q,server=on,mux=on", "is on a character device that others may share (mux)"),
        ("stdio,id=m,mux=on", "is on a character device that others may share (mux)"),
        ("pty,id=m", "is on a character device that only QEMU can serve (pty)"),
        ("udp,id=m,host=h,port=1", "is on a character device that only QEMU can serve (udp)"),
        ("socket,id=m,path=q,server=on,logfile=l", "has a logfile, in which QEMU writes down what it says"),
        ("stdio,id=m,logfile=l,logappend=on", "has a logfile, in which QEMU writes down what it says"),
        ("file,id=m,path=f,append=on", "is on a character device that only QEMU can serve (file)"),
    ],
)
def test_rest_is_left_to_qemu(text: str, reason: str) -> None:
    assert verdict(text) == Uncovered(reason)


@pytest.mark.parametrize(
    "text",
    [
        # Each with the words of QEMU 7.2 and 11.1. "Parameter 'server' expects 'on' or 'off'"
        "socket,id=m,path=q,server=maybe",
        "socket,id=m,path=q,mux=maybe",
        "stdio,id=m,signal=maybe",
        # "Parameter 'id' expects an identifier"
        "socket,id=1m,path=q,server=on",
        # "None or one of 'path', 'fd' or 'host' option required."
        "socket,id=m,path=q,fd=5",
        "socket,id=m,path=q,host=h,port=0",
        # "Unable to parse FD number"
        "socket,id=m",
        "socket,id=m,port=5",
        "socket,id=m,fd=name",
        f"socket,id=m,fd={5000 * '1'}",
        # "chardev: socket: no port given"
        "socket,id=m,host=h",
        # "'reconnect' option is incompatible with socket in server listen mode"
        "socket,id=m,path=q,server=on,reconnect=1",
        "socket,id=m,path=q,server=on,wait=off,reconnect=0",
        "socket,id=m,fd=5,reconnect=0",
        "socket,id=m,fd=5,reconnect-ms=1",
        "socket,id=m,path=q,reconnect=1,reconnect-ms=1",
        "socket,id=m,path=q,reconnect=often",
        # "'wait' option is incompatible with socket in client connect mode"
        "socket,id=m,path=q,wait=off",
        # "'delay' and 'nodelay' are mutually exclusive"
        "socket,id=m,host=h,port=1,delay=on,nodelay=on",
    ],
)
def test_what_qemu_refuses_is_refused(text: str) -> None:
    assert verdict(text) == Refused()


def test_option_may_be_unknown() -> None:
    assert verdict("socket,id=m,path=q,server=maybe,newer=on,also=on") == Unknown("also")


def test_console_can_be_looked_at_on_a_display() -> None:
    assert verdict("vc,id=m,cols=80,rows=24") == Unreachable()
    assert verdict("vc,id=m", has_display=True) == Uncovered("is on a virtual console")
    assert verdict("null,id=m", has_display=True) == Unreachable()
