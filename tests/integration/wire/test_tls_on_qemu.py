"""TLS on a real QEMU: tools that come in by it, and QEMU that is reached by it (-object tls-creds-x509)."""

import contextlib
import json
import shutil
import signal
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from shim.qmp import QEMUVersion
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM, make_qcow2, reconnecting
from tests.integration.scripts.repl_process import repl
from tests.support.proxy.certificates import Authority, Identity
from tests.support.proxy.running_vm_proxy import free_port
from tests.support.proxy_command import run_proxy
from tests.support.raw_client import DEADLINE_S

pytestmark = pytest.mark.versions

RETRY_S: Final = 0.01
DISK: Final = ("-drive", "if=none,id=d0,node-name=disk0,file=d0.qcow2,format=qcow2")


def connected(port: int) -> socket.socket:
    """Connect as soon as somebody listens."""
    deadline = time.monotonic() + DEADLINE_S
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), DEADLINE_S)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(RETRY_S)


class Tool:
    """A QMP client in command mode on a TLS connection, as the ssl module makes it."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        plain = connected(port)
        try:
            self._sock = context.wrap_socket(plain, server_hostname="127.0.0.1")
        except BaseException:
            plain.close()
            raise
        self._lines = self._sock.makefile("rb")

    def __enter__(self) -> "Tool":
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._sock.close()

    def line(self) -> bytes:
        return self._lines.readline()

    def execute(self, name: str, arguments: dict[str, Any] | None = None) -> Any:
        self._sock.sendall(json.dumps({"execute": name, "arguments": arguments or {}}).encode() + b"\n")
        while True:
            reply = json.loads(self.line())
            if "event" not in reply:
                return reply["return"]

    def negotiate(self) -> None:
        assert json.loads(self.line())["QMP"]
        assert self.execute("qmp_capabilities") == {}

    def hmp(self, line: str) -> str:
        text: str = self.execute("human-monitor-command", {"command-line": line})
        return text

    def certificate(self) -> bytes | None:
        return self._sock.getpeercert(binary_form=True)


def context_of(authority: Authority, identity: Identity | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.ca)
    if identity is not None:
        context.load_cert_chain(identity.certificate, identity.key)
    return context


@contextlib.contextmanager
def machine(args: Sequence[str] = ()) -> Iterator[QEMUVM]:
    vm = QEMUVM([*DISK, *args])
    make_qcow2(vm.path("d0.qcow2"))
    with vm:
        yield vm


def in_qemus_folder(folder: Path, authority: Authority, identity: Identity, kind: str) -> str:
    """Put files where QEMU looks for them, and return the folder. kind: "server" or "client"."""
    folder.mkdir()
    names = {authority.ca: "ca-cert.pem", identity.certificate: f"{kind}-cert.pem", identity.key: f"{kind}-key.pem"}
    for path, name in names.items():
        shutil.copy(path, folder / name)
    return str(folder)


def monitor(folder: str, socket_options: str, endpoint: str) -> list[str]:
    """Return the arguments of a QEMU whose monitor is on TLS."""
    credentials = f"tls-creds-x509,id=t,endpoint={endpoint},dir={folder},verify-peer=on"
    return ["-object", credentials, "-chardev", f"socket,id=q,{socket_options},tls-creds=t", "-mon", "chardev=q,mode=control"]


def snapshots_work(tool: Any) -> None:
    assert tool.hmp("savevm t1") == ""
    assert "t1" in tool.hmp("info snapshots")
    assert tool.hmp("loadvm t1") == ""
    assert tool.hmp("delvm t1") == ""
    assert len(json.dumps(tool.execute("query-qmp-schema"))) > 150_000


# --- Tools come in by TLS -----------------------------------------------------------------------------------------------


def test_tools_come_in_by_their_certificates(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    server, port = authority.issue("server"), free_port()
    options = ["--listen", f"tcp:0.0.0.0:{port}", "--tls-certificate", server.certificate, "--tls-key", server.key]
    options += ["--tls-client-ca", authority.ca, "--tls-allowed-name", "backup", "--tls-allowed-name", "ci"]
    with machine() as vm, ProxyProcess(vm.folder, vm.qmp_path, options) as proxy:
        for name in ("backup", "ci"):
            with Tool(port, context_of(authority, authority.issue(name))) as tool:
                tool.negotiate()
                snapshots_work(tool)
        with Tool(port, context_of(authority, authority.issue("somebody"))) as tool:
            assert tool.line() == b""
        for stranger in (None, other.issue("backup")):
            with (
                pytest.raises(OSError, match=r"certificate required|unknown ca"),
                Tool(port, context_of(authority, stranger)) as tool,
            ):
                tool.line()
        with connected(port) as plain:
            plain.sendall(b'{"execute": "quit"}\r\n')
            with contextlib.suppress(ConnectionResetError):
                while sent := plain.recv(4096):
                    assert b"QMP" not in sent
        assert vm.is_alive
        with proxy.negotiated() as client:
            snapshots_work(_Plain(client))
        proxy.__exit__(None, None, None)
        told = [line for line in proxy.stderr.splitlines() if "refused" in line]
        assert len(told) == 2
        assert f"refused a client at tcp:0.0.0.0:{port}: tcp:127.0.0.1:" in told[0]
        assert told[0].endswith("the name in its certificate, 'somebody', may not connect there")
        assert f"refused more clients at tcp:0.0.0.0:{port}: 3 within a minute" in told[1]


class _Plain:
    """The same tool on a plain connection."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def execute(self, name: str, arguments: dict[str, Any] | None = None) -> Any:
        return self._client.execute(name, arguments)["return"]

    def hmp(self, line: str) -> str:
        text: str = self.execute("human-monitor-command", {"command-line": line})
        return text


def test_certificates_are_read_again(tmp_path: Path) -> None:
    """Who is connected stays so; a file that is wrong changes nothing."""
    authority = Authority(tmp_path)
    first, second, port = authority.issue("first"), authority.issue("second"), free_port()
    context = context_of(authority, authority.issue("tool"))
    options = ["--listen", f"tcp:127.0.0.1:{port},tls-certificate={first.certificate},tls-key={first.key}"]
    options[-1] += f",tls-client-ca={authority.ca}"
    with machine() as vm, ProxyProcess(vm.folder, vm.qmp_path, options) as proxy, Tool(port, context) as early:
        early.negotiate()
        before = early.certificate()

        def after_hangup(text: str) -> bytes | None:
            assert proxy.process is not None
            proxy.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + DEADLINE_S
            while text not in proxy.stderr:
                assert time.monotonic() < deadline
                time.sleep(RETRY_S)
            with Tool(port, context) as late:
                late.negotiate()
                return late.certificate()

        kept = Path(first.certificate).read_bytes()
        Path(first.certificate).write_text("nothing\n")
        assert after_hangup("the old certificates stay in force") == before
        Path(first.certificate).write_bytes(kept)
        for name in ("certificate", "key"):
            shutil.copy(getattr(second, name), getattr(first, name))
        assert after_hangup("the certificates were read again") not in (before, None)
        snapshots_work(early)


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]"])
def test_network_without_tls_is_refused(host: str) -> None:
    ended = run_proxy("--upstream", "unix:/q", "--listen", f"tcp:{host}:{free_port()}")
    assert ended.returncode == 2
    assert "who can reach it from another machine controls the VM; set --tls-certificate and --tls-client-ca" in ended.stderr


# --- QEMU is reached by TLS ---------------------------------------------------------------------------------------------


def configuration(vm: QEMUVM, upstream: str, tls: dict[str, str]) -> str:
    path = vm.path("hmpshim.toml")
    lines = ["[[vm]]", f'upstream = "{upstream}"', 'listen = "stdio"', *(f'{key} = "{value}"' for key, value in tls.items())]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def options_of(tls: dict[str, str]) -> list[str]:
    return [word for key, value in tls.items() for word in (f"--{key.replace('_', '-')}", value)]


def test_qemu_is_reached_by_tls(tmp_path: Path) -> None:
    """By the proxy, by plan and by the prompt: each with what the same file says."""
    authority, port = Authority(tmp_path), free_port()
    own = authority.issue("proxy")
    folder = in_qemus_folder(tmp_path / "qemu", authority, authority.issue("qemu", host="DNS:qemu.example"), "server")
    tls = {"upstream_tls_ca": authority.ca, "upstream_tls_certificate": own.certificate, "upstream_tls_key": own.key}
    tls["upstream_tls_name"] = "qemu.example"
    upstream = f"tcp:127.0.0.1:{port}"
    with machine(monitor(folder, f"host=127.0.0.1,port={port},server=on,wait=off", "server")) as vm:
        with ProxyProcess(vm.folder, upstream, options_of(tls)) as proxy, proxy.negotiated() as client:
            snapshots_work(_Plain(client))
        path = configuration(vm, upstream, tls)
        for words in (["--config", path], ["--upstream", upstream, *options_of(tls)]):
            planned = run_proxy("plan", *words, "savevm", "t2")
            assert planned.returncode == 0, planned.stderr
            assert '"snapshot-save"' in planned.stdout
        ended = repl("--config", path, "-c", "savevm t3", "-c", "info snapshots")
        assert (ended.status, ended.err) == (0, "")
        assert "t3" in ended.text


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"upstream_tls_name": "another.example"}, "Hostname mismatch, certificate is not valid for 'another.example'"),
        ({"upstream_tls_certificate": "", "upstream_tls_key": ""}, "it closed the connection before"),
        ({"upstream_tls_ca": "other"}, "unable to get local issuer certificate"),
    ],
)
def test_who_is_not_qemu_is_told(tmp_path: Path, wrong: dict[str, str], reason: str) -> None:
    authority, other, port = Authority(tmp_path), Authority(tmp_path, "other"), free_port()
    own = authority.issue("proxy")
    folder = in_qemus_folder(tmp_path / "qemu", authority, authority.issue("qemu"), "server")
    tls = {"upstream_tls_ca": authority.ca, "upstream_tls_certificate": own.certificate, "upstream_tls_key": own.key}
    tls = {key: value for key, value in (tls | wrong).items() if value}
    if tls["upstream_tls_ca"] == "other":
        tls["upstream_tls_ca"] = other.ca
    upstream = f"tcp:127.0.0.1:{port}"
    with machine(monitor(folder, f"host=127.0.0.1,port={port},server=on,wait=off", "server")) as vm:
        planned = run_proxy("plan", "--upstream", upstream, *options_of(tls), "savevm", "t2")
        assert planned.returncode in (3, 4)
        assert reason in planned.stderr
        ended = repl("--config", configuration(vm, upstream, tls), "-c", "savevm t3")
        assert ended.status == 3
        assert reason in ended.err


def test_qemu_that_connects_is_known_by_its_certificate(tmp_path: Path, qemu_version: QEMUVersion) -> None:
    authority, port = Authority(tmp_path), free_port()
    own = authority.issue("proxy")
    folder = in_qemus_folder(tmp_path / "qemu", authority, authority.issue("qemu"), "client")
    tls = {"upstream_tls_ca": authority.ca, "upstream_tls_certificate": own.certificate, "upstream_tls_key": own.key}
    tls["upstream_tls_name"] = "qemu"
    args = monitor(folder, f"host=127.0.0.1,port={port},server=off,{reconnecting(qemu_version)}", "client")
    with machine(args) as vm:
        proxy = ProxyProcess(vm.folder, f"accept:tcp:127.0.0.1:{port}", options_of(tls))
        with proxy, proxy.negotiated() as client:
            snapshots_work(_Plain(client))


# --- Rules ---------------------------------------------------------------------------------------------------------------


def test_rules_know_clients_by_certificate_and_listener(tmp_path: Path) -> None:
    authority, port = Authority(tmp_path), free_port()
    server = authority.issue("server")
    options = ["--listen", f"tcp:127.0.0.1:{port}", "--tls-certificate", server.certificate, "--tls-key", server.key]
    options += ["--tls-client-ca", authority.ca, "--rule", "deny stop for certificate=ci"]
    options += ["--rule", f"deny cont for listener=tcp:127.0.0.1:{port}"]
    with machine() as vm, ProxyProcess(vm.folder, vm.qmp_path, options) as proxy, proxy.negotiated() as client:
        for name, denied in (("ci", {"stop", "cont"}), ("backup", {"cont"})):
            with Tool(port, context_of(authority, authority.issue(name))) as tool:
                tool.negotiate()
                for command in ("stop", "cont"):
                    with pytest.raises(KeyError, match="return") if command in denied else contextlib.nullcontext():
                        tool.execute(command)
        assert "return" in client.execute("stop")
        assert "return" in client.execute("cont")
