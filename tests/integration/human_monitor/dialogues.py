"""What is typed at a monitor for people, and the machine that it is typed to."""

from typing import Final

from tests.integration.command_lines import disk

__all__ = ["DIALOGUES", "IMAGES", "TALKED_TO"]

TALKED_TO: Final = f"{disk('d0')} {disk('d1')} -name vm1 -smp 2 -vnc unix:vnc.sock,password=on"
IMAGES: Final = {"d0.qcow2": "", "d1.qcow2": ""}

# What is typed, one write each, and then no more. They follow each other: a later one finds what an earlier one left.
DIALOGUES: Final[dict[str, tuple[bytes, ...]]] = {
    "nothing": (),
    "empty lines": (b"\n \n\r\n",),
    "half a line": (b"info status\ninfo sta",),
    "the first commands of a person": (b"info status\n", b"info name\n", b"info version\n", b"info uuid\n"),
    "a script in one write": (b"info status\ninfo block\nstop\ninfo status\ncont\ninfo status\n",),
    "a script, byte by byte": tuple(bytes([byte]) for byte in b"info name\nstop\ncont\n"),
    "no snapshots": (b"info snapshots\n",),
    "save, load, delete": (b"savevm t1\ninfo snapshots\nloadvm t1\ninfo status\ndelvm t1\ninfo snapshots\n",),
    "save twice": (b"savevm t1\n", b"savevm t1\n", b"info snapshots\n"),
    "several snapshots": (b"savevm a\nsavevm b\nsavevm c\ninfo snapshots\ndelvm b\ninfo snapshots\n",),
    "a tag in quotes": (b'savevm "a b"\ninfo snapshots\nloadvm "a b"\ndelvm "a b"\ninfo snapshots\n',),
    "a tag that is not ASCII": ("savevm tä\ninfo snapshots\nloadvm tä\ndelvm tä\n".encode(),),
    "by id": (b"info snapshots\nloadvm 1\ndelvm 1\ninfo snapshots\n",),
    "no tag": (b"savevm\ninfo snapshots\n",),
    "a tag that is missing": (b"loadvm\ndelvm\n",),
    "a tag that is not there": (b"delvm no\n", b"loadvm no\n", b"info status\n", b"cont\n"),
    "too many arguments": (b"savevm a b\nloadvm a b\ndelvm a b\ninfo snapshots x\n",),
    "quotes that do not end": (b'savevm "t\nloadvm "\ndelvm "x\n',),
    "blanks": (b"  savevm   t2  \n\tinfo \x0b snapshots\n   delvm t2\n",),
    "snapshots of a VM that is stopped": (b"stop\nsavevm s\ninfo status\nloadvm s\ninfo status\ndelvm s\ncont\ninfo status\n",),
    "all are deleted": (b"delvm a\ndelvm c\ndelvm t1\n",),
    "unknown commands": (b"foo\ninfo foo\n  bar baz\nSAVEVM t\n-1\n/\n",),
    "commands cut short": (b"save t\ninfo snap\nq1\n",),
    "bad arguments": (b"stop x\nprint\nprint x y\nx /2xb\ncpu\ndevice_del\nsum 1\n",),
    "expressions": (b"print 1+1\np 0x10*(2-1)\nprint /x 255\nx /2xb 0\nxp /4xw 0xffff0\nsum 0 16\n",),
    "CPUs": (b"info registers\ncpu 1\ninfo registers\ncpu 7\ncpu x\ncpu 0x1\n",),
    "the same CPU at the next client": (b"info registers\ncpu 0\ninfo registers\n",),
    "errors of devices": (b"device_del nothing\nnetdev_del nothing\nobject_del nothing\ndevice_add nothing\nset_link no on\n",),
    "devices come and go": (b"device_add virtio-rng-pci,id=rng1\n" * 2 + b"object_add iothread,id=io\n",),
    "objects go": (b"object_del io\nobject_del io\n",),
    "errors of disks": (b"eject d0\ndrive_del nothing\nblock_resize d0 x\ncommit nothing\nchange nothing x\n",),
    "a disk grows": (b"block_resize d1 16M\ninfo block d1\n",),
    "help": (b"help savevm\nhelp info snapshots\n? delvm\nhelp nosuch\nhelp info nosuch\n",),
    "all of help": (b"help\n", b"info\n", b"help info\n"),
    "names are completed": (b"sav\tt4\ndel\tt4\n", b"info vers\t\n"),
    "lists of names": (b"s\t\x7f", b"info s\t\t\x7f\x7f\x7f\x7f\x7f\x7f", b"in\t\t\x17"),
    "nothing is completed": (b"nosuch\t\n\x1b\t\n", b'"sav\t\n', b"zz\t\x7f\x7f\n"),
    "completion in a line": (b"inf status\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\to\n",),
    "history": (b"info uuid\ninfo name\n\x1b[A\x1b[A\n\x1b[A\x1b[B\ninfo history\n",),
    "history of the client before": (b"\x1b[A\x1b[A\n", b"\x1b[B\x1b[B\x1b[Ax\n"),
    "history is full": (b"".join(b"print %d\n" % number for number in range(70)) + b"info history\n",),
    "editing": (b"abc\x01\x7f\x05\x7f\x08\x1b[D\x1b[CX\x0c\n", b"info nme\x1b[D\x1b[Da\n", b"one two three\x17\x17x\n"),
    "keys of a terminal": (b"ab\x1bOHx\x1bOFy\x1b[1~z\x1b[4~\x1b[3~\x1b[1;5D\n\x1b[200~info name\x1b[201~\n",),
    "numbers of keys": (b"ab\x1b[1~cd\x1b\x1b\x9b~e\x1bx\x9b~f\x1bOx\x9b~g\x1b[4~h\x1b[x\x9b~i\n",),
    "keys that mean nothing": (b"\x00\x02\x03\x06\x1c\x1e\x1f\x1b[Z\x1b[H\x1bx\x1b\ninfo name\n",),
    "keys since 9.1": (b"info name\x15\x10\x0e\n",),
    "letters of other alphabets": ("info Ünicode\nfö日😀\n".encode(), "é".encode() + b"\x7f\x7f\n"),
    "a long line": (b"print " + b"1+" * 500 + b"1\n",),
    "a password": (b"change vnc password\nsecret\ninfo name\n",),
    "a password for the next client": (b"change vnc password\nse",),
    "a password of the client before": (b"\x1b[A\x17stop\ninfo status\ninfo history\n",),
}
