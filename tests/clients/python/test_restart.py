"""The Python client while its server is killed and started again."""

import asyncio

from domain.jobs.job import Job
from tests.support.processes import Processes
from tests.support.python_clients import JOB, PythonClients, eventually, take


async def test_a_server_that_is_killed_and_started_again(processes: Processes) -> None:
    """Guard: `Link._stay_connected`: commands that were asked meanwhile are executed once, and
    every event arrives once and in order."""
    web = await processes.web()
    clients = PythonClients(processes.market)
    try:
        carla = await clients.customer()
        jobs = carla.job.pushes("job.updated")
        await carla.job.create(**JOB | {"title": "Fence 0"})
        first = await take(jobs, 1)
        await web.kill()
        await eventually(lambda: not carla.connected)
        posting = [
            asyncio.create_task(carla.job.create(**JOB | {"title": f"Fence {number}"}))
            for number in range(1, 6)
        ]
        await processes.restart(web)
        posted = await asyncio.gather(*posting)
        pushes = first + await take(jobs, 5)
        assert [push.seq for push in pushes] == [1, 2, 3, 4, 5, 6]
        assert {push.data["title"] for push in pushes} == {f"Fence {n}" for n in range(6)}
        assert len({job["id"] for job in posted}) == 5
        assert len(await processes.market.rows(Job)) == 6
        assert carla.counts["connections"] == 2
    finally:
        await clients.close()
