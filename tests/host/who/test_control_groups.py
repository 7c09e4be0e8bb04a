"""Units and containers, by the paths that systemd and the runtimes make."""

import pytest

from host.who.control_groups import Place, place_of

ID = "0123456789ab" + "c" * 52


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("/system.slice/backup.service", "backup.service"),
        ("/system.slice/system-backup.slice/backup@vm1.service", "backup@vm1.service"),
        ("/system.slice/backup.service/payload", "backup.service"),
        ("/system.slice/foo\\x2dbar.service", "foo\\x2dbar.service"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/backup.service", "backup.service"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/app-foot-12.scope", "app-foot-12.scope"),
        ("/user.slice/user-1000.slice/session-3.scope", "session-3.scope"),
        ("/user.slice/user-1000.slice/user@1000.service/init.scope", None),
        ("/init.scope", None),
        ("/system.slice", None),
        ("/", None),
        ("/../..", None),
    ],
)
def test_units_of_version_2(path: str, unit: str | None) -> None:
    assert place_of(f"0::{path}\n") == Place(unit, None)


def test_unit_of_version_1_is_that_of_systemds_hierarchy() -> None:
    text = "12:pids:/a.service\n1:name=systemd:/system.slice/backup.service\n0::/\n"
    assert place_of(text) == Place("backup.service", None)


@pytest.mark.parametrize(
    ("path", "container"),
    [
        (f"/system.slice/docker-{ID}.scope", "docker:0123456789ab"),
        (f"/docker/{ID}", "docker:0123456789ab"),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container", "podman:0123456789ab"),
        (f"/libpod_parent/libpod-{ID}", "podman:0123456789ab"),
        (f"/system.slice/nerdctl-{ID}.scope", "containerd:0123456789ab"),
        (f"/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope", "kubernetes:0123456789ab"),
        (f"/kubepods/burstable/pod6e1/{ID}", "kubernetes:0123456789ab"),
        (f"/machine.slice/crio-{ID}.scope", "cri-o:0123456789ab"),
        (f"/ecs/task/{ID}", "ecs:0123456789ab"),
        (f"/whatever/{ID}", "container:0123456789ab"),
        ("/lxc.payload.web", "lxc:web"),
        ("/lxc/web", "lxc:web"),
        ("/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator", "machine:qemu-1-vm"),
        ("/machine.slice/systemd-nspawn@web.service/payload", "machine:web"),
    ],
)
def test_containers(path: str, container: str) -> None:
    assert place_of(f"0::{path}\n") == Place(None, container)


@pytest.mark.parametrize("root", ["/lxc/web", "/lxc.payload.web"])
def test_unit_within_a_container(root: str) -> None:
    assert place_of(f"0::{root}/system.slice/backup.service\n") == Place("backup.service", "lxc:web")


def test_container_of_version_1_shows_in_any_hierarchy() -> None:
    text = f"5:cpu:/docker/{ID}\n1:name=systemd:/docker/{ID}\n"
    assert place_of(text) == Place(None, "docker:0123456789ab")


@pytest.mark.parametrize("text", ["", "nonsense\n", "1:2\n", "0::/lxc\n"])
def test_what_cannot_be_read_says_nothing(text: str) -> None:
    assert place_of(text) == Place()
