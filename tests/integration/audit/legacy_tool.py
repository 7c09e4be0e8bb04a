"""A tool that sends commands to a QMP socket, one after the other, and prints what came back: `PROGRAM ADDRESS COMMANDS`.

ADDRESS is a path, or HOST:PORT. COMMANDS is JSON: a list of texts (for HMP) and objects (QMP). It prints a JSON list with the
reply to each, null where the connection ended instead. It uses the standard library only: a copy of the interpreter runs it,
so that it has a name of its own.
"""

import contextlib
import json
import socket
import sys
from typing import Any, TextIO


def connect(address: str) -> socket.socket:
    if address.startswith("/"):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(address)
        return sock
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)))


def ask(file: TextIO, command: str | dict[str, Any]) -> dict[str, Any] | None:
    if isinstance(command, str):
        command = {"execute": "human-monitor-command", "arguments": {"command-line": command}}
    with contextlib.suppress(ConnectionError):
        file.write(json.dumps(command) + "\n")
        file.flush()
        for line in file:
            message: dict[str, Any] = json.loads(line)
            if "return" in message or "error" in message:
                return message
    return None


def main() -> None:
    with connect(sys.argv[1]) as sock, sock.makefile("rw", encoding="utf-8") as file:
        file.readline()
        ask(file, {"execute": "qmp_capabilities"})
        sys.stdout.write(json.dumps([ask(file, command) for command in json.loads(sys.argv[2])]))


if __name__ == "__main__":
    main()
