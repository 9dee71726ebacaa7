"""Work in the background: one at a time, its share told, its failure kept."""

from __future__ import annotations

import asyncio
import threading

import pytest

from assay.errors import NotEnoughData
from assay.ui.jobs import Job, Jobs


async def settled(job: Job) -> Job:
    for _ in range(500):
        if job.state != "running":
            return job
        await asyncio.sleep(0.01)
    raise AssertionError(job)


def test_a_job_tells_how_far_it_is_and_gives_its_result() -> None:
    async def run() -> None:
        jobs, told, go = Jobs(), threading.Event(), threading.Event()

        def work(tell: object) -> str:
            assert callable(tell)
            tell(0.5)
            told.set()
            assert go.wait(5)
            return "result"

        job = jobs.start("learn", "d", work)
        await asyncio.to_thread(told.wait, 5)
        assert job.share == 0.5
        assert jobs.start("learn", "d", work) is job
        assert jobs.running("learn", "d") is job
        assert jobs.running("learn", "other") is None
        go.set()
        await settled(job)
        assert (job.state, job.share, job.result) == ("done", 1.0, "result")
        assert jobs.get(job.id) is job
        assert jobs.running("learn", "d") is None

    asyncio.run(run())


@pytest.mark.parametrize(
    ("error", "says"),
    [
        pytest.param(NotEnoughData("d", 1, 2), "1 rows", id="an error of ours"),
        pytest.param(ZeroDivisionError("secret"), "a fault of assay's own", id="a fault"),
    ],
)
def test_a_job_that_fails_says_why(error: Exception, says: str) -> None:
    async def run() -> None:
        def work(_: object) -> None:
            raise error

        job = await settled(Jobs().start("learn", "d", work))
        assert job.state == "failed"
        assert says in job.problem
        assert "secret" not in job.problem

    asyncio.run(run())


def test_the_last_few_are_remembered() -> None:
    async def run() -> None:
        jobs = Jobs()
        every = [await settled(jobs.start("try", f"d{i}", lambda _: None)) for i in range(60)]
        assert jobs.get(every[0].id) is None
        assert jobs.get(every[-1].id) is every[-1]

    asyncio.run(run())
