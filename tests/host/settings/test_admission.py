"""Who may connect by a listener."""

import pytest

from host.settings.admission import asked_of_processes, why_refused
from host.settings.listener import Terms
from shim.client import Client

VIRSH = Client(1, 1000, "/usr/bin/virsh")
NOT_NAMED = "neither its user nor any of its groups may connect there"


def refused(terms: Terms, client: Client = VIRSH, groups: frozenset[int] = frozenset({50, 60})) -> str | None:
    return why_refused(terms, client, lambda: groups)


@pytest.mark.parametrize(
    "terms",
    [
        Terms(),
        Terms(allow_users=frozenset({0, 1000})),
        Terms(allow_groups=frozenset({1, 60})),
        Terms(allow_users=frozenset({0}), allow_groups=frozenset({60})),
        Terms(allow_users=frozenset({1000}), allow_groups=frozenset({1})),
        Terms(allow_executables=frozenset({"/bin/sh", "/usr/bin/virsh"})),
        Terms(allow_users=frozenset({1000}), allow_executables=frozenset({"/usr/bin/virsh"})),
    ],
)
def test_who_comes_in(terms: Terms) -> None:
    assert refused(terms) is None


@pytest.mark.parametrize(
    ("terms", "client", "why"),
    [
        (Terms(allow_users=frozenset({0})), VIRSH, NOT_NAMED),
        (Terms(allow_groups=frozenset({1000})), VIRSH, NOT_NAMED),
        (Terms(allow_users=frozenset({1000})), Client(1, 0, "/bin/sh"), NOT_NAMED),
        (Terms(allow_users=frozenset({0})), Client(), NOT_NAMED),
        (Terms(allow_users=frozenset({0})), Client(address="127.0.0.1:1"), NOT_NAMED),
        (Terms(allow_executables=frozenset({"/bin/sh"})), VIRSH, "its executable may not connect there"),
        (Terms(allow_executables=frozenset({"/bin/sh"})), Client(1, 1000), "its executable cannot be determined"),
        (
            Terms(allow_users=frozenset({1000}), allow_executables=frozenset({"/bin/sh"})),
            VIRSH,
            "its executable may not connect there",
        ),
    ],
)
def test_who_does_not(terms: Terms, client: Client, why: str) -> None:
    assert refused(terms, client) == why


def test_groups_are_asked_for_only_where_one_is_named() -> None:
    def groups() -> frozenset[int]:
        raise AssertionError("asked for")

    assert why_refused(Terms(allow_users=frozenset({1000})), VIRSH, groups) is None
    assert why_refused(Terms(allow_executables=frozenset({"/usr/bin/virsh"})), VIRSH, groups) is None


def test_what_only_a_process_of_this_machine_meets() -> None:
    assert asked_of_processes(Terms(socket_mode=0o660)) == []
    terms = Terms(allow_groups=frozenset({1}), allow_executables=frozenset({"/bin/sh"}))
    assert asked_of_processes(terms) == ["allow_groups", "allow_executables"]
