"""Passwords on command lines are not kept."""

import time

import pytest

from host.who.passwords import HIDDEN, MOST_WORD_CHARS, without_passwords


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("tool --password hunter2 -v", "tool --password *** -v"),
        ("tool --db-password=hunter2", "tool --db-password=***"),
        ("tool -token hunter2", "tool -token ***"),
        ("tool --password --verbose x", "tool --password --verbose x"),
        ("tool --password", "tool --password"),
        ("PGPASSWORD=hunter2", "PGPASSWORD=***"),
        ("https://me:hunter2@host/x", "https://me:***@host/x"),
        ("https://host/x?token=hunter2&a=b", "https://host/x?token=***&a=b"),
        ("secret,id=s0,password=hunter2,x=y", "secret,id=s0,password=***,x=y"),
        ("--api-key=hunter2 --api_key:hunter2", "--api-key=*** --api_key:***"),
        (
            "virsh qemu-monitor-command vm --hmp set_password vnc hunter2 keep",
            "virsh qemu-monitor-command vm --hmp set_password vnc *** keep",
        ),
        (
            "virsh qemu-monitor-command vm --hmp change vnc password hunter2",
            "virsh qemu-monitor-command vm --hmp change vnc password ***",
        ),
        ("qemu -object secret,id=s0,data=hunter2 -m 1", "qemu -object *** -m 1"),
        ("tool iscsi://me%hunter2@host/x", "tool ***"),
        ("tool vm1 /keys/password.txt author=me", "tool vm1 /keys/password.txt author=me"),
        ("tool --password-file /etc/pw --passthrough x", "tool --password-file /etc/pw --passthrough x"),
        ("tool --password -hunter2 x", "tool --password *** x"),
        ("tool --password=hunter2,x", "tool --password=***"),
        ("tool --secret-key hunter2", "tool --secret-key ***"),
        ("tool --secret-key=hunter2", "tool --secret-key=***"),
        ("SECRET_KEY=hunter2 PASSWORD2=hunter2 TOKEN_VALUE=hunter2", "SECRET_KEY=*** PASSWORD2=*** TOKEN_VALUE=***"),
        ("tool --passwords hunter2 --pass-phrase hunter2", "tool --passwords *** --pass-phrase ***"),
        ("tool --pw hunter2 --psk=hunter2", "tool --pw *** --psk=***"),
        ("tool https://me:a@hunter2@host/x", "tool https://me:***@host/x"),
        ("git clone https://hunter2@example.com/a", "git clone https://***@example.com/a"),
        ("git clone ssh://git@example.com/a", "git clone ssh://git@example.com/a"),
        ("curl -u me:hunter2 -U me:hunter2 x", "curl -u *** -U *** x"),
        ("curl -ume:hunter2 --user=me:hunter2 --proxy-user me:hunter2", "curl -u*** --user=*** --proxy-user ***"),
        ("curl --user-agent x", "curl --user-agent x"),
        ("sudo mysql -phunter2 --port 3306", "sudo mysql -p*** --port 3306"),
        ("sshpass -p hunter2 ssh -p 22 host", "sshpass -p *** ssh -p *** host"),
        ("redis-cli -a hunter2 ping", "redis-cli -a *** ping"),
        ("7z x -phunter2 a.7z", "7z x -p*** a.7z"),
        ("xfreerdp /p:hunter2 /v:h", "xfreerdp /p:*** /v:h"),
        ("virsh set-user-password vm root hunter2", "virsh set-user-password *** *** ***"),
    ],
)
def test_words(line: str, kept: str) -> None:
    assert " ".join(without_passwords(line.split())) == kept


@pytest.mark.parametrize(
    ("word", "kept"),
    [
        ("Authorization: Bearer hunter2", "Authorization: ***"),
        ('{"password": "hunter2 x", "a": 1}', '{"password": ***, "a": 1}'),
        ("mysql --password='hunter 2' x", "mysql --password=*** x"),
        ("echo set_password vnc hunter2 | socat - /m", "***"),
        ("mysql --password hunter2 x", "mysql --password *** x"),
        ("echo x | redis-cli -a hunter2; echo y", "echo x | redis-cli -a *** echo y"),
        ("curl -H 'Authorization: Digest a, b=hunter2' x", "curl -H 'Authorization: ***' x"),
        ("Cookie: a=b; session=hunter2", "Cookie: ***"),
        ('{"password": "hunter\\"2", "a": 1}', '{"password": ***, "a": 1}'),
        ("d['password'] = f'hunter2'; x", "d['password'] = ***; x"),
        ("dbname=x password='hunt\\' er2' y", "dbname=x password=*** y"),
        ("echo info block | socat - /m", "echo info block | socat - /m"),
    ],
)
def test_code_and_headers(word: str, kept: str) -> None:
    assert list(without_passwords([word])) == [kept]


@pytest.mark.parametrize(
    "word", ["-", "_", "a.", "\N{LATIN SMALL LETTER E WITH ACUTE}", "pass", "secret ", "://", "://:", "password=\\", "--pass "]
)
def test_no_word_takes_long(word: str) -> None:
    """A text that is a hundred times as long takes about the same, whatever there is in it."""

    def took_s(text: str) -> float:
        begun_s = time.process_time()
        for _ in range(20):
            list(without_passwords([text] * 4))
        return time.process_time() - begun_s

    once, more = (word * (size // len(word)) for size in (MOST_WORD_CHARS, 100 * MOST_WORD_CHARS))
    assert took_s(more) < 10 * took_s(once)
    assert all(len(shown) <= MOST_WORD_CHARS + len(HIDDEN) for shown in without_passwords([more]))
