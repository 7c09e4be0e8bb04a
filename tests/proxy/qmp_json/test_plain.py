"""Which commands need no closer look, by one regular expression. What may not be among them is what the proxy acts upon."""

import pytest

from proxy.qmp_json.plain import PLAIN


@pytest.mark.parametrize(
    "data",
    [
        b'{"execute":"stop"}',
        b'{"execute": "query-status", "id": 1}\r\n',
        b'{"execute":"x-_9","id":"a b"}\n{"execute":"cont"}',
    ],
)
def test_commands_without_arguments_are_plain(data: bytes) -> None:
    assert PLAIN.fullmatch(data)


@pytest.mark.parametrize(
    "data",
    [
        b'{"execute":"human-monitor-command"}',
        b'{"execute":"query-jobs"}',
        b'{"execute":"qmp_capabilities"}',
        b'{"execute":"getfd"}',
        b'{"execute":"add-fd","id":1}',
        b'{"execute":"__hmpshim_plan"}',
        b'{"exec-oob":"stop"}',
        b'{"execute":"stop","arguments":{}}',
        b'{"execute":"stop","execute":"cont"}',
        b'{"execute":"stop","id":"\\u0041"}',
        b'{"execute":"stop","id":01}',
        b'{"execute":"stop"',
        b'{"execute":"stop"} {"execute":"stop"}',
        b"{'execute':'stop'}",
        b"",
    ],
)
def test_all_others_are_looked_at(data: bytes) -> None:
    assert not PLAIN.fullmatch(data)
