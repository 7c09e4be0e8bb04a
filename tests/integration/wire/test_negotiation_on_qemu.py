"""The table of test_negotiation.py, asked of a real QEMU, directly and through the proxy."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from shim.qmp import QEMUVersion
from tests.integration.proxy_process import ProxyProcess
from tests.integration.qemu_vm import QEMUVM
from tests.support.raw_client import RawClient
from tests.support.routing.negotiation_cases import CAPABILITIES, ENVELOPES, IN_HASH_ORDER

pytestmark = pytest.mark.versions

NOT_NEGOTIATED = "Expecting capabilities negotiation with 'qmp_capabilities'"


@pytest.fixture(scope="module")
def vm() -> Iterator[QEMUVM]:
    with QEMUVM(["-S"]) as started:
        yield started


@pytest.fixture(scope="module")
def proxy() -> Iterator[ProxyProcess]:
    with QEMUVM(["-S"]) as behind, ProxyProcess(behind.folder, behind.qmp_path) as started:
        yield started


def said(client: RawClient, command: dict[str, Any]) -> bytes:
    client.send(json.dumps(command).encode() + b"\n")
    return client.receive_message()


def test_qemu_says_the_same_to_each_envelope(vm: QEMUVM) -> None:
    with vm.connect() as client:
        client.receive()
        for message, text in ENVELOPES:
            reply = json.loads(said(client, message))
            assert reply["error"]["desc"] == (text or NOT_NEGOTIATED), message
            assert reply["error"]["class"] == ("GenericError" if text else "CommandNotFound")


@pytest.mark.parametrize(("arguments", "text"), CAPABILITIES, ids=str)
def test_qemu_and_the_proxy_say_the_same_to_qmp_capabilities(
    vm: QEMUVM, proxy: ProxyProcess, arguments: dict[str, Any], text: str | None, qemu_version: QEMUVersion
) -> None:
    if qemu_version < (6, 0) and text is not None:
        text = re.sub(r"Parameter 'null' does not accept value '(.*)'", r"Invalid parameter '\1'", text, flags=re.DOTALL)
    command = {"execute": "qmp_capabilities", "arguments": arguments, "id": ["x"]}
    with vm.connect() as direct, proxy.connect() as through:
        assert direct.receive_message() == through.receive_message()
        reply = said(direct, command)
        assert said(through, command) == reply
        assert json.loads(reply).get("error", {}).get("desc") == text
        for behind in ({"execute": "query-name"}, {"exec-oob": "query-name", "id": 1}, {"execute": "qmp_capabilities"}):
            assert said(through, behind) == said(direct, behind)


def test_proxy_says_the_same_to_each_envelope(vm: QEMUVM, proxy: ProxyProcess) -> None:
    with vm.connect() as direct, proxy.connect() as through:
        assert direct.receive_message() == through.receive_message()
        for message, _ in ENVELOPES:
            if message not in IN_HASH_ORDER:
                assert said(through, message | {"id": 1}) == said(direct, message | {"id": 1})


@pytest.mark.parametrize("oob", [False, True])
@pytest.mark.parametrize(
    "command",
    [
        *({}, {"exec-oob": "query-yank"}, {"execute": "query-name", "exec-oob": "query-yank"}, {"exec-oob": 5}),
        *({"exec-oob": "nope"}, {"exec-oob": "query-name"}, {"execute": "query-name", "bogus": 1}, {"execute": "nope"}),
        *({"exec-oob": "query-yank", "arguments": {"a": 1e300}}, {"exec-oob": "query-yank", "arguments": 5}),
    ],
    ids=str,
)
def test_negotiated_client_hears_the_same(vm: QEMUVM, proxy: ProxyProcess, oob: bool, command: dict[str, Any]) -> None:
    with vm.connect() as direct, proxy.connect() as through:
        direct.negotiate(oob=oob)
        through.negotiate(oob=oob)
        for own in ({}, {"id": [1.5, None, {"k": "é"}]}):
            assert said(through, command | own) == said(direct, command | own)
