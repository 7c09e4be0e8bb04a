"""Which VMs come by themselves: what a look finds, keeps and leaves out."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from host.configuration.config_file import read_config_file
from host.configuration.discover import PathPattern, Template
from host.net.addresses import AcceptAddress, UnixAddress
from host.settings.config import VMConfig
from proxy.control.status import PatternStatus
from proxy.discovery.sockets import GONE_AFTER_S, Connected, Sockets, find
from tests.support.proxy.running_vm_proxy import bound

NOBODY = Connected()


class Folders:
    """Folders in which sockets are bound; nobody listens there."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self._stack = stack

    def bind(self, *names: str) -> None:
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stack.enter_context(bound(path))

    def templates(self, pattern: str = "*/q", *lines: str, name: str = "{1}") -> tuple[Template, ...]:
        file = self.folder / "config"
        usual = [f'upstream = "unix:{{path}}"', f'listen = "unix:{self.folder}/{{1}}/l"']  # noqa: F541
        file.write_text("\n".join(["[[vm]]", f'discover = "{self.folder}/{pattern}"', f'name = "{name}"', *(lines or usual)]))
        read = read_config_file(str(file))
        assert not read.mistakes
        return read.templates


@pytest.fixture
def folders() -> Iterator[Folders]:
    with tempfile.TemporaryDirectory(prefix="k", dir="/tmp") as name, ExitStack() as stack:
        yield Folders(Path(name), stack)


def names(vms: list[VMConfig]) -> list[str | None]:
    return [vm.name for vm in vms]


def test_sockets_come_and_go(folders: Folders) -> None:
    sockets, templates = Sockets(), folders.templates()
    assert sockets.look(templates, (), NOBODY, 0.0) == []
    assert sockets.status(templates) == [PatternStatus(f"{folders.folder}/*/q", 0)]
    folders.bind("b/q", "a/q", "a/other")
    (folders.folder / "c").mkdir()
    (folders.folder / "c/q").touch()
    first = sockets.look(templates, (), NOBODY, 1.0)
    assert names(first) == ["a", "b"]
    assert sockets.paths() == {"a": f"{folders.folder}/a/q", "b": f"{folders.folder}/b/q"}
    again = sockets.look(templates, (), NOBODY, 2.0)
    assert all(one is two for one, two in zip(first, again, strict=True))
    assert sockets.due_s() is None
    assert sockets.status(templates) == [PatternStatus(f"{folders.folder}/*/q", 2)]


def test_one_that_is_away_is_let_go_after_a_while(folders: Folders) -> None:
    """A QEMU that flaps, or is started anew, is waited for as any other."""
    folders.bind("a/q")
    sockets, templates = Sockets(), folders.templates()
    sockets.look(templates, (), NOBODY, 0.0)
    (folders.folder / "a/q").unlink()
    assert names(sockets.look(templates, (), NOBODY, 10.0)) == ["a"]
    assert sockets.due_s() == 10.0 + GONE_AFTER_S
    folders.bind("a/q")
    sockets.look(templates, (), NOBODY, 10.5)
    assert sockets.due_s() is None
    (folders.folder / "a/q").unlink()
    assert names(sockets.look(templates, (), NOBODY, 11.0)) == ["a"]
    assert names(sockets.look(templates, (), NOBODY, 11.0 + GONE_AFTER_S)) == []


def test_one_whose_qemu_is_connected_stays(folders: Folders) -> None:
    """Who ends removes its socket before it hangs up, so that is looked at again soon."""
    folders.bind("a/q")
    path = f"{folders.folder}/a/q"
    sockets, templates = Sockets(), folders.templates()
    sockets.look(templates, (), NOBODY, 0.0)
    os.unlink(path)
    for now_s in (1.0, 99.0):
        assert names(sockets.look(templates, (), Connected(frozenset({path})), now_s)) == ["a"]
        assert sockets.due_s() == now_s + 1.0
    assert names(sockets.look(templates, (), NOBODY, 99.0 + GONE_AFTER_S)) == []


def test_path_that_only_the_proxy_holds_is_no_qemu(folders: Folders) -> None:
    folders.bind("a/q")
    sockets, templates = Sockets(), folders.templates("*/q", 'take_over = "hold:{path}"')
    sockets.look(templates, (), NOBODY, 0.0)
    held = Connected(held=frozenset({f"{folders.folder}/a/q"}))
    assert names(sockets.look(templates, (), held, 1.0)) == ["a"]
    assert names(sockets.look(templates, (), held, 1.0 + GONE_AFTER_S)) == []


def test_our_own_sockets_and_those_of_other_vms_are_not_found(folders: Folders) -> None:
    """Also by another path, by which a link leads there."""
    folders.bind("a/q", "b/q", "c/q", "d/q", "e/q", "f/q.hmpshim", "g/q")
    at = {name: UnixAddress(f"{folders.folder}/{name}/q") for name in "abcdeg"}
    static = (
        VMConfig(at["a"], (at["b"],)),
        VMConfig(at["c"], take_over=at["c"]),
        VMConfig(AcceptAddress(at["d"]), hmp_listen=(UnixAddress(f"{folders.folder}/none"),)),
    )
    (folders.folder / "linked").symlink_to(folders.folder / "b")
    (folders.folder / "twice").symlink_to(folders.folder / "g")
    sockets = Sockets(own=[f"{folders.folder}/e/q"])
    assert names(sockets.look(folders.templates(), static, NOBODY, 0.0)) == ["g"]


def test_listener_of_a_vm_that_was_found_is_not_found_itself(folders: Folders) -> None:
    folders.bind("x/q")
    sockets = Sockets()
    lines = 'upstream = "unix:{path}"', f'listen = "unix:{folders.folder}/real/{{1}}"'
    templates = folders.templates("*/q", *lines)
    assert names(sockets.look(templates, (), NOBODY, 0.0)) == ["x"]
    folders.bind("real/x")
    (folders.folder / "z").mkdir()
    (folders.folder / "z/q").symlink_to(folders.folder / "real/x")
    assert names(sockets.look(templates, (), NOBODY, 1.0)) == ["x"]


def test_what_another_vm_has_is_not_given_twice(folders: Folders, caplog: pytest.LogCaptureFixture) -> None:
    folders.bind("a/q", "b/q")
    sockets, templates = Sockets(), folders.templates()
    static = (VMConfig(UnixAddress("/q"), (UnixAddress("/l"),), name="a"),)
    for now_s in (0.0, 1.0):
        assert names(sockets.look(templates, static, NOBODY, now_s)) == ["b"]
    problem = f"{folders.folder}/a/q: another VM has 'a' already; each needs one of its own"
    assert sockets.status(templates) == [PatternStatus(f"{folders.folder}/*/q", 2, (problem,))]
    assert caplog.messages == [f"{folders.folder}/a/q is not served: another VM has 'a' already; each needs one of its own"]
    assert names(sockets.look(templates, (), NOBODY, 2.0)) == ["a", "b"]


def test_first_of_two_that_come_to_the_same_stays(folders: Folders) -> None:
    folders.bind("q.b")
    sockets = Sockets()
    lines = ('upstream = "unix:{path}"', f'listen = "unix:{folders.folder}/l/{{1}}{{2}}"')
    templates = folders.templates("*q.*", *lines, name="{1}{2}")
    folders.bind("aq.b")
    assert names(sockets.look(templates, (), NOBODY, 0.0)) == ["ab"]
    (folders.folder / "q.b").unlink()
    folders.bind("1q.23", "12q.3")
    assert names(sockets.look(templates, (), NOBODY, 1.0)) == ["123", "ab"]
    served = sockets.paths()["123"]
    again = folders.templates("*q.*", *lines, "max_clients = 7", name="{1}{2}")
    assert {vm.name: vm.max_clients for vm in sockets.look(again, (), NOBODY, 2.0)} == {"123": 7, "ab": 7}
    assert sockets.paths()["123"] == served


def test_other_templates_have_other_vms(folders: Folders) -> None:
    folders.bind("a/q", "b/p")
    sockets = Sockets()
    sockets.look(folders.templates("*/q"), (), NOBODY, 0.0)
    assert names(sockets.look(folders.templates("*/p"), (), NOBODY, 1.0)) == ["b"]
    (folders.folder / "b/p").unlink()
    # One that is away has the settings of the new file, too.
    changed = folders.templates(
        "*/[p]", 'upstream = "unix:{path}"', f'listen = "unix:{folders.folder}/{{1}}/l"', "max_clients = 3"
    )
    assert [vm.max_clients for vm in sockets.look(changed, (), NOBODY, 1.0)] == [3]


def test_folder_that_may_not_be_read_is_told_of_once(
    folders: Folders, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise PermissionError(13, "Permission denied")

    sockets, templates = Sockets(), folders.templates()
    monkeypatch.setattr(os, "scandir", refuse)
    for _ in range(2):
        assert sockets.look(templates, (), NOBODY, 0.0) == []
    assert caplog.messages == [f"cannot look for sockets in {folders.folder}: Permission denied"]


def test_folders_are_watched_where_something_may_appear(folders: Folders) -> None:
    folders.bind("a/x/q", "b/y")
    at = str(folders.folder)
    watched: list[str] = []
    pattern = PathPattern.parse(f"{at}/*/x/q")
    assert list(find(pattern, lambda folder, _: watched.append(folder))) == [f"{at}/a/x/q"]
    assert (watched[0], sorted(watched[1:])) == (at, [f"{at}/a/x", f"{at}/b"])
    watched.clear()
    assert find(PathPattern.parse(f"{at}/none/below/*"), lambda folder, _: watched.append(folder)) == {}
    assert watched == [at]
    assert find(PathPattern.parse(f"{at}/*/none/*/q")) == {}
    sockets = Sockets(watch=watched.append)
    sockets.look(folders.templates(), (), NOBODY, 0.0)
    assert set(watched[1:]) == sockets.folders == {at, f"{at}/a", f"{at}/b"}


def test_pattern_may_begin_at_the_root() -> None:
    watched: list[str] = []
    assert find(PathPattern.parse("/no-such-folder-*/q"), lambda folder, _: watched.append(folder)) == {}
    assert find(PathPattern.parse("/no-such-folder/*"), lambda folder, _: watched.append(folder)) == {}
    assert watched == ["/", "/"]


def test_folder_that_goes_while_it_is_looked_into(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(path: str) -> None:
        raise FileNotFoundError(2, "No such file or directory")

    told: list[OSError | None] = []
    monkeypatch.setattr(os, "scandir", gone)
    assert find(PathPattern.parse(f"{folders.folder}/*"), lambda _, problem: told.append(problem)) == {}
    assert told == [None]
