"""What changes contracts and what measures: activate, learn, profile. The work is done by errands."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

import structlog
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import JSONResponse, Response

from assay.access.keys import IN_SCOPE, Key
from assay.contract.versions import Mode, is_dataset_name
from assay.errors import AssayError, UnknownDataset
from assay.ingest.validate import Judge
from assay.service.errands import Errands
from assay.service.office import Office

__all__ = ["contract_routes"]

_log = structlog.get_logger("assay")

_MOST_JOBS: Final = 100


class Activate(BaseModel):
    """The body of `POST /contracts/{dataset}/activate`."""

    model_config = ConfigDict(extra="forbid")

    #: Not `true`, which would be 1.
    contract: int = Field(ge=1, le=999_999_999, strict=True)
    mode: Mode = "enforce"
    #: By label; those that are not named stay as they are. So many fit into what an errand is told.
    fields: dict[Annotated[str, Field(max_length=200)], Mode] = Field(default_factory=dict, max_length=100)

    def answer(self, dataset: str, judge: Judge | None) -> dict[str, Any]:
        """What is in force when that was done, with the fields that have a mode of their own where there are any."""
        own = {"fields": dict(judge.active.fields)} if judge is not None and judge.active.fields else {}
        return {"dataset": dataset, "contract": self.contract, "mode": self.mode, **own}


@dataclass(slots=True)
class Job:
    """A contract that is being learned, or was."""

    name: str
    dataset: str
    state: Literal["running", "done", "failed"] = "running"
    progress: float = 0.0
    learned: dict[str, Any] | None = None
    problem: str | None = None

    @property
    def url(self) -> str:
        """Where to ask for it."""
        return f"/learn/{self.dataset}/{self.name}"

    def to_document(self) -> dict[str, Any]:
        """As it is answered."""
        about = {"job": self.name, "dataset": self.dataset, "state": self.state, "progress": round(self.progress, 3)}
        return about | (self.learned or {}) | ({} if self.problem is None else {"problem": self.problem})

    def advance(self, share: float) -> None:
        """So much is done."""
        self.progress = share


def contract_routes(office: Office, errands: Errands) -> APIRouter:
    """The routes, for one service."""
    router = APIRouter()
    jobs: dict[str, Job] = {}
    tasks: set[asyncio.Task[None]] = set()
    measuring: dict[str, asyncio.Task[Any]] = {}

    @router.post("/contracts/{dataset}/activate")
    async def activate(dataset: str, wanted: Activate, request: Request) -> dict[str, Any]:
        """Make a version the enforced one; when this answers, it is. Renders what follows from it."""
        _check(dataset)
        if wanted.contract not in office.enforced.versions.numbers(dataset):
            raise UnknownDataset(f"{dataset}@{wanted.contract}", "GET /contracts lists those that are")
        done = await errands.run({"do": "activate", "dataset": dataset, "by": _who(request), **wanted.model_dump()})
        await office.look()
        return {**wanted.answer(dataset, office.enforced.get(dataset)), **done}

    @router.post("/learn/{dataset}", status_code=202)
    async def learn(dataset: str, budget: Annotated[float | None, Query(ge=1e-12, le=0.5)] = None) -> Response:
        """Learn the next version of a contract in the background; it is not activated. `Location` says how far it is."""
        _check(dataset)
        running = next((job for job in jobs.values() if job.dataset == dataset and job.state == "running"), None)
        job = running or Job(uuid.uuid4().hex[:12], dataset)
        if running is None:
            jobs[job.name] = job
            _forget_old(jobs)
            task = asyncio.create_task(work(job, budget))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        return JSONResponse(job.to_document(), 202, headers={"Location": job.url})

    async def work(job: Job, budget: float | None) -> None:
        try:
            await office.flush()
            job.learned = await errands.run({"do": "learn", "dataset": job.dataset, "budget": budget}, job.advance)
            job.state, job.progress = "done", 1.0
            _log.info("contract learned", dataset=job.dataset, contract=job.learned["contract"])
        except AssayError as error:
            job.state, job.problem = "failed", str(error)
            _log.warning("contract not learned", dataset=job.dataset, problem=str(error))
        finally:
            if job.state == "running":  # the service stops, or a fault of our own
                job.state, job.problem = "failed", "it was broken off"

    @router.get("/learn/{dataset}/{job}")
    async def learning(dataset: str, job: str) -> dict[str, Any]:
        """How far a contract that is being learned is, and which version it became."""
        found = jobs.get(job)
        if found is None or found.dataset != dataset:
            raise UnknownDataset(f"{dataset}/{job}", "no such job since the service started")
        return found.to_document()

    @router.get("/profile/{dataset}")
    async def profile(dataset: str) -> Response:
        """The profile of what is stored of a dataset now, or waits for a contract."""
        _check(dataset)
        task = measuring.get(dataset)
        if task is None:  # who asks meanwhile gets the same
            task = measuring[dataset] = asyncio.create_task(measure(dataset))
            task.add_done_callback(lambda _: measuring.pop(dataset, None))
        return JSONResponse(await asyncio.shield(task))

    async def measure(dataset: str) -> Any:
        await office.flush()
        return await errands.run({"do": "profile", "dataset": dataset})

    return router


def _who(request: Request) -> str:
    """Who asks: the name of the key, else what they call themselves."""
    key: Key | None = request.scope.get(IN_SCOPE)
    return key.name if key is not None else request.headers.get("x-assay-source", "").strip()[:200] or "unknown"


def _check(dataset: str) -> None:
    if not is_dataset_name(dataset):
        raise UnknownDataset(dataset, "a name is a-z, then a-z, 0-9 and _, at most 63")


def _forget_old(jobs: dict[str, Job]) -> None:
    """Keep the last ones, and those that run."""
    ended = [name for name, job in jobs.items() if job.state != "running"]
    for name in ended[: max(0, len(jobs) - _MOST_JOBS)]:
        del jobs[name]
