"""What a whole command line comes to."""

import pytest

from proxy.qemu_command_line.command_line import CommandLine, read

SERVED = "-qmp unix:q,server,nowait"


def line_of(words: str) -> CommandLine:
    return read(words.split(), {"name": "[name]"}.get)


@pytest.mark.parametrize(
    ("words", "labels", "notice"),
    [
        (SERVED, ["compat_monitor0"], None),
        (f"{SERVED} -monitor none -serial null", ["compat_monitor0"], None),
        (f"{SERVED} -display none -monitor vc", ["compat_monitor0"], None),
        (
            f"{SERVED} -monitor pty",
            ["compat_monitor0"],
            "the monitor of -monitor pty is on a character device that only QEMU can serve (pty)",
        ),
        (
            f"{SERVED} -monitor vc -serial mon:stdio",
            ["compat_monitor0"],
            "the monitor of -monitor vc is on a virtual console; "
            "the monitor of -serial mon:stdio is on a character device that others may share (mux)",
        ),
        ("-chardev stdio,id=c -mon c -monitor tcp::0", ["c", "compat_monitor0"], None),
    ],
)
def test_monitors_are_served(words: str, labels: list[str], notice: str | None) -> None:
    line = line_of(words)
    assert line.untouched is None
    assert [monitor.label for monitor in line.served] == labels
    assert line.notice == (None if notice is None else f"not covered by the proxy: {notice}")
    assert line.words == tuple(words.split())


@pytest.mark.parametrize(
    "words",
    [
        *("-h", "-help", "--help", "-version", "-audio-help", "-dump-vmstate f"),
        *("-device help", "-device ?", "-device virtio-net-pci,help", "-device driver=help", "-cpu help", "-smp 1,help"),
        *(
            "-machine help",
            "-M ?",
            "-M q35,help",
            "-accel help",
            "-accel accel=help",
            "-trace help",
            "-d help",
            "-d in_asm,help",
        ),
        *("-object help", "-object iothread,help", "-chardev help", "-netdev help", "-drive format=?", "-nic model=help"),
    ],
)
def test_qemu_that_only_prints_is_left_alone(words: str) -> None:
    line = line_of(f"{SERVED} -monitor pty {words}")
    assert (line.untouched, line.served, line.notice) == ("QEMU prints something and ends", [], None)


@pytest.mark.parametrize(
    "words",
    [
        "-append help",
        "-name help",
        "-device virtio-net-pci,id=help",
        "-device nohelp",
        '-device {"driver":"help"}',
        "-drive file=help",
    ],
)
def test_word_help_may_mean_something_else(words: str) -> None:
    assert line_of(f"{SERVED} {words}").untouched is None


@pytest.mark.parametrize(
    "words", ["-machine none", "-M none,accel=tcg", "-machine type=none", "-M q35 -M none -machine accel=tcg"]
)
def test_question_about_machines_is_left_alone(words: str) -> None:
    """So does libvirt ask (9.0)."""
    line = line_of(f"{SERVED} -monitor pty {words}")
    assert (line.untouched, line.notice) == ("QEMU is only asked what it can do (-machine none)", None)


def test_last_machine_holds() -> None:
    assert line_of(f"{SERVED} -M none -M q35").untouched is None


@pytest.mark.parametrize(
    "words",
    [
        "-qmp",
        "-m",
        "-readconfig absent",
        "-qmp none",
        "-mon nonesuch",
        "-monitor stdio -serial stdio",
        "-qmp unix:q,path=a,fd=1",
    ],
)
def test_error_is_left_to_qemu(words: str) -> None:
    line = line_of(f"{SERVED} -monitor pty {words}")
    assert (line.untouched, line.served, line.notice) == ("QEMU refuses the command line", [], None)


@pytest.mark.parametrize(
    ("words", "untouched", "notice"),
    [
        ("-nodefaults", "there is no monitor that can be served", None),
        ("-display none", "there is no monitor that can be served", None),
        (
            "disk.img",
            "there is no monitor that can be served",
            "not covered by the proxy: the default monitor compat_monitor0 is on a virtual console",
        ),
        (
            f"{SERVED},newer=on",
            "a monitor has an option that is not known here",
            f"not covered by the proxy: the monitor of {SERVED},newer=on has an option that is not known here, 'newer'",
        ),
        (
            f"{SERVED} -set chardev.compat_monitor0.path=r",
            "-set changes the options of character devices or monitors",
            "not covered by the proxy: -set changes the options of character devices or monitors",
        ),
        (
            f"{SERVED} -writeconfig f",
            "-writeconfig writes down how monitors are made",
            "not covered by the proxy: -writeconfig writes down how monitors are made",
        ),
    ],
)
def test_what_cannot_be_served_is_said(words: str, untouched: str, notice: str | None) -> None:
    line = line_of(words)
    assert (line.untouched, line.served, line.notice) == (untouched, [], notice)


def test_other_settings_may_be_set() -> None:
    assert line_of(f"{SERVED} -set device.d.x=y -readconfig name").untouched is None


@pytest.mark.parametrize(
    ("words", "differ"),
    [
        ("-chardev null,id=c -qmp chardev:c -monitor null", True),
        ("-chardev null,id=c -monitor null -qmp chardev:c", False),
        ("-qmp unix:q,reconnect=1", True),
        ("-chardev socket,id=c,path=q,reconnect-ms=1 -mon c", True),
        ("-chardev socket,id=c,path=q,reconnect-ms=0,server=on -mon c", True),
        (SERVED, False),
    ],
)
def test_monitors_may_depend_on_the_version(words: str, differ: bool) -> None:
    assert line_of(words).depends_on_version is differ
