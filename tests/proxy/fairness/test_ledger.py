"""What is queued over all VMs, and who has to go."""

from proxy.fairness.ledger import Ledger


class Gone(list[str]):
    """Who was disconnected, in order."""

    def note(self, ledger: Ledger, client: str, size_bytes: int) -> None:
        ledger.note(client, size_bytes, lambda: self.append(client))


def test_sizes_are_summed_up_and_forgotten() -> None:
    ledger, gone = Ledger(100), Gone()
    gone.note(ledger, "a", 40)
    gone.note(ledger, "b", 60)
    assert (ledger.total_bytes, gone) == (100, [])
    gone.note(ledger, "a", 10)
    gone.note(ledger, "b", 0)
    assert ledger.total_bytes == 10
    ledger.forget("a")
    ledger.forget("a")
    assert (ledger.total_bytes, gone) == (0, [])


def test_those_that_have_most_go_until_the_rest_fits() -> None:
    ledger, gone = Ledger(100), Gone()
    for client, size_bytes in (("a", 30), ("b", 45), ("c", 20)):
        gone.note(ledger, client, size_bytes)
    gone.note(ledger, "c", 26)
    assert (gone, ledger.total_bytes) == (["b"], 56)
    gone.note(ledger, "d", 120)
    assert (gone, ledger.total_bytes) == (["b", "d"], 56)
