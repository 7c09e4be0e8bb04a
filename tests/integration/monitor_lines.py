"""Command lines of QEMU at random, made of what decides about monitors.

Some are wrong, in ways that QEMU finds early or late. Their sockets are files in the directory in which QEMU runs; `c…` are
those that QEMU connects to.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["CONFIG_FILES", "MACHINE", "Descriptors", "random_words"]

# A machine that starts fast, and has no device of which a broken installation lacks a part.
MACHINE: Final = "-m 32 -accel tcg -S -vga none -net none -audiodev none,id=quiet -machine pcspk-audiodev=quiet -display none"

# Each name with its text.
CONFIG_FILES: Final = {
    "mon.cfg": '[mon]\n  chardev = "named"\n',
    "mon-with-id.cfg": '# QMP\n[mon "filed"]\n  chardev = "named"\n  mode = "control"\n',
    "both.cfg": '[chardev "filed"]\n  backend = "null"\n\n[mon]\n  chardev = "filed"\n',
    "socket.cfg": '[chardev "filed"]\nbackend = "socket"\npath = "mf"\nserver = "on"\nwait = "off"\n[mon]\nchardev = "filed"\n',
    "name.cfg": '[name]\n  guest = "some"\n',
    "unreadable.cfg": '  \n[mon]\n  chardev = "named"\n',
}

_LISTENING: Final = (
    "unix:m{i},server,nowait",
    "unix:m{i},server=on,wait=off",
    "unix:m,,{i},server,nowait",
    "unix:@m{i},nowait,server",
    "unix:path=m{i},server,nowait,logfile=log{i}",
    "unix:m{i},server",
    "tcp:127.0.0.1:0,server,nowait",
    "tcp:localhost:0,server=on,wait=off,nodelay=on",
    "telnet:127.0.0.1:0,server,nowait",
)
_OTHER_DEVICES: Final = (
    "unix:c{i}",
    "unix:c{i},{reconnect}",
    "stdio",
    "null",
    "vc",
    "vc:80Cx24C",
    "pty",
    "file:f{i}",
    "websocket:127.0.0.1:0,server=on,wait=off",
    "mon:unix:m{i},server,nowait",
    "unix:m{i},server,nowait,abstract=on",
)
_WRONG_DEVICES: Final = ("none", "nonesuch", "fd:0", "vc:x", "tcp:0,server", "unix:m{i},server,nowait,bogus=1", "null,x")
_CHARDEVS: Final = (
    "socket,id={id},path=m{i},server=on,wait=off",
    "socket,path=m{i},server,nowait,id={id}",
    "path=m{i},backend=socket,id={id},server=on,wait=off,logfile=log{i},mux=off",
    "socket,id={id},path=m{i},server=on",
    "socket,id={id},host=127.0.0.1,port=0,server=on,wait=off,telnet=on",
    "socket,id={id},host=,port=0,to=9,ipv4=on,server=on,wait=off",
    "socket,id={id},fd={listening},server=on,wait=off",
    "socket,id={id},fd={connected}",
    "socket,id={id},path=c{i},{reconnect}",
    "socket,id={id},path=c{i}",
    "stdio,id={id}",
    "stdio,id={id},signal=off",
    "null,id={id}",
    "vc,id={id}",
    "pty,id={id}",
    "socket,id={id},path=m{i},server=on,wait=off,mux=on",
)
_WRONG_CHARDEVS: Final = (
    "socket,id={id},path=m{i},server=maybe,wait=off",
    "socket,id={id},path=m{i},wait=off",
    "socket,id={id},path=m{i},fd=0,server=on,wait=off",
    "socket,id={id},host=127.0.0.1,server=on",
    "socket,id={id},path=m{i},server=on,wait=off,{reconnect}",
    "socket,id={id},path=m{i},server=on,wait=off,bogus=1",
    "socket,id=1{id},path=m{i},server=on,wait=off",
    "nonesuch,id={id}",
)
_USERS: Final = (
    "-mon chardev={id},mode=control",
    "-mon {id}",
    "-mon chardev={id},mode=control,pretty=on,id=mon{i}",
    "-monitor chardev:{id}",
    "-qmp chardev:{id}",
    "--qmp-pretty chardev:{id}",
    "-object monitor-qmp,id=object{i},chardev={id}",
    "-serial chardev:{id}",
)
_OTHERS: Final = (
    "-nographic",
    "-nodefaults",
    "-serial null",
    "-serial none",
    "-serial stdio",
    "-serial mon:stdio",
    "-serial mon:null",
    "-serial unix:s{i},server=on,wait=off",
    "-parallel none",
    "-parallel mon:null",
    "-debugcon mon:null",
    "-gdb tcp:127.0.0.1:0",
    "-name some,process=other",
    "--no-reboot",
    "-rtc base=utc",
    "-device isa-serial,chardev=port -chardev null,id=port",
    "-monitor none",
    "-monitor none5",
)
_WRONG: Final = (
    "-bogus",
    "-device nonesuch",
    "-serial chardev:nonesuch",
    "-mon chardev=nonesuch",
    "-object nonesuch,id=x",
    "-drive file=nonesuch",
    "-qmp=null",
)


@dataclass(frozen=True, slots=True)
class Descriptors:
    """The sockets that QEMU inherits."""

    listening: int
    connected: int


def random_words(chance: random.Random, descriptors: Descriptors, reconnect: str) -> list[str]:
    """Return the words after the program's name. reconnect: the option with which this QEMU connects again."""

    def filled(text: str, i: int) -> str:
        values = {"listening": descriptors.listening, "connected": descriptors.connected, "reconnect": reconnect}
        return text.format(i=i, id="named" if i == 0 else f"named{i}", **values)

    # None of them stands twice, since two on the same descriptor would not be what is tried here.
    chardevs = _sample(chance, _CHARDEVS, 2)
    pieces: list[list[str]] = []
    for i in range(chance.choice((0, 1, 1, 2, 3))):
        pieces.append([chance.choice(("-monitor", "-qmp", "-qmp-pretty")), filled(_device(chance), 10 + i)])
    for i, text in enumerate(chardevs):
        wrong = chance.random() < 0.08
        pieces.append(["-chardev", filled(chance.choice(_WRONG_CHARDEVS) if wrong else text, i)])
        # QEMU waits for a client of such a device, and the test knows only clients of monitors.
        waits = text.endswith("server=on")
        if waits or chance.random() < 0.9:
            pieces.append(_user(chance, i, filled, _USERS[:-1] if waits else _USERS))
    pieces += [filled(text, 20 + i).split() for i, text in enumerate(_sample(chance, _OTHERS, 3))]
    if chance.random() < 0.2:
        pieces.append(["-readconfig", chance.choice(list(CONFIG_FILES))])
    if chance.random() < 0.12:
        pieces.append(chance.choice(_WRONG).split())
    chance.shuffle(pieces)
    last = ["-qmp"] if chance.random() < 0.02 else []
    return [*MACHINE.split(), *(word for piece in pieces for word in piece), *last]


def _device(chance: random.Random) -> str:
    kinds = chance.choices((_LISTENING, _OTHER_DEVICES, _WRONG_DEVICES), weights=(70, 30, 4))
    return chance.choice(kinds[0])


def _user(chance: random.Random, i: int, filled: Callable[[str, int], str], users: Sequence[str]) -> list[str]:
    if chance.random() < 0.05:
        members = {"qom-type": "monitor-hmp", "id": f"object{i}", "chardev": filled("{id}", i)}
        return ["-object", json.dumps(members)]
    return filled(chance.choice(users), i).split()


def _sample(chance: random.Random, texts: Sequence[str], most: int) -> list[str]:
    return chance.sample(texts, chance.randint(0, most))
