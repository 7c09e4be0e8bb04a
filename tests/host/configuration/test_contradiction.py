"""A contradiction knows which settings take part in it, and a listener which key it is under."""

from host.configuration.contradiction import Contradiction, key_of_listener
from host.net.addresses import UnixAddress
from host.settings.config import VMConfig


def test_contradiction_depends_on_all_settings_that_take_part() -> None:
    problem = Contradiction("a", "why", ("b", "c"))
    assert problem.depends_on({"a"})
    assert problem.depends_on({"c", "d"})
    assert not problem.depends_on({"d"})
    assert not problem.depends_on(())


def test_listener_has_the_key_under_which_it_is() -> None:
    one, other, taken = UnixAddress("/l"), UnixAddress("/m"), UnixAddress("/q")
    vm = VMConfig(taken, (one, UnixAddress("/k", holds=True)), (other,), take_over=taken)
    assert key_of_listener(vm, one) == ("listen", 0)
    assert key_of_listener(vm, UnixAddress("/k")) == ("listen", 1)
    assert key_of_listener(vm, other) == ("hmp_listen", 0)
    assert key_of_listener(vm, taken) == ("take_over", None)
