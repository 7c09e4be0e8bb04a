"""Character devices: both forms make the same value."""

import pytest

from proxy.qemu_command_line.chardevs import Chardev


@pytest.mark.parametrize(
    ("legacy", "modern"),
    [
        ("unix:/run/q,server,nowait", "socket,id=m,path=/run/q,server=on,wait=off"),
        ("unix:a,,b", "socket,id=m,path=a,,b"),
        ("unix:path=q,server=on", "socket,id=m,path=q,server=on"),
        ("unix:q,id=other", "socket,id=m,path=q"),
        ("unix:@q,server", "socket,id=m,path=@q,server=on"),
        ("unix:", "socket,id=m"),
        ("tcp::4444,server,nowait", "socket,id=m,host=,port=4444,server=on,wait=off"),
        ("tcp:localhost:0", "socket,id=m,host=localhost,port=0"),
        ("tcp:localhost:0,host=other", "socket,id=m,host=other,port=0"),
        # QEMU takes an address of IPv6 apart at its first colon, and the resolver refuses it.
        ("tcp:[::1]:0,server", "socket,id=m,host=[,port=:1]:0,server=on"),
        ("telnet:h:1,server", "socket,id=m,host=h,port=1,server=on,telnet=on"),
        ("telnet:h:1,telnet=off", "socket,id=m,host=h,port=1,telnet=on"),
        ("tn3270::1", "socket,id=m,host=,port=1,tn3270=on"),
        ("websocket::1,server", "socket,id=m,host=,port=1,server=on,websocket=on"),
        ("udp:h:1", "udp,id=m,host=h,port=1"),
        ("udp::1@:2", "udp,id=m,host=,port=1,localaddr=,localport=2"),
        ("udp::1@h:2,ignored", "udp,id=m,host=,port=1,localaddr=h,localport=2"),
        ("stdio", "stdio,id=m"),
        ("null", "null,id=m"),
        ("pty", "pty,id=m"),
        ("pty:/tmp/t", "pty,id=m,path=/tmp/t"),
        ("file:/tmp/f,x", "file,id=m,path=/tmp/f,,x"),
        ("pipe:/tmp/p", "pipe,id=m,path=/tmp/p"),
        ("vc", "vc,id=m"),
        ("vcr", "vc,id=m"),
        ("vc:80Cx24C", "vc,id=m,cols=80,rows=24"),
        ("vc:640x480", "vc,id=m,width=640,height=480"),
        ("/dev/ttyS0", "serial,id=m,path=/dev/ttyS0"),
        ("/dev/parport0", "parallel,id=m,path=/dev/parport0"),
        ("mon:stdio", "stdio,id=m,mux=on,signal=off"),
        ("mon:null", "null,id=m,mux=on"),
        ("mon:unix:q,server", "socket,id=m,mux=on,path=q,server=on"),
    ],
)
def test_older_form_is_the_same_device(legacy: str, modern: str) -> None:
    assert Chardev.from_legacy("m", legacy) == Chardev.from_option(modern)


@pytest.mark.parametrize(
    "text",
    [
        *("", "none", "fd:0", "stdio,x", "null,mux=on", "tcp:0", "tcp:", "tcp:h:", "tcp:h:,server", "vc:x", "vc:80x", "udp:1"),
        *("unix", "mon:", "mon:mon:stdio", "file", "nonesuch:x", f"tcp:{65 * 'h'}:1", f"tcp::{33 * '1'}"),
    ],
)
def test_older_form_may_be_wrong(text: str) -> None:
    """QEMU 7.2 and 11.1 say "is not a valid char driver", or "parse error"."""
    assert Chardev.from_legacy("m", text) is None


def test_option_without_id_makes_nothing() -> None:
    assert Chardev.from_option("null") is None


def test_device_without_backend_is_taken_as_it_is() -> None:
    assert Chardev.from_option("id=m,path=q") == Chardev("m", "", {"path": "q"})


@pytest.mark.parametrize(
    ("text", "is_shared"),
    [("null,id=m", False), ("null,id=m,mux=on", True), ("null,id=m,mux=off", False), ("null,id=m,mux=wrong", True)],
)
def test_device_may_be_shared(text: str, is_shared: bool) -> None:
    chardev = Chardev.from_option(text)
    assert chardev is not None
    assert chardev.is_shared is is_shared


@pytest.mark.parametrize("text", ["unix:a,,b,server,nowait", "tcp::0,server", "mon:stdio", "vc:80Cx24C", "null", "file:a,b"])
def test_device_is_written_as_an_option(text: str) -> None:
    chardev = Chardev.from_legacy("m", text)
    assert chardev is not None
    assert Chardev.from_option(chardev.as_option()) == chardev
