"""The rules for shell, one by one. test_file_scan.py has whole scripts."""

import pytest

from audit.scanning.rules.shell import scan_shell, virsh_command


@pytest.mark.parametrize(
    ("script", "found"),
    [
        # What is printed, and for whom.
        ("echo savevm t", ""),
        ("echo", ""),
        ("echo -n 'savevm t' | nc m", "savevm"),
        ("echo savevm t | sudo -n socat - m", "savevm"),
        ("echo savevm t | send", "savevm?"),
        ("echo savevm t | /opt/monitor", "savevm"),
        ("echo savevm t | tee x", ""),
        ("echo savevm t | grep t > out.log", ""),
        ("echo savevm t > $X", "savevm?"),
        ("echo savevm t > /run/qemu.fifo", "savevm"),
        ("echo savevm t | cat > /run/qemu.fifo", "savevm"),
        ("echo savevm t > x.log", ""),
        ("echo savevm t >&2", ""),
        ("echo savevm t >&3", "savevm"),
        ("echo savevm t 1>&2 | nc m", "savevm"),
        ("echo 'savevm done' | nc m", ""),
        ("printf 'stop\\nsavevm t\\n' | nc m", "savevm"),
        ("printf '%s\\n' 'savevm t' | nc m", "savevm"),
        ("printf '%s' t | nc m", ""),
        # Documents.
        ("nc m <<E\nopen x\nsavevm t\nE", "savevm"),
        ("cat <<E\nsavevm t\nE", ""),
        ("ssh h <<E\necho savevm t | nc m\nE", "savevm"),
        ("python3 - <<E\nvm.hmp('savevm t')\nE", "savevm"),
        ("python3 -c \"vm.hmp('savevm t')\"", "savevm"),
        # Tools.
        ("virsh qemu-monitor-command d --hmp", "*"),
        ("virsh qemu-monitor-command d savevm", ""),
        ("qmp-shell -v -H s", "HMP prompt"),
        ("qmp-shell -H s <<< 'savevm t'", "savevm"),
        ("qmp-shell s; savevm t", ""),
        # Commands that are handed a line.
        ("f 'savevm t'", "savevm?"),
        ("f savevm", ""),
        ("f 'savevm'", ""),
        ("hmp savevm t", "savevm"),
        ("hmp savevm", ""),
        ("hmp x savevm", ""),
        ("log_info 'savevm t'", ""),
        ("git commit -m 'savevm t'", ""),
        ("A=b sudo f 'savevm t'", "savevm?"),
        ("A='savevm t'", ""),
        # -loadvm.
        ("qemu-system-arm -loadvm t", "-loadvm"),
        ("qemu-system-arm --loadvm t", "-loadvm"),
        ("run -loadvm t", "-loadvm?"),
        ("run --loadvm t", ""),
        ("-loadvm t", "-loadvm?"),
        ("echo -loadvm t | nc m", ""),
        ("grep -e -loadvm x", ""),
        ("export X='-loadvm t'", "-loadvm"),
        ('X="$X -loadvm t"', "-loadvm"),
        ("X=a-loadvm", ""),
        ("f '-loadvmx -loadvms'", ""),
        ("f x-loadvm", ""),
        # Scripts in scripts.
        ("x=$(echo savevm t | nc m)", "savevm"),
        ("x=`echo savevm t | nc m`", "savevm"),
        ("sh -c 'sh -c \"echo savevm t | nc m\"'", "savevm"),
        ("f '" + "$(a " * 9 + "savevm t | nc m" + ")" * 9 + "'", ""),
        ("""f '{"execute": "human-monitor-command", "arguments": {"command-line": "stop"}}'""", "stop"),
    ],
)
def test_rule(script: str, found: str) -> None:
    hits = sorted(scan_shell(script), key=lambda hit: hit.offset)
    assert " ".join(f"{hit.command or '*'}{'' if hit.is_sure else '?'}" for hit in hits) == found


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("d --hmp savevm t", "savevm"),
        ("--hmp --domain d --cmd savevm", "savevm"),
        ("--domain d --hmp info block", "info block"),
        ("--domain d --hmp", ""),
        ("d --hmp", ""),
        ("d --hmp $x", ""),
    ],
)
def test_virsh(words: str, command: str) -> None:
    assert virsh_command(words.split()) == command
