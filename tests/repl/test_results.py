"""Where a prompt keeps its intents."""

from pathlib import Path

import pytest

from host.intents import IntentStore
from host.net.addresses import UnixAddress
from repl.results import intents_at
from shim.plans.intent import Intent
from shim.plans.plan import Intend


def test_intents_of_the_prompt_are_not_those_of_a_proxy_at_the_same_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    address = UnixAddress("/run/vm1/qmp.sock")
    proxys = IntentStore(str(address), tmp_path)
    proxys.note(Intend(Intent("t", None, "a", ("a",), "hmpshim-1")))
    prompts = intents_at(address)
    assert prompts.written() == []
    assert prompts.token != proxys.token
