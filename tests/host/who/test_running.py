"""What a process is called by people."""

import pytest

from host.who.running import Kind, Running, what_runs


@pytest.mark.parametrize(
    ("exe", "line", "name"),
    [
        ("/usr/sbin/libvirtd", "libvirtd --daemon", "libvirtd"),
        ("/usr/bin/python3.11", "/usr/bin/python3 /usr/local/bin/nightly.py --all", "nightly.py"),
        (None, "/usr/bin/python3 /usr/local/bin/nightly.py", "nightly.py"),
        ("/usr/bin/python3.11", "python3 -m backup.run", "backup.run"),
        ("/usr/bin/python3.11", "python3 -m backup.__main__", "backup"),
        ("/usr/bin/python3.11", "python3 /opt/backup/__main__.py", "backup"),
        ("/usr/bin/python3.11", "python3 __main__.py", "__main__.py"),
        ("/usr/bin/python3.11", "python3 /opt/app/", "app"),
        ("/usr/bin/python3.11", "python3 /", "/"),
        ("/usr/bin/bash", "/bin/bash /opt/nightly.sh", "nightly.sh"),
        ("/opt/tool (deleted)", "tool", "tool"),
        ("/opt/tool", "anything it likes", "tool"),
        (None, "-tool", "tool"),
        (None, "postgres: writer process", "postgres"),
        (None, "/opt/tool:", "tool:"),
        (None, "worker", "worker"),
        ("/usr/bin/csh", "csh /opt/nightly.csh", "nightly.csh"),
    ],
)
def test_telling(exe: str | None, line: str, name: str) -> None:
    assert what_runs(exe, line.split(" ")) == Running(name, Kind.TELLING)


@pytest.mark.parametrize(
    ("exe", "line", "running"),
    [
        ("/usr/bin/socat", "socat - UNIX:/s", Running("socat", Kind.CARRYING)),
        ("/bin/busybox", "nc -U /s", Running("nc", Kind.CARRYING)),
        ("/bin/busybox", "busybox nc -U /s", Running("nc", Kind.CARRYING)),
        ("/bin/busybox", "busybox sh /a.sh", Running("a.sh", Kind.TELLING)),
        ("/usr/bin/dash", "sh -c x|socat", Running("dash -c", Kind.CARRYING, is_code=True)),
        ("/usr/bin/python3.11", "python3 -c x", Running("python3.11 -c", Kind.CARRYING, is_code=True)),
        ("/usr/bin/python3.11", "python3", Running("python3.11", Kind.CARRYING)),
        ("/usr/bin/python3.11", "python3 /usr/bin/qmp-shell /s", Running("qmp-shell", Kind.CARRYING)),
        ("/usr/bin/bash", "bash -s", Running("bash", Kind.CARRYING)),
        ("/usr/bin/bash", "bash -s -- vm17", Running("bash", Kind.CARRYING)),
        ("/usr/bin/socat1", "socat - UNIX:/s", Running("socat1", Kind.CARRYING)),
        ("/usr/bin/bash", "-bash", Running("bash", Kind.ENDING)),
        ("/usr/bin/bash", "bash -i", Running("bash", Kind.ENDING)),
        ("/usr/lib/systemd/systemd", "/sbin/init", Running("systemd", Kind.ENDING)),
        (None, "sshd: backup [priv]", Running("sshd", Kind.ENDING)),
        ("/bin/busybox", "", Running("busybox", Kind.TELLING)),
    ],
)
def test_what_tells_nothing_by_itself(exe: str | None, line: str, running: Running) -> None:
    assert what_runs(exe, line.split(" ") if line else []) == running


def test_nothing_is_known() -> None:
    assert what_runs(None, []) is None
    assert what_runs(None, [""]) is None


def test_title_is_called_by_its_first_word() -> None:
    """It goes on with what the process does, which is another thing each time, and may be a secret."""
    assert what_runs(None, ["/opt/worker --token=x job 17"]) == Running("worker", Kind.TELLING)
    assert what_runs("/usr/bin/python3.11", ["nightly: worker 3"]) == Running("nightly", Kind.TELLING)
    assert what_runs(None, [" "]) is None


def test_padded_title_of_an_interpreter() -> None:
    assert what_runs("/usr/bin/python3.11", ["nightly", ""]) == Running("python3.11", Kind.CARRYING)
