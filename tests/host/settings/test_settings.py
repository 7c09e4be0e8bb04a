"""The table of settings: a row is all that a new one needs, and what the rows say of the dataclasses is true."""

import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Final

import pytest

from host.configuration import config_file, contradictions, options
from host.configuration.config_file import load_config_file
from host.errors import ConfigError
from host.net.addresses import UnixAddress
from host.settings import setting_types, settings
from host.settings.config import AuditSettings, Origin, VMConfig
from host.settings.listener import Terms
from host.settings.settings import SETTINGS, Owner, Program, Section, Setting, option_of, with_options
from proxy.command_line.invocations import PlanInvocation, ServeInvocation
from proxy.command_line.subcommands import parse_command_line
from repl import command_line as prompt
from shim.graph.policy import Policy
from tests.support.checkout import ROOT

DATACLASSES: Final = {Owner.VM: VMConfig, Owner.LISTENER: Terms, Owner.POLICY: Policy, Owner.AUDIT: AuditSettings}
WIRE: Final = ("--upstream", "unix:/q", "--listen", "unix:/l")
VM: Final = '[[vm]]\nupstream = "unix:/q"\nlisten = "unix:/l"\n'
# Each sets a member that another row has too, because a dataclass cannot get one for a test.
PATIENCE: Final = Setting(
    key="patience",
    type=setting_types.WHOLE_SECONDS,
    owner=Owner.VM,
    section=Section.VM,
    help="how patient the proxy is (default %(default)s)",
    member="connect_timeout_s",
    metavar="SECONDS",
    default=30,
)
PREFERRED: Final = Setting(
    key="preferred",
    type=setting_types.PATTERNS,
    owner=Owner.POLICY,
    section=Section.POLICY,
    help="what is preferred (repeatable)",
    member="include",
    programs=tuple(Program),
    metavar="PATTERN",
)
LOUD: Final = Setting(
    key="audit_loud",
    type=setting_types.SWITCH,
    owner=Owner.AUDIT,
    section=Section.LOG,
    help="log loudly",
    member="sync",
    is_shared=False,
)


@pytest.fixture
def _made_up_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add the made-up rows to the table, wherever it is used."""
    for module in (settings, options, config_file, contradictions):
        monkeypatch.setattr(module, "SETTINGS", (*SETTINGS, PATIENCE, PREFERRED, LOUD))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "hmpshim.toml"


def only_vm(*arguments: str) -> VMConfig:
    invocation = parse_command_line(arguments)
    assert isinstance(invocation, ServeInvocation)
    (vm,) = invocation.vms
    return vm


def loaded(path: Path, text: str) -> VMConfig:
    path.write_text(text, encoding="utf-8")
    (vm,) = load_config_file(str(path))
    return vm


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as caught:
        parse_command_line(arguments)
    assert caught.value.code == 2
    return capsys.readouterr().err


# -- a new row ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_made_up_rows")
def test_new_row_makes_the_option() -> None:
    vm = only_vm(*WIRE, "--patience", "5", "--preferred", "a", "--preferred", "b", "--audit", "/log", "--audit-loud")
    assert vm.connect_timeout_s == 5
    assert [str(pattern) for pattern in vm.policy.include] == ["a", "b"]
    assert vm.audit == AuditSettings("/log", sync=True)


@pytest.mark.usefixtures("_made_up_rows")
def test_new_row_is_in_the_help_of_its_programs(capsys: pytest.CaptureFixture[str]) -> None:
    def shown(parse: Callable[[Sequence[str]], object], *arguments: str) -> str:
        with pytest.raises(SystemExit):
            parse([*arguments, "--help"])
        return capsys.readouterr().out

    proxy = shown(parse_command_line)
    assert "  --patience SECONDS    how patient the proxy is (default 30)\n" in proxy
    assert "  --preferred PATTERN   what is preferred (repeatable)\n" in proxy
    assert "  --audit-loud          log loudly\n" in proxy
    for other in (shown(parse_command_line, "plan"), shown(prompt.parse_command_line)):
        assert "--preferred PATTERN" in other
        assert "--patience" not in other
        assert "--audit-loud" not in other


@pytest.mark.usefixtures("_made_up_rows")
def test_new_row_of_the_policy_is_one_that_a_plan_is_made_with() -> None:
    plan = parse_command_line(["plan", "--upstream", "unix:/q", "--preferred", "a", "savevm"])
    assert isinstance(plan, PlanInvocation)
    assert plan.given_by == "--preferred"
    assert prompt.parse_command_line(["/q", "--preferred", "a"]).policy_options == ("--preferred",)


@pytest.mark.usefixtures("_made_up_rows")
def test_new_row_makes_the_key(path: Path) -> None:
    shared = loaded(path, f'[defaults]\npatience = 5\npreferred = "a"\n{VM}')
    own = loaded(path, f'{VM}patience = 5\npreferred = "a"\naudit = "/log"\naudit_loud = true\n')
    assert shared.connect_timeout_s == own.connect_timeout_s == 5
    assert shared.policy == own.policy != Policy()
    assert own.audit == AuditSettings("/log", sync=True)


@pytest.mark.usefixtures("_made_up_rows")
@pytest.mark.parametrize(
    ("text", "error"),
    [
        (f"{VM}patience = 0\n", ":4: patience: write a whole number of seconds, 1 or more"),
        (f"[defaults]\naudit_loud = true\n{VM}", ":2: audit_loud: it belongs to a single VM; write it into a [[vm]] table"),
    ],
)
def test_new_row_has_its_errors_in_the_file(path: Path, text: str, error: str) -> None:
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config_file(str(path))
    assert str(caught.value).startswith(f"{path}{error}")


@pytest.mark.usefixtures("_made_up_rows")
@pytest.mark.parametrize("words", ["--patience 5", "--preferred a", "--audit-loud"])
def test_new_row_is_refused_beside_a_file(path: Path, capsys: pytest.CaptureFixture[str], words: str) -> None:
    loaded(path, VM)
    error = f"{words.split()[0]} cannot be used with --config; write it into the file (see hmp-proxy --help)"
    assert complaint(capsys, "--config", str(path), *words.split()) == f"hmp-proxy: {error}\n"


@pytest.mark.usefixtures("_made_up_rows")
def test_new_row_of_the_audit_log_goes_with_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert "it needs audit, which says where the log is" in complaint(capsys, *WIRE, "--audit-loud")


# -- the table ------------------------------------------------------------------------------------------------------------


def test_each_key_and_each_option_is_one_row() -> None:
    assert len({setting.key for setting in SETTINGS}) == len(SETTINGS)
    assert len({setting.flag for setting in SETTINGS}) == len(SETTINGS)


@pytest.mark.parametrize("owner", DATACLASSES)
def test_each_member_is_set_by_one_row(owner: Owner) -> None:
    """But for what is put together here, and what is no wish of the operator's."""
    composed = {Owner.VM: {"policy", "audit", "terms", "own_listeners", "origin"}, Owner.POLICY: {"exclusions"}}.get(
        owner, set()
    )
    set_by_rows = sorted(setting.field for setting in SETTINGS if setting.owner is owner)
    assert set_by_rows == sorted({field.name for field in fields(DATACLASSES[owner])} - composed)


@pytest.mark.parametrize(
    "setting", [setting for setting in SETTINGS if setting.default is not None], ids=lambda setting: str(setting.key)
)
def test_default_is_that_of_the_dataclass(setting: Setting) -> None:
    """The help shows the one, and what is not given has the other."""
    (field,) = [field for field in fields(DATACLASSES[setting.owner]) if field.name == setting.field]
    assert setting.type.finish(setting.default) == field.default


def test_rows_of_a_section_stand_together() -> None:
    """So the options beside --config are complained about in the order of the help."""
    sections = [setting.section for setting in SETTINGS]
    assert sections == sorted(sections, key=list(Section).index)


def test_text_names_options_in_place_of_keys() -> None:
    text = "it needs max_snapshots, audit_keep; wait for tls_allowed_names (and rules) at unix:/max_snapshots"
    told = "it needs --max-snapshots, --audit-keep; wait for --tls-allowed-name (and rules) at unix:/max_snapshots"
    assert with_options(text) == told


def test_text_of_the_running_proxy_names_a_setting_as_the_operator_does() -> None:
    """The calls spell out what the table says, because nothing is looked up there while clients are served."""
    named = [
        (match[1], match[2])
        for path in (ROOT / "proxy").rglob("*.py")
        for match in re.finditer(r"""name_of\(["'](\w+)["'](?:, "(--[\w-]+)")?\)""", path.read_text())
    ]
    assert len(named) > 10
    on_command_line = VMConfig(UnixAddress("/q"))
    in_file = VMConfig(UnixAddress("/q"), origin=Origin("/file", 0))
    for key, option in named:
        assert on_command_line.name_of(key, option or "") == option_of(key)
        assert in_file.name_of(key, option or "") == key
