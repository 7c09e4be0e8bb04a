"""Which QMP sockets command lines make."""

import pytest

from host.net.addresses import TCPAddress, UnixAddress
from repl.finding.monitors import Monitors, Socket, qemu_words, read_monitors

QMP = UnixAddress("/q")


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("qemu-system-x86_64", True),
        ("/usr/bin/qemu-system-aarch64", True),
        ("/usr/libexec/qemu-kvm", True),
        ("kvm", True),
        ("qemu-img", False),
        ("python3", False),
        ("", False),
    ],
)
def test_system_emulators_are_known_by_their_names(program: str, expected: bool) -> None:
    words = [program, "-qmp", "unix:/q"]
    assert qemu_words(words) == ((words, False) if expected else None)
    assert qemu_words([]) is None


@pytest.mark.parametrize(
    ("line", "own"),
    [
        ("/usr/bin/python3 /usr/bin/hmp-proxy wrap -- kvm -name a", "kvm -name a"),
        ("hmp-proxy wrap --audit x.jsonl -- /opt/qemu-system-arm", "/opt/qemu-system-arm"),
        ("hmp-proxy wrap kvm", "kvm"),
        ("python3.11 -X dev -m proxy wrap -- kvm -name a", "kvm -name a"),
        ("python3 hmpshim.pyz hmp-proxy wrap -- kvm", "kvm"),
        ("/usr/bin/python3 -sP /usr/local/bin/qemu-system-x86_64 -name a", "/usr/local/bin/qemu-system-x86_64 -name a"),
        ("hmp-proxy wrap --help", None),
        ("python3 start.py wrap kvm", None),
        ("python3 -V", None),
        ("vi proxy kvm", None),
    ],
)
def test_wrapper_has_the_words_of_the_qemu_that_it_started(line: str, own: str | None) -> None:
    assert qemu_words(line.split()) == (None if own is None else (own.split(), True))


@pytest.mark.parametrize(
    ("line", "sockets"),
    [
        ("-qmp unix:/q,server=on,wait=off", (QMP,)),
        ("--qmp unix:/q,server,nowait", (QMP,)),
        ("-qmp unix:rel/q,server=on", (UnixAddress("rel/q"),)),
        ("-qmp unix:/a,,b,server=on", (UnixAddress("/a,b"),)),
        ("-qmp tcp:localhost:4444,server=on,wait=off", (TCPAddress("localhost", 4444),)),
        ("-qmp tcp:h:000004444,server=on", (TCPAddress("h", 4444),)),
        ("-qmp tcp::4444,server=on", (TCPAddress("127.0.0.1", 4444),)),
        ("-qmp tcp:0.0.0.0:4444,server=on", (TCPAddress("127.0.0.1", 4444),)),
        ("-qmp tcp:[::]:4444,server=on", (TCPAddress("::1", 4444),)),
        ("-chardev socket,id=m,path=/q,server=on,wait=off -mon chardev=m,mode=control", (QMP,)),
        ("-mon m,mode=control -chardev socket,id=m,path=/q,server,nowait", (QMP,)),
        ("-chardev socket,id=m,host=h,port=1,server=on -mon chardev=m,mode=control,pretty=off", (TCPAddress("h", 1),)),
        ("-chardev socket,id=m,path=/q,server=on -qmp chardev:m", (QMP,)),
        ("-qmp unix:/q,server=on -qmp unix:/r,server=on -qmp unix:/q,server=on", (QMP, UnixAddress("/r"))),
        # Nobody can connect there, or not this program.
        ("-qmp unix:/q", ()),
        ("-qmp unix:/q,server=off", ()),
        ("-qmp unix:,server=on", ()),
        ("-qmp stdio", ()),
        ("-qmp tcp:h:0,server=on", ()),
        ("-qmp tcp:h:port,server=on", ()),
        ("-qmp tcp:h:99999,server=on", ()),
        ("-qmp tcp:h:0655351,server=on", ()),
        ("-qmp tcp:h:000001" + "0" * 5000 + ",server=on", ()),
        ("-qmp tcp:h:" + "0" * 5000 + ",server=on", ()),
        ("-qmp tcp:h:1,server=on,telnet=on", ()),
        ("-qmp unix:/q,server=on,websocket", ()),
        ("-chardev socket,id=m,path=/q,abstract=on,server=on -qmp chardev:m", ()),
        ("-chardev socket,id=m,fd=3,server=on -mon chardev=m,mode=control", ()),
        ("-chardev socket,id=m,path=/q,server=on -mon chardev=m,mode=readline", ()),
        ("-chardev socket,id=m,path=/q,server=on -mon chardev=m", ()),
        ("-chardev socket,id=m,path=/q,server=on -mon chardev=m,mode=control,pretty=on", ()),
        ("-mon chardev=none,mode=control", ()),
        ("-mon mode=control", ()),
        ("-qmp-pretty unix:/q,server=on", ()),
        ("-monitor unix:/q,server=on", ()),
        ("-qmp", ()),
    ],
)
def test_sockets(line: str, sockets: tuple[Socket, ...]) -> None:
    assert read_monitors(["qemu", *line.split()]) == Monitors(None, sockets)


@pytest.mark.parametrize(
    ("argument", "name"),
    [("vm1", "vm1"), ("guest=vm1,debug-threads=on", "vm1"), ("vm1,process=x", "vm1"), ("a,,b", "a,b"), ("process=x", None)],
)
def test_name(argument: str, name: str | None) -> None:
    assert read_monitors(["qemu", "-name", argument, "disk.qcow2"]).name == name
