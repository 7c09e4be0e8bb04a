"""What is confidential stands nowhere in a masked record, and everything else is as it was."""

import json
import random
import string
from collections.abc import Iterable
from typing import Any, Final

import pytest

from shim.client import Client
from shim.graph.blockgraph import BlockNode
from shim.graph.selection import NodeChoice
from shim.hmp.line import HMPLine
from shim.plans.plan import Decided
from shim.qmp import JSON, ErrorReply, Execute, Reply, ReturnReply
from shim.records.audit import Action, AuditRecord, Rehearsed, SentCommand
from shim.records.audit_form import spell, to_members
from shim.records.confidential import Confidential
from shim.records.excerpt import excerpt
from shim.records.identity import Identified, Identity, Parent
from shim.records.redaction import redact
from tests.support.routing.pure_router import NOW

KEY: Final = b"key"
TAGS, FILES, EXECUTABLES = ({kind} for kind in Confidential)
BOTH: Final = TAGS | FILES
ALL: Final = frozenset(Confidential)


def members(line: str | None = "savevm t", **changes: Any) -> dict[str, JSON]:
    defaults: dict[str, Any] = {
        "time": NOW,
        "vm": "vm1",
        "client": Client(1, 2, "/usr/bin/tool"),
        "line": None if line is None else HMPLine.read(line),
        "action": Action.PASSED,
        "reason": "because",
        "reply": {"return": "", "id": "own"},
        "duration_ns": 1,
        "client_gone": False,
    }
    return to_members(AuditRecord(**(defaults | changes)), host="host1")


def masked(kinds: Iterable[Confidential] = ALL, line: str | None = "savevm t", **changes: Any) -> dict[str, Any]:
    return redact(members(line, **changes), frozenset(kinds), KEY)


def pseudonym(line: str = "savevm t", key: bytes = KEY) -> str:
    found: str = redact(members(line), TAGS, key)["command_line"]
    return found.partition(" ")[2]


def sent(name: str, reply: Reply | None = None, **arguments: JSON) -> SentCommand:
    return SentCommand(Execute(name, arguments), 1, reply, 10)


# -- pseudonyms -----------------------------------------------------------------------------------------------------------


def test_pseudonyms_have_a_form() -> None:
    found = masked(ALL, "savevm t", reason="/a/b")
    assert_pseudonym("tag", found["command_line"].removeprefix("savevm "))
    assert_pseudonym("file", found["reason"])
    assert_pseudonym("exe", found["client"]["exe"])


def assert_pseudonym(kind: str, text: str) -> None:
    prefix, _, digits = text.partition("-")
    assert (prefix, len(digits)) == (kind, 8)
    assert int(digits, 16) >= 0


def test_same_value_has_the_same_pseudonym_under_the_same_key_only() -> None:
    assert pseudonym("savevm t") == pseudonym('delvm "t"') != pseudonym("savevm u")
    assert pseudonym(key=b"other") != pseudonym()


def test_nothing_is_changed_that_is_not_asked_for() -> None:
    assert redact(members(), frozenset(), KEY) == members()


def test_record_is_not_changed_in_place() -> None:
    original = members("savevm t", sent=[sent("snapshot-save", ErrorReply("E", "t"), tag="t")])
    before = spell(original)
    redact(original, ALL, KEY)
    assert spell(original) == before


# -- command lines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kinds", "line", "shape"),
    [
        (TAGS, "savevm t", "savevm tag"),
        (TAGS, '  loadvm\t"a b" ', "loadvm tag"),
        (TAGS, 'delvm ""', "delvm tag"),
        (TAGS, "savevm", "savevm"),
        (TAGS, "savevm a b", "savevm tag tag"),
        (FILES, "savevm t", "savevm t"),
        (FILES, "savevm a b", "savevm a b"),
        (TAGS, "info block -v d0", "info block -v d0"),
        (BOTH, "info snapshots", "info snapshots"),
        (TAGS, "info snapshots t1", "info snapshots tag"),
        (FILES, "info block -v /a", "info block -v arg"),
        (TAGS, "info  block\t-v a/b.img", "info  block\t-v arg"),
        (FILES, "info block a.img", "info block arg"),
        (FILES, 'info block "/a b"', "info block arg arg"),
        (FILES, "info block json:{} nbd://h -x=/a #block12 d0", "info block arg arg arg #block12 d0"),
        (FILES, "info /a/block", "info arg"),
        (FILES, "info\u00a0block /a", "info\u00a0block arg"),
        (EXECUTABLES, "info block /a", "info block /a"),
        (TAGS, "drive_add 0 file=/a,if=none", "drive_add arg arg"),
        (FILES, "change  cd0 /a", "change  arg arg"),
        (FILES, "x/4x 0x10", "xarg arg"),
        (FILES, "cont", "cont"),
        (FILES, "", ""),
        (EXECUTABLES, "savevm t", "savevm t"),
        (EXECUTABLES, "change cd0 /a", "change cd0 /a"),
    ],
)
def test_command_lines(kinds: set[Confidential], line: str, shape: str) -> None:
    """The line that came before is masked likewise."""
    found = masked(kinds, line, after_failure=line)
    assert found["after_failure"] == found["command_line"]
    assert without_digits(found["command_line"]) == shape
    assert found["hmp_command"] == members(line)["hmp_command"]


def without_digits(text: str) -> str:
    for kind in ("tag", "arg", "file", "exe"):
        parts = text.split(f"{kind}-")
        text = parts[0] + "".join(kind + part[8:] for part in parts[1:])
    return text


def test_what_is_no_hmp() -> None:
    found = masked(ALL, None, action=Action.MODERN, execute="snapshot-save", reply={"return": {}, "id": 1})
    assert (found["command_line"], found["reply"]) == (None, {"return": {}, "id": "1"})


# -- texts ----------------------------------------------------------------------------------------------------------------


def test_tag_is_masked_wherever_it_stands() -> None:
    name = pseudonym("savevm secret")
    node = NodeChoice(BlockNode("node1", "qcow2"), True, "it has secret")
    error = ErrorReply("GenericError", "no secret here")
    save = sent("snapshot-save", error, **{"job-id": "j", "tag": "secret", "devices": ["n"]})
    found = masked(
        TAGS,
        "savevm secret",
        reason="it holds the VM state of 'secret'",
        reply={"return": "Error: no secret\r\n", "id": "secret"},
        decided=Decided((node,), "node1", "of 'secret'"),
        sent=[save],
        rehearsed=Rehearsed((save.command,), "secret is there", "Error: secret\r\n"),
        after_failure="delvm secret",
    )
    assert found["command_line"] == f"savevm {name}"
    assert found["after_failure"] == f"delvm {name}"
    assert found["reason"] == f"it holds the VM state of '{name}'"
    assert found["nodes"][0]["reason"] == f"it has {name}"
    assert found["vmstate"] == {"node": "node1", "reason": f"of '{name}'"}
    (command,) = found["qmp"]
    assert command["arguments"] == {"job-id": "j", "tag": name, "devices": ["n"]}
    assert command["error"] == {"class": "GenericError", "desc": f"no {name} here"}
    rehearsed = {"qmp": found["rehearsed"]["qmp"][0]["arguments"]["tag"], "text": found["rehearsed"]["text"]}
    assert rehearsed == {"qmp": name, "text": f"Error: {name}\r\n"}
    assert found["rehearsed"]["outcome"] == f"{name} is there"
    # The client's own id is kept.
    assert found["reply"] == {"return": f"Error: no {name}\r\n", "id": "secret"}


def test_name_that_the_shim_chose_is_a_tag_too() -> None:
    name = "vm-20261124172311"
    found = masked(TAGS, "savevm", sent=[sent("snapshot-save", tag=name)], reply={"return": f"Error: {name}"})
    assert name not in spell(found)
    assert found["reply"]["return"] == f"Error: {found['qmp'][0]['arguments']['tag']}"


def test_other_snapshots_that_an_error_names() -> None:
    text = "on 'd0' 1 is also the id of the snapshot 'other'. Remove it (delvm 'other'), then load '1'"
    found = masked(TAGS, "loadvm 1", reason=text, reply={"return": f"Error: {text}"})
    assert "other" not in spell(found)
    assert "'1'" not in spell(found)


def test_short_tag_is_masked_where_it_stands_alone() -> None:
    found = masked(TAGS, "loadvm on", reason="Snapshot 'on' is not on the connection")
    name = pseudonym("loadvm on")
    assert found["reason"] == f"Snapshot '{name}' is not {name} the connection"


def test_tag_with_a_line_end_is_masked_in_hmps_text() -> None:
    found = masked(TAGS, 'loadvm "secret\\nword"', reply={"return": "Error: no 'secret\r\nword'\r\n"})
    assert "word" not in spell(found)


def test_words_of_another_command_are_masked_in_its_failure() -> None:
    """QEMU names their parts."""
    found = masked(TAGS, 'drive_add 0 file="secret",id=mine', reply={"return": "Error: no secret for mine\r\n"})
    assert "secret" not in spell(found)
    assert "mine" not in spell(found)
    assert found["reply"]["return"].startswith("Error: no arg-")


@pytest.mark.parametrize(
    "text",
    ["Could not open '/a/b.img': No such file", "Error: /a/b.img, or\r\n", "(/a/b.img)", "it is at /a/b.img; look"],
)
def test_absolute_paths_of_failures(text: str) -> None:
    found = masked(FILES, "cont", reply={"error": {"class": "E", "desc": text}})
    desc = found["reply"]["error"]["desc"]
    assert desc.startswith(text.partition("/")[0])
    assert "b.img" not in desc
    assert "file-" in desc
    assert masked(TAGS, "cont", reply={"error": {"class": "E", "desc": text}})["reply"]["error"]["desc"] == text


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("Could not open '/a b/c d.img': No", "Could not open 'file': No"),
        ("Could not open 'a b/c.img': No", "Could not open 'file': No"),
        ("Could not open '/a/it's/b': No", "Could not open 'file': No"),
        ('Could not open "a/b c"', 'Could not open "file"'),
        ("It can't save/load on 'd0' with 'd1'", "It can't save/load on 'd0' with 'd1'"),
        ("file:/a b", "file:file b"),
    ],
)
def test_paths_of_failures_in_quotes(text: str, shape: str) -> None:
    found = masked(FILES, "cont", reply={"error": {"class": "E", "desc": text}})
    assert without_digits(found["reply"]["error"]["desc"]) == shape


def test_path_behind_info_is_masked_in_its_failure() -> None:
    reply = {"return": "Device '/a/b.img' not found: b.img\r\nError: /a/b.img\r\n"}
    assert "b.img" not in spell(masked(FILES, "info block -v /a/b.img b.img", reply=reply))


@pytest.mark.parametrize("length", [2048, 3000])
def test_text_that_was_cut_is_only_counted(length: int) -> None:
    """The cut may go through what is to be masked."""
    text = "Error: " + "x" * (length - 7)
    cut = excerpt(members("savevm t", reply={"return": text}))
    assert redact(cut, TAGS, KEY)["reply"]["return"] == f"masked ({2048} characters)"


def test_text_about_a_line_that_was_cut_is_only_counted() -> None:
    line = "drive_add " + "x " * 2000 + "secret"
    cut = excerpt(members(line, reply={"return": "Error: no secret\r\n"}))
    found = redact(cut, FILES, KEY)
    assert "secret" not in spell(found)
    assert found["reply"]["return"] == "masked (18 characters)"


def test_answer_that_was_cut_is_counted_as_a_whole() -> None:
    cut = excerpt(members("info block", reply={"return": "x" * 5000}))
    assert redact(cut, FILES, KEY)["reply"]["return"] == "masked (5000 characters)"
    sums = [cut["cut"][0]["sha256"], redact(cut, EXECUTABLES, KEY)["cut"][0]["sha256"]]
    assert sums[0] != sums[1]


@pytest.mark.parametrize("kinds", [TAGS, FILES, ALL])
@pytest.mark.parametrize(
    ("value", "instead"),
    [
        ("", ""),
        ("d0: /a\r\n", "masked (8 characters)"),
        ({}, {}),
        (None, None),
        (True, True),
        ({"file": "/a"}, "masked (13 characters)"),
        ([1], "masked (3 characters)"),
    ],
    ids=str,
)
def test_answers_are_only_counted(kinds: set[Confidential], value: JSON, instead: JSON) -> None:
    """What QEMU tells may name any tag and any file."""
    found = masked(kinds, "info block", reply={"return": value, "id": 7}, sent=[sent("query-x", ReturnReply(value))])
    assert found["reply"] == {"return": instead, "id": "7"}
    assert found["qmp"][0]["return"] == instead


def test_error_of_another_form_than_qemus_is_only_counted() -> None:
    """No QEMU sends one; but what its words are is not known, so nothing of it is kept."""
    assert masked(TAGS, reply={"error": ["t"]})["reply"] == {"error": "masked (5 characters)"}


def test_rehearsed_table_is_only_counted() -> None:
    assert masked(TAGS, "info snapshots", rehearsed=Rehearsed((), "why", "a table"))["rehearsed"]["text"] == (
        "masked (7 characters)"
    )
    assert masked(TAGS, "info snapshots", rehearsed=Rehearsed((), "why", None))["rehearsed"]["text"] is None


def test_executables_and_nothing_else() -> None:
    found = masked(EXECUTABLES, "savevm t", reply={"return": "Error: t /a"})
    assert found | {"client": None} == members("savevm t", reply={"return": "Error: t /a"}) | {"client": None}
    assert masked(EXECUTABLES, client=Client(address="h:1"))["client"]["exe"] is None
    assert masked(BOTH)["client"]["exe"] == "/usr/bin/tool"
    client = masked(EXECUTABLES, client=Client(1, 2, "/a", connected_as="/b"))["client"]
    assert client["connected_as"].startswith("exe-")
    assert client["connected_as"] != client["exe"]


_IDENTITY: Final = Identity(
    "backup",
    "nightly.py",
    ("/usr/bin/python3", "/opt/nightly.py", "-v", "--tag", "t1", "--out=/secret", "***", "…"),
    "backup.service",
    "lxc:web",
    Parent(5, "/usr/bin/bash", ("bash", "-c", "/opt/nightly.py t1")),
)


@pytest.mark.parametrize("kinds", [TAGS, FILES, BOTH])
def test_words_of_a_command_line_are_masked_but_those_that_name_the_program(kinds: set[Confidential]) -> None:
    found = masked(kinds, identify=Identified(_IDENTITY))["client"]
    argv = found["argv"]
    assert [*argv[:4], *argv[6:]] == ["/usr/bin/python3", "/opt/nightly.py", "-v", "--tag", "***", "…"]
    assert [word.partition("-")[0] for word in argv[4:6]] == ["arg", "arg"]
    assert found["parent"]["argv"][:2] == ["bash", "-c"]
    assert found["parent"]["argv"][2].startswith("arg-")
    assert (found["tool"], found["unit"], found["container"], found["user"]) == (
        *("nightly.py", "backup.service", "lxc:web", "backup"),
    )


def test_programs_of_a_command_line_are_masked_as_executables() -> None:
    found = masked(EXECUTABLES, identify=Identified(_IDENTITY))["client"]
    names = [*found["argv"][:2], found["tool"], found["unit"], found["parent"]["exe"], found["parent"]["argv"][0]]
    assert all(name.startswith("exe-") for name in names)
    assert found["argv"][4].startswith("arg-")
    assert (found["container"], found["user"]) == ("lxc:web", "backup")


def test_prompt_is_called_by_its_name() -> None:
    assert masked(ALL, is_prompt=True)["client"]["tool"] == "hmp-repl"


def test_long_and_lost_answers_have_nothing_to_mask() -> None:
    long = SentCommand(Execute("query-block"), 1, ReturnReply([1]), 100_000)
    found = masked(ALL, "savevm t", sent=[long, sent("query-jobs")], reply=None)
    assert [{"return_bytes", "lost"} & set(command) for command in found["qmp"]] == [{"return_bytes"}, {"lost"}]
    assert found["reply"] is None


# -- nothing gets through -------------------------------------------------------------------------------------------------

# What records consist of beside values. A secret that is part of it would be found though it is masked.
OWN_WORDS: Final = json.dumps(members("", sent=[sent("snapshot-save", ErrorReply("", ""), devices=[])])).lower()
OTHER_WORDS: Final = (
    "savevm loadvm delvm drive_add change help qemu-io error: snapshot could not open does exist masked characters "
    "tag- arg- file- exe- node1 vmstate return_bytes rehearsed lost text outcome agreed format included device"
)


def secrets(chance: random.Random, count: int) -> list[str]:
    """Make words that are no part of a record's own."""
    found: list[str] = []
    while len(found) < count:
        letters = chance.choice([string.ascii_lowercase[6:], string.ascii_uppercase, "ghijkl0123456789", "gxy-_.é"])
        word = "".join(chance.choice(letters) for _ in range(chance.randrange(2, 12)))
        is_own = word.lower() in OWN_WORDS + OTHER_WORDS or not any(map(str.isalpha, word))
        if not is_own and all(word not in other and other not in word for other in found):
            found.append(word)
    return found


@pytest.mark.parametrize("seed", range(150))
def test_nothing_masked_stands_anywhere_in_the_record(seed: int) -> None:
    chance = random.Random(seed)
    tag, other, old, word, part, name, folder = secrets(chance, 7)
    path = f"/{folder}/{name}.img"
    line = chance.choice(
        [
            *(f"savevm {tag}", f'loadvm "{tag}"', f"delvm  {tag} ", f"savevm {tag} {other}", "savevm", "info snapshots"),
            *(f"drive_add {word} file={path},id={part}", f'change {word} "{path},{part}"', f"help /{word} {part}"),
        ]
    )
    texts = [
        f"Error: Snapshot '{tag}' does not exist\r\n",
        f"Error: Could not open '{path}': no snapshot '{old}'\r\n",
        f"Error: no {word} for {part}\r\n" if word in line else "",
    ]
    text = chance.choice(texts)
    table = f"--  {tag}  {old} {path}"
    replies: list[Reply] = [ReturnReply([{"tag": tag}, old, path]), ErrorReply("E", text), ReturnReply(table)]
    reply = chance.choice(replies)
    shown = table if "info" in line else ""
    answers = [{"return": text}, {"return": shown}, {"error": {"class": "E", "desc": text}}, None]
    save = sent("snapshot-save", reply, tag=tag, devices=["node1"])
    found = masked(
        ALL,
        line,
        client=Client(1, 2, f"/{part}/{word}"),
        reason=chance.choice(texts),
        after_failure=chance.choice([None, f"savevm {old}", f"change {word} {path}"]),
        decided=Decided((NodeChoice(BlockNode("node1", "raw"), True, f"'{tag}'"),), "node1", f"at {path} for '{tag}'"),
        sent=[save],
        rehearsed=Rehearsed((save.command,), text, chance.choice([text, table])),
        reply=chance.choice(answers),
    )
    spelled = json.dumps(json.loads(spell(found)), ensure_ascii=False)
    assert [secret for secret in (tag, other, old, word, part, name, folder) if secret in spelled] == [], spelled


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("savevm t", "done by snapshot jobs; snapshot 'payday' was deleted for it (max_snapshots)"),
        ("savevm t", "by its date snapshot 'payday' is older than snapshot 'payday', but 'd0' has them in the other order"),
        (
            "delvm payday",
            "snapshot 'payday' is protected (setting protect), so it is not deleted; take it out of protect to delete it",
        ),
        ("loadvm 3", "snapshot 'payday' may not be loaded (setting protect_load); take it out of protect_load to load it"),
    ],
)
def test_tags_that_a_limit_names_are_masked(line: str, reason: str) -> None:
    told = masked(TAGS, line, action=Action.REFUSED, reason=reason, reply={"return": f"Error: {reason}\r\n"})
    assert "payday" not in spell(told)
    assert "max_snapshots" in told["reason"] or "'d0'" in told["reason"] or "protect" in told["reason"]


def test_path_of_an_image_without_room_is_masked() -> None:
    reason = (
        "not enough room for the VM's RAM: it may take 1 GiB, and the file system of '/srv/payday/d0.qcow2' has 1 MiB free."
    )
    told = masked(FILES, reason=reason, reply={"return": f"Error: {reason}\r\n"})
    assert "payday" not in spell(told)
    assert told["reason"].endswith(" has 1 MiB free.")


def test_title_that_a_process_has_written_is_masked() -> None:
    identity = Identity(tool="saving", argv=("saving secret of /srv/vm1.qcow2: 10%",))
    (title,) = masked(TAGS, identify=Identified(identity))["client"]["argv"]
    assert title.startswith("arg-")
