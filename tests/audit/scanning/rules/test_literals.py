"""The rules for code, one by one. test_file_scan.py has whole sources."""

import pytest

from audit.scanning.rules.languages import Language
from audit.scanning.rules.literals import scan_code

PYTHON, C, GO, RUST, SCRIPT, PERL = Language.PYTHON, Language.C, Language.GO, Language.RUST, Language.SCRIPT, Language.PERL


@pytest.mark.parametrize(
    ("language", "text", "found"),
    [
        # Calls that are HMP's.
        (PYTHON, "vm.human_monitor_cmd('stop')", "stop by human_monitor_cmd()"),
        (PYTHON, "vm.hmp(line)", "? by hmp()?"),
        (PYTHON, "vm.hmp('savevm t' if a else 'stop')", "savevm by hmp()"),
        (PYTHON, "vm.hmp('nothing known')", ""),
        (PYTHON, "vm.hmp()", ""),
        (PYTHON, "vm.hmp(", ""),
        (PYTHON, "def hmp(self, line): pass", ""),
        (PYTHON, "return hmp('stop')", "stop by hmp()"),
        (PYTHON, "dom.qemuMonitorCommand('stop', 0)", ""),
        (PYTHON, "dom.qemuMonitorCommand(line, 1)", "? by qemuMonitorCommand() with the flag HMP"),
        (PYTHON, 'dom.qemuMonitorCommand(\'{"execute": "stop"}\', 1)', ""),
        (C, "char *hmp(const char *line);", ""),
        (C, "QString Monitor::hmp(line)", ""),
        (SCRIPT, "class M { hmp(line) { return 1; } }", ""),
        (SCRIPT, "class M { hmp(line: string): Promise<string> { } }", ""),
        (SCRIPT, "if (x) m.hmp(line)", "? by hmp()?"),
        (GO, "func (m *M) hmp(line string) {}", ""),
        # human-monitor-command, and what is used up by it.
        (
            PYTHON,
            "q('human-monitor-command', {'command-line': line}); x = 'savevm t'",
            "? by human-monitor-command savevm by a monitor?",
        ),
        (PYTHON, "q.send('%s', 'human-monitor-command', 'savevm t')", "savevm by a monitor?"),
        (C, "q(s, \"{'execute': 'human-monitor-command', 'x': %s}\", y, \"savevm t\")", "savevm by human-monitor-command"),
        (C, "q(s, \"{'execute': 'human-monitor-command', 'x': %s}\", \"y\")", "? by human-monitor-command"),
        (C, "x = \"{'execute': 'human-monitor-command', 'x': %s}\"", "? by human-monitor-command"),
        (PYTHON, "x = {'command-line': 'savevm t'}", "savevm by a monitor"),
        # Words in a list.
        (PYTHON, "run(['virsh', 'qemu-monitor-command', d, '--hmp', line])", "? by qemu-monitor-command --hmp"),
        (PYTHON, "run(['virsh', 'qemu-monitor-command', d, '--hmp', f'info {x}'])", "? by qemu-monitor-command --hmp"),
        (PYTHON, "if name == 'qemu-monitor-command': x('--hmp')", ""),
        (PYTHON, "run(['./qmp-shell', '-vH', sock])", "HMP prompt by qmp-shell -H"),
        (PYTHON, "run(['qmp-shell', sock])", ""),
        # -loadvm.
        (PYTHON, "x = '-loadvm'", "-loadvm by -loadvm"),
        (PYTHON, "x = '--loadvm'", ""),
        (PYTHON, "x = 'qemu --loadvm t -loadvm t'", "-loadvm by -loadvm"),
        (PYTHON, "x = 'see -loadvm in the manual'", ""),
        (PYTHON, "x = 'a -loadvm t'", ""),
        (PYTHON, "x = '-S -loadvm t'", "-loadvm by -loadvm"),
        (PYTHON, "p.add_argument('-loadvm')", ""),
        (PYTHON, "if x == '-loadvm': pass", ""),
        (PYTHON, "x = 'loadvm'", ""),
        # Shell in a literal.
        (PYTHON, "print('virsh qemu-monitor-command d --hmp stop')", ""),
        (PYTHON, "x = f'virsh qemu-monitor-command {d.name()} --hmp stop'", "stop by qemu-monitor-command --hmp"),
        (SCRIPT, "x = `echo savevm ${t} | nc ${host}`", "savevm by a monitor"),
        # What is handed on or kept.
        (PYTHON, "x = 'savevm t'", "savevm by a monitor?"),
        (PYTHON, "x = 'savevm'", ""),
        (PYTHON, "mon.cmd('savevm')", "savevm by a monitor"),
        (PYTHON, "monitor_cmd('savevm t')", "savevm by monitor_cmd()"),
        (PYTHON, '"""savevm t"""\n', ""),
        (PYTHON, "f(\n'savevm t')", "savevm by a monitor?"),
        (PYTHON, "def f():\n    '''savevm t'''\n", ""),
    ],
)
def test_rule(language: Language, text: str, found: str) -> None:
    hits = sorted(scan_code(text, language), key=lambda hit: hit.offset)
    assert " ".join(f"{hit.command or '?'} by {hit.channel}{'' if hit.is_sure else '?'}" for hit in hits) == found
