"""A tree of sources as projects have them, with every call of HMP marked, and words beside them that only look like one.

What follows `@@` on a line is what a scan is to find there, in the order of the columns: commands, separated by commas. `?`
before one stands for "look at it", `*` for a computed command. The marks are taken out before the files are written.
"""

from pathlib import Path
from typing import Final, TypeAlias

__all__ = ["SOURCES", "Place", "expected", "plant", "without_marks"]

# File, line, command and whether it is sure.
Place: TypeAlias = tuple[str, int, str, bool]

_PYTHON: Final = '''\
"""Snapshots of test machines.

    savevm nightly
    loadvm nightly
"""
import asyncio
import subprocess
import libvirt_qemu
from qemu.machine import QEMUMachine
from qemu.qmp import QMPClient

SAVEVM_DIR = "/var/lib/savevm"
savevm_dir = SAVEVM_DIR
log = __import__("logging").getLogger("savevm")


class loadvm:  # savevm t1 in a comment
    """savevm TAG: keep the state."""

    def savevm(self, tag):
        """loadvm tag"""
        self.tag = tag

    def hmp(self, line):
        return self.vm.command("human-monitor-command", **{"command-line": line})@@*


async def save(qmp: QMPClient, tag: str) -> str:
    await qmp.execute("snapshot-save", {"job-id": "save", "tag": tag, "vmstate": "d0", "devices": ["d0"]})
    answer = await qmp.execute("human-monitor-command", {"command-line": f"savevm {tag}"})@@savevm
    if answer:
        raise RuntimeError("savevm failed: " + answer)
    log.info("savevm %s", tag)
    return await qmp.execute(
        "human-monitor-command",@@info snapshots
        {"command-line": "info snapshots"},
    )


def machine(vm: QEMUMachine, tag: str) -> None:
    vm.hmp("delvm old")@@delvm
    vm.cmd('human-monitor-command', command_line='loadvm ' + tag)@@loadvm
    vm.human_monitor_command("info block -v")@@info block
    assert vm.human_monitor_command(tag) == ""@@*
    vm.qmp({"execute": "human-monitor-command", "arguments": {"command-line": "savevm x"}})@@savevm
    vm.add_args("-S", "-loadvm", tag)@@-loadvm
    print("savevm done")
    print("use -loadvm to start from it")
    if tag == "savevm t":
        vm.savevm(tag)


def by_libvirt(dom, sock, tag):
    libvirt_qemu.qemuMonitorCommand(dom, "savevm t1", libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP)@@savevm
    libvirt_qemu.qemuMonitorCommand(dom, '{"execute": "query-status"}', 0)
    libvirt_qemu.qemuMonitorCommand(dom, "info migrate", 1)@@info migrate
    subprocess.run(["virsh", "qemu-monitor-command", dom.name(), "--hmp", f"loadvm {tag}"], check=True)@@loadvm
    subprocess.run(["virsh", "qemu-monitor-command", dom.name(), '{"execute": "stop"}'], check=True)
    subprocess.run(f"virsh qemu-monitor-command {dom.name()} --hmp 'delvm {tag}'", shell=True)@@delvm
    subprocess.run("echo savevm t | socat - UNIX-CONNECT:/run/mon", shell=True)@@savevm
    sock.sendall(b"savevm %s\\n" % tag.encode())@@savevm
    sock.sendall(("loadvm " + tag + "\\n").encode("ascii"))@@loadvm
    commands = ["stop", "info snapshots"]@@?info snapshots
    line = "delvm {}".format(tag)@@?delvm
    handlers = {"savevm": save, "loadvm": by_libvirt}
    parser.add_argument("-loadvm", help="savevm tag to load")
    child.expect("savevm")
    subprocess.run(["qmp-shell", "-H", "/run/qmp"], input=line)@@HMP prompt
    return commands, handlers
'''

_AVOCADO: Final = '''\
from virttest import error_context


def run(test, params, env):
    """
    Save a VM with savevm, then loadvm it.
    """
    vm = env.get_vm(params["main_vm"])
    error_context.context("savevm the guest", test.log.info)
    vm.monitor.send_args_cmd("savevm id=%s" % params["tag"])@@savevm
    vm.monitor.cmd("savevm")@@savevm
    vm.monitor.human_monitor_cmd("loadvm %s" % params["tag"])@@loadvm
    if params["tag"] not in vm.monitor.info("snapshots"):
        test.fail("loadvm lost it")
    vm.monitor.send_args_cmd("delvm t2", convert=False)@@delvm
    vm.monitor.send_args_cmd("balloon value=1024")
    vm.loadvm("t1")
'''

_SHELL: Final = """\
#!/bin/bash
# savevm t1: keeps the state (see virsh qemu-monitor-command vm --hmp 'savevm t1')
set -e
SAVEVM_TAG=${1:-nightly}
MON=/run/vm.mon

savevm() {
    echo "saving vm snapshot with tag $1"
    echo "savevm $1" | nc -N -U "$MON"@@savevm
}

usage() { echo "usage: $0 savevm|loadvm TAG"; }

case "$1" in
    savevm) savevm "$2" ;;
    -loadvm|--loadvm) shift ;;
    loadvm) echo loadvm "$2" | sudo socat - "UNIX-CONNECT:$MON" ;;@@loadvm
esac
echo "savevm done"
echo "savevm failed" >&2
echo 'savevm done' >> build.log
echo "savevm t1" | tee -a build.log
logger "loadvm t1"
git commit -m "savevm t1"
virsh qemu-monitor-command "$DOM" --hmp "savevm $SAVEVM_TAG"@@savevm
virsh -c qemu:///system qemu-monitor-command --hmp --domain "$DOM" --cmd "info snapshots"@@info snapshots
virsh qemu-monitor-command "$DOM" --hmp "$LINE"@@*
virsh qemu-monitor-command "$DOM" --pretty '{"execute":"query-block"}'
virsh qemu-monitor-command "$DOM" '{"execute":"human-monitor-command","arguments":{"command-line":"delvm a"}}'@@delvm
virsh snapshot-create-as "$DOM" savevm
qemu-system-x86_64 -m 2048 -hda disk.qcow2 -loadvm "$SAVEVM_TAG" \\@@-loadvm
    -monitor unix:$MON,server,nowait &
ARGS=(-loadvm golden)@@?-loadvm
OPTS="-snapshot -loadvm golden"@@-loadvm
socat - "UNIX-CONNECT:$MON" <<EOF
stop
savevm t2@@savevm
# it's no comment of the shell's
cont
EOF
cat > README <<'EOF'
savevm t3
EOF
nc -U "$MON" <<< "delvm t2"@@delvm
{ echo "stop"; echo "savevm t4"; sleep 1; } | nc -U "$MON"@@savevm
for tag in a b; do printf 'delvm %s\\n' "$tag"; done | socat - "unix:$MON"@@delvm
printf 'info snapshots\\n' > /tmp/qemu-monitor.in@@info snapshots
out=$(echo "info snapshots" | socat - "unix:$MON")@@info snapshots
echo '{"execute":"human-monitor-command","arguments":{"command-line":"savevm q"}}' | nc -U q@@savevm
echo "{\\"execute\\":\\"human-monitor-command\\",\\"arguments\\":{\\"command-line\\":\\"loadvm $T\\"}}" | nc -U q@@loadvm
qmp-shell -H /run/vm.qmp@@HMP prompt
qmp-shell /run/vm.qmp
_send_qemu_cmd $QEMU_HANDLE "savevm snap0" "(qemu)"@@savevm
_send_qemu_cmd $QEMU_HANDLE 'loadvm snap0' "(qemu)"@@loadvm
ssh host "virsh qemu-monitor-command vm1 --hmp 'savevm t9'"@@savevm
python3 - <<'EOF'
vm.hmp("savevm t6")@@savevm
EOF
python3 -c 'vm.hmp("loadvm t6")'@@loadvm
qm monitor 100 <<< "info snapshots"@@info snapshots
echo "savevm t5" > "$FIFO_MON"  # hmp-audit: ignore
"""

_GO: Final = """\
package vm

import (
	"fmt"
	"os"

	"github.com/digitalocean/go-qemu/qmp"
	"github.com/digitalocean/go-qemu/qmp/raw"
)

// savevm "t1" is what the monitor gets.
type loadvm struct{ tag string }

func (m *Machine) HumanMonitorCommand(line string) (string, error) {
	return m.run(fmt.Sprintf(`{"execute":"human-monitor-command","arguments":{"command-line":%q}}`, line))@@*
}

func Save(mon *raw.Monitor, q qmp.Monitor, tag string) error {
	if _, err := mon.HumanMonitorCommand(fmt.Sprintf("savevm %s", tag), nil); err != nil {@@savevm
		return fmt.Errorf("savevm %s: %w", tag, err)
	}
	_, err := q.Run([]byte(`{"execute":"human-monitor-command","arguments":{"command-line":"loadvm t1"}}`))@@loadvm
	cmd := qmp.Command{Execute: "human-monitor-command", Args: map[string]string{"command-line": "delvm " + tag}}@@delvm
	domain.QemuMonitorCommand("info snapshots", libvirt.DOMAIN_QEMU_MONITOR_COMMAND_HMP)@@info snapshots
	args := []string{"-m", "512", "-loadvm", tag}@@-loadvm
	fmt.Fprintf(conn, "savevm %s\\n", tag)@@savevm
	fmt.Fprintf(os.Stderr, "loadvm %s\\n", tag)
	log.Printf("savevm %s", tag)
	switch name {
	case "savevm":
		r := 'x'
	}
	return exec.Command("virsh", "qemu-monitor-command", name, "--hmp", "savevm "+tag).Run()@@savevm
}
"""

_RUST: Final = """\
use serde_json::json;

/// Sends `savevm tag`.
pub async fn save<'a>(qmp: &'a mut Qmp, tag: &'a str) -> Result<()> {
    qmp.send(json!({"execute": "human-monitor-command",@@savevm
                    "arguments": {"command-line": format!("savevm {tag}")}})).await?;
    qmp.human_monitor_command("loadvm t1").await?;@@loadvm
    qmp.hmp(&format!("delvm {}", tag)).await?;@@delvm
    writeln!(monitor, "savevm {}", tag)?;@@savevm
    println!("savevm {}", tag);
    cmd.arg("-loadvm").arg(tag);@@-loadvm
    let raw = r#"{"execute":"human-monitor-command","arguments":{"command-line":"info snapshots"}}"#;@@info snapshots
    if line == "savevm t" { bail!("loadvm {}", tag); }
    let savevm_path = dir.join("savevm");
    Ok(())
}
"""

_C: Final = """\
#include "migration/savevm.h"
/* savevm t1
   loadvm t1 */
static SaveVMHandlers savevm_ram_handlers = { .save_setup = ram_save_setup };
void qemu_savevm_state(void) { register_savevm("savevm", 0, 1, save, NULL); }
char *qmp_human_monitor_command(const char *command_line, Error **errp);
static HMPCommand cmds[] = { { .name = "savevm", .params = "tag", .cmd = hmp_savevm }, };

void test(QTestState *qts, int fd, FILE *mon, const char *tag)
{
    g_autofree char *out = qtest_hmp(qts, "savevm %s", tag);@@savevm
    qtest_qmp(qts, "{'execute': 'human-monitor-command',"@@loadvm
                   " 'arguments': {'command-line': %s}}", "loadvm t1");
    fprintf(mon, "delvm %s\\n", tag);@@delvm
    fprintf(stderr, "savevm %s\\n", tag);
    error_report("loadvm t1");
    monitor_printf(m, "savevm t1");
    if (!strcmp(opt, "-loadvm") || !strcmp(cmd, "savevm t")) return;
    virDomainQemuMonitorCommand(dom, "savevm t1", &out, VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP);@@savevm
    execlp("qemu-system-x86_64", "qemu", "-loadvm", tag, NULL);@@-loadvm
    send(mon_fd, "savevm t1\\n", 10, 0);@@savevm
}
"""

_SCRIPT: Final = """\
import { execSync } from "node:child_process";
// savevm t1
const SAVEVM = "savevm";
export async function save(qmp, tag) {
  await qmp.execute("human-monitor-command", { "command-line": `savevm ${tag}` });@@savevm
  await qmp.send({ execute: 'human-monitor-command', arguments: { 'command-line': 'loadvm t1' } });@@loadvm
  sock.write(`delvm ${tag}\\n`);@@delvm
  console.log(`savevm ${tag}`);
  execSync(`virsh qemu-monitor-command ${dom} --hmp "info snapshots"`);@@info snapshots
  spawn("qemu-system-x86_64", ["-loadvm", tag]);@@-loadvm
  throw new Error("loadvm t1");
}
class Monitor {
  hmp(line) { return this.execute("human-monitor-command", { "command-line": line }); }@@*
}
it("savevm t1", () => { expect(sent).toEqual(["savevm t1"]); });
"""

_PERL: Final = """\
#!/usr/bin/perl
# savevm t1
use strict;

=head1 savevm

    print $sock "savevm t1\\n";

=cut

my $res = mon_cmd($vmid, "human-monitor-command", 'command-line' => "savevm $snap");@@savevm
print $sock "loadvm $snap\\n";@@loadvm
print {$mon} "delvm $snap\\n";@@delvm
print STDERR "savevm $snap\\n";
print "loadvm $snap\\n";
die "savevm $snap" if $res;
my $count = $#{$list};
PVE::QemuServer::Monitor::hmp_cmd($vmid, "info snapshots");@@info snapshots
push @$cmd, '-loadvm', $snap;@@-loadvm
"""

_ANSIBLE: Final = """\
- name: savevm t1 isn't kept
  hosts: all
  # savevm t1
  tasks:
    - name: Save
      shell: echo "savevm {{ tag }}" | socat - UNIX-CONNECT:/run/mon@@savevm
    - name: loadvm t1
      command: virsh qemu-monitor-command {{ vm }} --hmp 'loadvm {{ tag }}'@@loadvm
    - ansible.builtin.shell: >-
        virsh qemu-monitor-command vm1@@delvm
        --hmp "delvm old"
    - command:
        argv:
          - virsh
          - qemu-monitor-command@@savevm
          - vm1
          - --hmp
          - savevm t1
    - debug:
        msg: "savevm t1"
    - community.libvirt.virt:
        command: snapshot-save
    - shell: |
        qemu-system-x86_64 -hda a.qcow2 -loadvm t1@@-loadvm
        echo "savevm is done"
      args: {chdir: /tmp}
    - command: ["virsh", "qemu-monitor-command", "vm1", "--hmp", "info snapshots"]@@info snapshots
"""

_DOCKER: Final = """\
FROM debian
# savevm t1
LABEL note="savevm t1"
RUN echo "savevm t1" | nc -U /mon@@savevm
CMD ["qemu-system-x86_64", "-loadvm", "t1"]@@-loadvm
"""

_MAKE: Final = """\
savevm:
\t@echo "savevm t1"
\techo "savevm $(TAG)" | nc -U mon@@savevm
QEMU_FLAGS += -loadvm t1@@-loadvm
"""

_EXPECT: Final = """\
#!/usr/bin/expect -f
spawn telnet localhost 1234
expect "(qemu)"
send "savevm 202011\\r"@@savevm
"""

_PROSE: Final = """\
# savevm

    echo "savevm t1" | socat - UNIX:/mon
    vm.hmp("savevm t1")
"""

SOURCES: Final[dict[str, str]] = {
    "Makefile": _MAKE,
    "README.md": _PROSE,
    "c/snapshot.c": _C,
    "changes.txt": _PROSE,
    "ci/Dockerfile": _DOCKER,
    "ci/play.yml": _ANSIBLE,
    "go/vm.go": _GO,
    "js/vm.ts": _SCRIPT,
    "perl/vm": _PERL,
    "python/avocado.py": _AVOCADO,
    "python/vm.py": _PYTHON,
    "rust/vm.rs": _RUST,
    "shell/log-in": _EXPECT,
    "shell/vm.sh": _SHELL,
}


def without_marks(text: str) -> str:
    """Return a source as it is written."""
    return "".join(line.partition("@@")[0].rstrip("\n") + "\n" for line in text.splitlines())


def expected(path: str, text: str) -> list[Place]:
    """Return what the marks of a source say, in order."""
    return [
        (path, number, mark.strip("?*"), not mark.startswith("?"))
        for number, line in enumerate(text.splitlines(), 1)
        for mark in filter(None, line.partition("@@")[2].split(","))
    ]


def plant(root: Path) -> list[Place]:
    """Write the tree, and return what a scan is to find in it, in the order of paths and lines."""
    for path, text in SOURCES.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(without_marks(text), encoding="utf-8")
    return [place for path, text in sorted(SOURCES.items()) for place in expected(path, text)]
