"""A pattern of paths, and a table that is a template for the VMs whose sockets it fits."""

from pathlib import Path

import pytest

from host.configuration.config_file import load_config_file, read_config_file
from host.configuration.discover import PathPattern, Template, is_wildcard
from host.errors import ConfigError
from host.net.addresses import UnixAddress
from host.settings.config import AuditSettings

TABLE = """
[[vm]]
discover = "/run/vms/*/qmp.sock"
name = "{1}"
upstream = "unix:{path}"
listen = "unix:/run/vms/{1}/legacy.sock"
"""


@pytest.mark.parametrize(
    ("pattern", "path", "values"),
    [
        ("/v/*/q", "/v/a/q", ("a",)),
        ("/v/*/q", "/v/a/b/q", None),
        ("/v/*/q", "/v/.a/q", None),
        ("/v/.*/q", "/v/.a/q", ("a",)),
        ("/v/vm-*/q-?.s", "/v/vm-x/q-1.s", ("x", "1")),
        ("/v/[a-c]*", "/v/bx", ("b", "x")),
        ("/v/[!a-c]", "/v/b", None),
        ("/v/[^a-c]", "/v/d", ("d",)),
        ("/v/[]x]", "/v/]", ("]",)),
        ("/v/x[&~|^[\\]*", "/v/x\\y", ("\\", "y")),
        ("/v/x[", "/v/x[", None),
        ("/v/*(.+)", "/v/a(.+)", ("a",)),
        ("/v/*", "/v/a\nb", ("a\nb",)),
        ("/v/*", "/v/q.hmpshim", None),
        ("/v/[--9]", "/v//", None),
    ],
)
def test_wildcards_fit_as_in_a_shell(pattern: str, path: str, values: tuple[str, ...] | None) -> None:
    if not is_wildcard(pattern):
        with pytest.raises(ValueError, match="no wildcard"):
            PathPattern.parse(pattern)
        return
    assert PathPattern.parse(pattern).values(path) == values
    if values is not None:
        assert PathPattern.parse(pattern).filled(values) == path


def mistakes(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "c"
    path.write_text(text.lstrip("\n"))
    return [str(mistake).replace(f"{path}:", "") for mistake in read_config_file(str(path)).mistakes]


def test_template_makes_vms(tmp_path: Path) -> None:
    path = tmp_path / "c"
    defaults = '[defaults]\nmax_clients = 5\n[[vm]]\nupstream = "unix:/q"\nlisten = "unix:/l"\n'
    path.write_text(f'{defaults}{TABLE}audit = "/log/{{{{1}}}}-{{1}}"\nexclude = ["{{1}}-x", "y"]\nguard = false\n')
    file = read_config_file(str(path))
    assert not file.mistakes
    assert [vm.shown_name for vm in file.vms] == ["unix:/q"]
    (template,) = file.templates
    vm = template.vm_at("/run/vms/web/qmp.sock")
    assert (vm.name, vm.upstream, vm.max_clients) == ("web", UnixAddress("/run/vms/web/qmp.sock"), 5)
    assert vm.listen == (UnixAddress("/run/vms/web/legacy.sock"),)
    assert vm.audit == AuditSettings("/log/{1}-web")
    assert [str(pattern) for pattern in vm.policy.exclude] == ["web-x", "y"]
    assert vm == template.vm_at("/run/vms/web/qmp.sock")
    assert load_config_file(str(path)) == file.vms


def test_socket_may_be_taken_over_or_attached_to(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_text(
        '[[vm]]\ndiscover = "/a/*"\ntake_over = { address = "hold:{path}", role = "read-only" }\n'
        '[[vm]]\ndiscover = "/b/*"\nattach = "{path}"\nlisten = "unix:/l/{1}"\n'
    )
    first, second = read_config_file(str(path)).templates
    assert first.vm_at("/a/x").take_over == UnixAddress("/a/x", holds=True)
    assert first.vm_at("/a/x").terms_at("unix:/a/x").role == "read-only"
    assert second.vm_at("/b/x").attach == UnixAddress("/b/x")


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/run/vms/a", "it does not fit the pattern"),
        ("/run/vms/a\nb/qmp.sock", "its path has characters that cannot be printed"),
        ("/run/vms/a*/qmp.sock", "no VM can be named after 'a[*]'"),
        ("/run/vms/..x/qmp.sock", "it does not fit the pattern"),
        (f"/run/vms/{'x' * 90}/qmp.sock", "a socket's path has at most 107 bytes"),
    ],
)
def test_some_paths_make_no_vm(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "c").write_text(TABLE)
    (template,) = read_config_file(str(tmp_path / "c")).templates
    with pytest.raises((ValueError, ConfigError), match=reason):
        template.vm_at(path)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ('discover = "run/*"', "2: discover: write an absolute path with wildcards, such as /run/vms/*/qmp.sock"),
        ("discover = 5", '2: discover: write a string in quotes, such as "vm1"'),
        ('discover = "/run//*"', "2: discover: write the path without empty parts, . and .."),
        ('discover = "/run/**/q"', "2: discover: ** has no meaning here; write * for each folder"),
        ('discover = "/run/q"', "2: discover: it has no wildcard, so it is one socket; "),
        ('discover = "/run/[z-a]"', "2: discover: one of its [...] is not one that a shell would accept: "),
        ('discover = "/run/*"\nname = "{1}"', "2: discover: say what to do with the sockets that are found: upstream = "),
        ('discover = "/run/*"\nlisten="unix:/l/{1}"\nupstream = "unix:/run/1"', "2: discover: say what to do with the sockets"),
        (
            'discover = "/run/*"\nupstream = "unix:{path}"\nlisten = "unix:/l/{2}"',
            "4: listen: '{2}' has no meaning here; write {1} or {path}, and a literal brace twice: {{ or }}",
        ),
        (
            'discover = "/run/*"\nupstream = "unix:{path}"\nlisten = "unix:/l/{0000000011}"',
            "4: listen: '{0000000011}' has no meaning here; write {1} or {path}",
        ),
        (
            'discover = "/run/*/*"\nupstream = "unix:{path}"\nlisten = ["unix:/l/{1}{}"]',
            "4: listen: item 1: '{}' has no meaning here; write {1} to {2} or {path}",
        ),
        ('discover = "/run/*"\nattach = "{path}"\nlisten = "unix:/l/{1}"\nname = "}"', "5: name: '}' has no meaning here"),
        (
            'discover = "/run/*"\nupstream = "unix:{path}"\nlisten = "unix:/l/{1}"\nname = "x"',
            "5: name: two VMs would have the same name; put {1} into it",
        ),
        (
            'discover = "/run/*/q[ab]"\nupstream = "unix:{path}"\nlisten = "unix:/l/{1}"',
            "4: listen: two VMs would listen on unix:/l/1; put {2} into it",
        ),
        (
            'discover = "/run/*/*"\nupstream = "unix:{path}"\nlisten = "unix:/run/{1}/{2}.legacy"',
            "4: listen: '/run/1/1.legacy' would be found by discover as well; listen elsewhere, or narrow the pattern",
        ),
        ('discover = "/run/*"\nupstream = "unix:{path}"\nlisten = "{1}"', "4: listen: invalid address '1'"),
        (
            'discover = "/run/*"\nupstream = "unix:{path}"\nlisten = ["unix:/{1}", "unix:/{1}"]',
            "4: listen: item 2: it is named here twice",
        ),
        ('discover = "/run/*"\nupstream = "unix:{path}"', "1: [vm]: "),
        (
            'discover = "/run/[a]"\nupstream = "unix:{path}"\nlisten = "unix:/l"\nvmstate = "x"\npolicy = "hmp"',
            '5: vmstate: policy "hmp" leaves the choice',
        ),
        (
            'discover = "/run/*"\nupstream = "unix:{path}"\nlisten = "tcp:127.0.0.1:6553{1}"\n',
            "",
        ),
    ],
)
def test_mistakes_are_found_without_any_socket(tmp_path: Path, table: str, told: str) -> None:
    found = mistakes(tmp_path, f"[[vm]]\n{table}\n")
    if not told:
        assert found == []
        return
    assert found, told
    assert told.removeprefix("1: [vm]: ") in found[0]


def test_value_that_only_some_vms_could_have(tmp_path: Path) -> None:
    """Sixty-five thousand five hundred thirty-six is no port."""
    text = 'discover = "/run/[56]"\nupstream = "unix:{path}"\nlisten = "tcp:127.0.0.1:6553{1}"\n'
    (told,) = mistakes(tmp_path, f"[[vm]]\n{text}")
    assert "listen: invalid address 'tcp:127.0.0.1:65536'" in told


def test_log_of_a_template_agrees_with_that_of_others(tmp_path: Path) -> None:
    other = '[[vm]]\nupstream = "unix:/q"\nlisten = "unix:/l"\naudit = "/log"\naudit_rotate_mib = 5\n'
    (told,) = mistakes(tmp_path, f'{other}{TABLE}audit = "/log"\n')
    assert "an earlier VM logs to '/log' too, with another value" in told
    assert mistakes(tmp_path, f'{TABLE}{TABLE.replace("qmp", "qmp2")}audit = "/log"\n') == []


def test_templates_are_themselves() -> None:
    pattern = PathPattern.parse("/v/[ab]x*")
    template = Template(pattern, {}, lambda _: (None, []))
    assert list(template.samples()) == [("a", "1"), ("b", "1"), ("a", "2")]


def test_contradiction_that_only_one_socket_has_is_an_error_of_that_socket(tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_text(f'{TABLE}include = ["{{1}}"]\nexclude = ["disk0"]\n')
    (template,) = read_config_file(str(path)).templates
    with pytest.raises(ConfigError, match="disk0"):
        template.vm_at("/run/vms/disk0/qmp.sock")
    assert template.vm_at("/run/vms/disk1/qmp.sock").name == "disk1"


def test_misspelt_discover_is_one_mistake(tmp_path: Path) -> None:
    (told,) = mistakes(tmp_path, '[[vm]]\ndiscovr = "/run/vms/*/qmp.sock"\nname = "a"\nlisten = "unix:/l"\n')
    assert told == "2: discovr: unknown key; did you mean 'discover'?"
