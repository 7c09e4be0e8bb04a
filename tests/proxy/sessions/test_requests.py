"""What a client that has negotiated asks for: what is told from the rest, and that the rest is forwarded as it came."""

from typing import Final

import pytest

from proxy.sessions.requests import Forward, HMPRequest, JobsRequest, LocalReply, ModernRequest, Request, UnplugRequest
from shim.hmp.line import DelVM, HMPLine, InfoSnapshots, LoadVM, SaveVM
from tests.support.routing.pure_router import a_session, hmp

NAME: Final = b'{"execute":"query-name"}'


def requests(data: bytes) -> list[Request]:
    """Have a client send this, and take all that is to be done."""
    session = a_session(negotiated=True)
    session.inbox.receive_data(data)
    found = []
    while session.inbox.has_input:
        if (request := session.next_request()) is not None:
            found.append(request)
    return found


@pytest.mark.parametrize(
    "raw",
    [
        NAME,
        b"  {'execute' : 'query-name',\n 'id': 1.0e3 }\n",
        b'{"execute":"qmp_capabilities"}',
        b'{"execute":"nope","arguments":[]}',
        b"{}",
        b'{"execute":5}',
        b'{"execute":"query-name","bogus":1}',
        b'{"execute":"human-monitor-command","bogus":1,"arguments":{"command-line":"savevm t"}}',
        b'{"execute":"job-dismiss"}',
    ],
)
def test_all_else_is_forwarded_byte_for_byte(raw: bytes) -> None:
    assert requests(raw) == [Forward(raw)]


def test_qmps_own_snapshot_commands_are_told_apart() -> None:
    raw = b'{"execute":"snapshot-delete","arguments":{}}'
    message = {"execute": "snapshot-delete", "arguments": {}}
    assert requests(raw) == [ModernRequest(raw, message, "snapshot-delete")]


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("savevm t", SaveVM("t")),
        ("savevm", SaveVM(None)),
        (" loadvm  t", LoadVM("t")),
        ('delvm "a b"', DelVM("a b")),
        ("info snapshots", InfoSnapshots()),
    ],
)
def test_snapshot_command_is_recognised(line: str, command: object) -> None:
    raw = hmp(line, id=7)
    (request,) = requests(raw)
    assert isinstance(request, HMPRequest)
    assert (request.raw, request.line, request.cpu_index) == (raw, HMPLine.read(line), None)
    assert HMPLine.read(line).command == command
    assert request.message["id"] == 7


@pytest.mark.parametrize("line", ["", "savevm a b", "loadvm", "info", "info snapshots x", "system_reset", "savevmx", "s"])
def test_other_lines_are_left_to_qemu(line: str) -> None:
    (request,) = requests(hmp(line))
    assert isinstance(request, HMPRequest)
    assert request.line == HMPLine.read(line)
    assert request.line.command is None
    assert request.line.why_not_parsed


@pytest.mark.parametrize(
    "arguments",
    [
        *("{}", "[]", "5", '{"command-line":5}', '{"command-line":null}', '{"cpu-index":0}', '{"command-line":["savevm"]}'),
    ],
)
def test_arguments_of_the_wrong_type_are_left_to_qemu(arguments: str) -> None:
    raw = b'{"execute":"human-monitor-command","arguments":%s}' % arguments.encode()
    (request,) = requests(raw)
    assert isinstance(request, HMPRequest)
    assert request.line is None


@pytest.mark.parametrize("cpu_index", [True, 1.0, "0", None, [0]])
def test_cpu_index_of_the_wrong_type_is_left_to_qemu(cpu_index: object) -> None:
    (request,) = requests(hmp("savevm t", **{"cpu-index": cpu_index}))
    assert isinstance(request, HMPRequest)
    assert request.line == HMPLine.read("savevm t").not_parsed()


def test_unknown_argument_is_left_to_qemu() -> None:
    (request,) = requests(hmp("savevm t", bogus=1))
    assert isinstance(request, HMPRequest)
    assert request.line == HMPLine.read("savevm t").not_parsed()


def test_cpu_index_is_kept() -> None:
    (request,) = requests(hmp("savevm t", **{"cpu-index": 3}))
    assert isinstance(request, HMPRequest)
    assert (request.line, request.cpu_index) == (HMPLine.read("savevm t"), 3)


def test_device_del_is_told_from_the_rest() -> None:
    raw, other = b'{"execute":"device_del","arguments":{"id":"v1"}}', b'{"execute":"device_del","arguments":{"id":1}}'
    assert requests(raw) == [UnplugRequest(raw, "v1")]
    assert requests(other) == [Forward(other)]


def test_query_jobs_is_told_from_the_rest() -> None:
    raw = b'{"execute":"query-jobs","id":1}'
    assert requests(raw) == [JobsRequest(raw)]


@pytest.mark.parametrize(
    ("begin", "end"),
    [
        (b'{"execute":"nope","id":[', b"]}"),
        (b'{"execute":"nope","id":{"a":[', b"]}}"),
        (b'{"execute":"human-monitor-command","arguments":{"command-line":"stop"},"id":[', b"]}"),
        (b'{"exec-oob":"nope","arguments":{"a":[', b"]}}"),
    ],
)
@pytest.mark.parametrize("item", [b"0", b"{}", b"[[]]"])
def test_what_would_be_spelled_anew_has_few_tokens(begin: bytes, end: bytes, item: bytes) -> None:
    def sent(count: int) -> Request:
        (request,) = requests(begin + b",".join([item] * count) + end)
        return request

    refused = LocalReply(b'{"error": {"class": "GenericError", "desc": "JSON token count limit exceeded"}}\r\n')
    assert sent(400) != refused
    assert sent(3100) == refused


def test_what_is_only_forwarded_may_have_many_tokens() -> None:
    raw = b'{"execute":"nope","id":"a","arguments":{"a":[%s]}}' % b",".join([b"0"] * 5000)
    assert requests(raw) == [Forward(raw)]
