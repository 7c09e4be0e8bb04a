"""A process without a VM."""

import asyncio

from proxy.fleet.outlasting import Outlasting
from tests.support.raw_client import DEADLINE_S


def test_group_is_kept_until_it_is_not_wanted_or_stopped() -> None:
    async def run() -> None:
        stop = asyncio.Event()
        outlasting = Outlasting(stop)
        outlasting.set(True, None)
        async with asyncio.timeout(DEADLINE_S):
            async with asyncio.TaskGroup() as group:
                outlasting.set(outlasting.is_wanted, group)
                asyncio.get_running_loop().call_soon(outlasting.set, False, group)
            assert not outlasting.is_wanted
            async with asyncio.TaskGroup() as group:
                outlasting.set(True, group)
                stop.set()

    asyncio.run(run())
