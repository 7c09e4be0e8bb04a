"""Which lines tell a secret, however a person spells them."""

import pytest

from repl.prompt.editor.discretion import tells_secret

HMP = "human-monitor-command"


def written_out(line: str) -> str:
    return line.replace("pw ", "set_password vnc ")


@pytest.mark.parametrize(
    "text",
    [
        "set_password vnc hunter2",
        "info name\nset_password vnc hunter2",
        "setpassword vnc hunter2",
        "set_pasword\tvnc hunter2",
        "set_pasword\x0bvnc\x0chunter2",
        "\x0b\tset_pasword vnc hunter2",
        "set_pasword/vnc hunter2",
        "# set_pasword vnc hunter2",
        'set_pasword vnc "hunter two"',
        "SET_PASWORD vnc hunter2",
        "change-vnc-password hunter2",
        "change_vnc_pasword hunter2",
        "chnage-vnc-password hunter2",
        "change vnc pasword hunter2",
        'chnge vnc -f "password" hunter2',
        "object_ad secret,id=s,data=hunter2",
        "object-add secrt,id=s,dta=hunter2",
        "object_add secret,id=s,dat=hunter2",
        "object_add secrt,id=s,dta=hunter2",
        "object_add secret,id=s,file=/etc/hunter2",
        "qom-set /objects/s dat hunter2",
        "qmp object-add qom-type=secret id=s dat=hunter2",
        "qmp objct-add qom-type=secrt id=s data=hunter2",
        "qmp set_pasword vnc hunter2",
        "qmp\tset_pasword\tvnc hunter2",
        "qmp change-vnc-pasword pasword=hunter2",
        "qmp qom-st path=/objects/s property=dat value=hunter2",
        f'qmp {HMP} command-line="set_pasword vnc hunter2"',
        f'qmp {HMP} command-line="set_pasword\\tvnc\\thunter2"',
        f"qmp {HMP} comand-line=set_pasword vnc hunter2",
        f'qmp {HMP} {{"command-line": "chnge vnc password hunter2"}}',
        '{"execute": "object-add", "arguments": {"qom-type": "secret", "id": "s",\n"data": "hunter2"}}',
        "{'arguments': {'qom-type': 'secrte', 'id': 's', 'dat': 'hunter2'}, 'execute': 'object-add'}",
        '{"execute": "set_pasword", "arguments": {"protocol": "vnc",\n"pasword": "hunter2"}}',
        # As it is pasted in part, or where a mistake ends it: its second row is a line of its own.
        '{"execute": set_password, "arguments": {"protocol": "vnc",\n"pasword": "hunter2"}}',
        f'{{"execute": "{HMP}", "arguments": {{"command-line": "chnge vnc password hunter2"}}}}',
        f'{{"execute": "{HMP}", "arguments": {{"command-line": "set_password\\tvnc hunter2"}}}}',
        f'{{"execute": "{HMP}", "arguments": {{"command-line": "set\\u005fpassword vnc hunter2"}}}}',
        f'{{"execute": "{HMP}", "arguments": {{"command-line": "set_pasword vnc \\"hunter2\\""}}}}',
        f"{{'execute': '{HMP}', 'arguments': {{'command-line': 'object_ad secrt,id=s,dta=hunter2'}}}}",
        "pw hunter2",
        " set_password vnc hunter2",
    ],
)
def test_secret_is_told(text: str) -> None:
    assert tells_secret(text, written_out)


@pytest.mark.parametrize(
    "text",
    [
        "set_password",
        "set_pasword vnc",
        "help set_password",
        "expire_password vnc now",
        "change-vnc-password",
        "object_add rng-random,id=r,filename=/dev/random",
        "object_del secret",
        "device_add virtio-blk-pci,drive=d0,serial=secret",
        "qmp object-del id=secret",
        "qmp blockdev-add driver=qcow2 file=d encrypt.key-secret=s",
        "change ide0 /a.iso",
        "qom-get /objects/s data",
        "qmp qom-get path=/objects/s property=data",
        "qom-list /objects/data",
        "qom-set /machine date 1",
        f"qom-set /machine {'a' * 5000} dat 1",
        f'qmp {HMP} command-line="info status"',
        f'{{"execute": "{HMP}", "arguments": {{"command-line": "change ide0 /a.iso"}}}}',
        '{"execute": "query-status"}',
        "",
        "\n",
    ],
)
def test_what_only_looks_like_one_is_none(text: str) -> None:
    assert not tells_secret(text, str)
