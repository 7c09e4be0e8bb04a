"""Which lines hold a secret, in HMP's words, in QMP's, and as they are typed wrong or in part."""

import pytest

from shim.records.passwords import holds_secret, makes_secret


@pytest.mark.parametrize(
    "line",
    [
        "object_add secret,id=s,data=hunter2",
        "object_add secret,data=hunter2,id=s,format=raw",
        "object_add qom-type=secret,id=s,data=hunter2",
        '  object_add {"qom-type": "secret", "id": "s", "data": "hunter2"}',
        "qom-set /objects/s data hunter2",
        "set_password vnc hunter2",
        "set_password spice hunter2 keep",
        "set_password -d vnc1 vnc hunter2",
        "change vnc password hunter2",
        "change vnc passwd hunter2",
        "change vnc -f password hunter2",
        'change "vnc" "password" "hunter2"',
        "change-vnc-password hunter2",
        "change_vnc_password hunter2",
        'set_password vnc "hunter two"',
        'block_passwd d0 "hunter2"',
        "block_passwd d0 hunter2",
        "drive_add 0 file=ssh://me:hunter2@host/a.qcow2",
        "drive_add 0 file.driver=https,file.cookie=sid",
        "drive_mirror d0 iscsi://me%hunter2@host/iqn/0",
        "qmp object-add qom-type=secret id=s data=hunter2",
        'qmp object-add qom-type=secret id=s data="a b"',
        'qmp object-add {"data": "hunter2", "qom-type": "secret", "id": "s"}',
        'qmp object-add {"qom-type": "secret", "id": "s", "props": {"data": "hunter2"}}',
        "qmp set_password protocol=vnc password=hunter2",
        "qmp change-vnc-password password=hunter2",
        'qmp change {"device": "vnc", "target": "password", "arg": "hunter2"}',
        "qmp qom-set path=/objects/s property=data value=hunter2",
        '{"execute": "set_password", "arguments": {"protocol": "vnc",\n "password": "hunter2"}}',
        "{'execute': 'object-add', 'arguments': {'qom-type': 'secret', 'data': 'hunter2'",
        '{"execute": "human-monitor-command", "arguments": {"command-line": "change vnc password hunter2"}}',
        '{"execute": "human-monitor-command", "arguments": {"command-line": "set_password vnc hunter2"}}',
        "# set_password vnc hunter2",
        "info name\nset_password vnc hunter2\nstop",
    ],
)
def test_secret_is_seen(line: str) -> None:
    assert holds_secret(line)


@pytest.mark.parametrize(
    "line",
    [
        "savevm secret",
        "savevm data",
        "object_add secret,id=s,file=/etc/key",
        "object_add secret_keyring,id=s,serial=1",
        "object_add tls-creds-x509,id=t,dir=/etc/pki,passwordid=s",
        "expire_password vnc now",
        "help set_password",
        "set_password vnc",
        'set_password vnc ""',
        '{"execute": "human-monitor-command", "arguments": {"command-line": "set_password vnc "}}',
        "help change-vnc-password",
        "change vnc password",
        "change ide0 /a.iso",
        "change vnc :1,password=",
        "drive_add 0 file=https://host:8080/a.qcow2",
        "drive_add 0 file.driver=ssh,file.password-secret=s",
        "drive_add 0 file.driver=https,file.cookie-secret=s",
        "qmp object-add qom-type=secret id=s file=/etc/key",
        "qmp qom-get path=/objects/s property=data",
        "migrate tcp:host:4444",
        '{"execute": "query-status"}',
        "",
    ],
)
def test_what_only_names_one_is_none(line: str) -> None:
    assert not holds_secret(line)


@pytest.mark.parametrize(
    ("line", "makes_one"),
    [
        ("object_add secret,id=s,dat=hunter2", True),
        ("object_add id=s,qom-type=secret_keyring", True),
        ("qmp object-add qom-type=secret id=s", True),
        ('{"arguments": {"qom-type": "secret"}, "execute": "object-add"}', True),
        ("object_add rng-random,id=r", False),
        ("object_del secret", False),
        ("object_add tls-creds-x509,id=t,passwordid=secrets", False),
    ],
)
def test_command_that_makes_a_secret_is_seen_whatever_its_keys(line: str, makes_one: bool) -> None:
    assert makes_secret(line) is makes_one
