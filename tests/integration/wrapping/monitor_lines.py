"""Command lines of QEMU at random, made of what decides about monitors.

Some are wrong, in ways that QEMU finds early or late. Their sockets are files in the directory in which QEMU runs; `c…` are
those that QEMU connects to, and `n…` those at which nobody listens.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

__all__ = ["CONFIG_FILES", "IDLE_BIOS", "MACHINE", "Places", "random_start", "random_words"]

# A machine that starts fast, and has no device of which a broken installation lacks a part.
MACHINE: Final = "-m 32 -accel tcg -S -vga none -net none -audiodev none,id=quiet -machine pcspk-audiodev=quiet -display none"
# For a machine that runs, and has nothing to do.
IDLE_BIOS: Final = "idle.rom"

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
    "unix:{folder}/m{i},server,wait=no",
    "tcp:{host}:{port},server,nowait",
    "tcp:localhost:{port},server=on,wait=off,nodelay=on",
    "telnet:{host}:{port},server,nowait",
)
_OTHER_DEVICES: Final = (
    "unix:c{i}",
    "unix:c{i},{reconnect}",
    "unix:{folder}/c{i},server=off",
    "stdio",
    "null",
    "vc",
    "vc:80Cx24C",
    "pty",
    "file:f{i}",
    "websocket:{host}:{port},server=on,wait=off",
    "mon:unix:m{i},server,nowait",
    "unix:m{i},server,nowait,abstract=on",
)
_WRONG_DEVICES: Final = ("none", "nonesuch", "fd:0", "vc:x", "tcp:0,server", "unix:m{i},server,nowait,bogus=1", "null,x")
_CHARDEVS: Final = (
    "socket,id={id},path=m{i},server=on,wait=off",
    "socket,path=m{i},server,nowait,id={id}",
    "path=m{i},backend=socket,id={id},server=on,wait=off,logfile=log{i},mux=off",
    "socket,id={id},path=m{i},server=on",
    "socket,id={id},path={folder}/m{i},server=on,wait=on",
    "socket,id={id},host={host},port={port},server=on,wait=off,telnet=on",
    "socket,id={id},host=,port={port},to={last},ipv4=on,server=on,wait=off",
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
    "socket,id={id},path=m{i},server=on,wait=off,reconnect=0",
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
    "-object monitor-hmp,chardev={id},id=object{i}",
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
    "-gdb tcp:{host}:{port}",
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


# What is about the process, or about whoever is around it.
_PROCESS: Final = (
    "-pidfile pid",
    "-pidfile {folder}/pid",
    "-daemonize -pidfile pid",
    "-qmp tcp:{host}:{dialed}",
    "-chardev socket,id=dialed,host={host},port={dialed},{reconnect} -mon dialed",
    "-qmp unix:n{i},{reconnect}",
    "-monitor unix:n{i}",
    "-monitor unix:nonesuch/m{i},server,nowait",
    "-chardev socket,id=closed,fd=99,server=on,wait=off -mon closed",
    "-chardev socket,id=dead,fd={listening} -mon dead",
)


@dataclass(frozen=True, slots=True)
class Places:
    """What is around QEMU.

    Attributes:
        folder: where it runs.
        listening: a socket that it inherits.
        connected: likewise.
        host: a local address.
        port: the first of some that are free there; 0 for any that is.
        dialed: where somebody listens.
    """

    folder: Path
    listening: int
    connected: int
    host: str = "127.0.0.1"
    port: int = 0
    dialed: int = 0

    def filled(self, text: str, i: int, reconnect: str) -> str:
        """Return an option with the places for it. i: no other option has it."""
        ports = {"port": self.port and self.port + i, "last": self.port + i if self.port else 9}
        id = "named" if i == 0 else f"named{i}"
        return text.format(i=i, id=id, reconnect=reconnect, **asdict(self) | ports)


def random_words(chance: random.Random, places: Places, reconnect: str) -> list[str]:
    """Return the words after the program's name. reconnect: the option with which this QEMU connects again."""
    pieces = _pieces(chance, lambda text, i: places.filled(text, i, reconnect))
    last = ["-qmp"] if chance.random() < 0.02 else []
    return [*MACHINE.split(), *_shuffled(chance, pieces), *last]


def random_start(chance: random.Random, places: Places, reconnect: str) -> list[str]:
    """Return the words likewise, with some about the process and a machine that may run."""
    machine = MACHINE if chance.random() < 0.7 else MACHINE.replace(" -S ", f" -bios {IDLE_BIOS} ")
    pieces = _pieces(chance, lambda text, i: places.filled(text, i, reconnect))
    if chance.random() < 0.5:
        pieces.append(places.filled(chance.choice(_PROCESS), 15, reconnect).split())
    return [*machine.split(), *_shuffled(chance, pieces)]


def _shuffled(chance: random.Random, pieces: list[list[str]]) -> list[str]:
    chance.shuffle(pieces)
    return [word for piece in pieces for word in piece]


def _pieces(chance: random.Random, filled: Callable[[str, int], str]) -> list[list[str]]:
    # None of them stands twice, since two on the same descriptor would not be what is tried here.
    chardevs = _sample(chance, _CHARDEVS, 2)
    pieces: list[list[str]] = []
    for i in range(chance.choice((0, 1, 1, 2, 3))):
        pieces.append([chance.choice(("-monitor", "-qmp", "-qmp-pretty")), filled(_device(chance), 10 + i)])
    for i, text in enumerate(chardevs):
        wrong = chance.random() < 0.08
        pieces.append(["-chardev", filled(chance.choice(_WRONG_CHARDEVS) if wrong else text, i)])
        # QEMU waits for a client of such a device, and the test knows only clients of monitors.
        waits = text.endswith(("server=on", "wait=on"))
        if waits or chance.random() < 0.9:
            pieces.append(_user(chance, i, filled, _USERS[:-1] if waits else _USERS))
    pieces += [filled(text, 20 + i).split() for i, text in enumerate(_sample(chance, _OTHERS, 3))]
    if chance.random() < 0.2:
        pieces.append(["-readconfig", chance.choice(list(CONFIG_FILES))])
    if chance.random() < 0.12:
        pieces.append(chance.choice(_WRONG).split())
    return pieces


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
