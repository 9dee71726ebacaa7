"""What is not on the hot path: health, metrics, contracts, flush."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request
from starlette.responses import JSONResponse, Response

from assay.access.keyring import Keyring
from assay.contract.versions import is_dataset_name
from assay.errors import UnknownDataset
from assay.ingest.logs import LOG_HEADER
from assay.service.office import Office

__all__ = ["reads"]

_FLUSH_S = 5.0


def reads(office: Office, keyring: Keyring, log_id: str) -> APIRouter:
    """The routes, for one service, whose log has this id."""
    router = APIRouter()
    versions = office.enforced.versions

    @router.get("/")
    async def root(response: Response) -> dict[str, bool]:
        """Whether anybody is there, and with which log."""
        response.headers[LOG_HEADER] = log_id
        return {"ok": True}

    @router.get("/readyz")
    async def readyz() -> Response:
        """Whether events can be acknowledged; with a note when they wait for their tables, or contracts cannot be known."""
        if office.failure is not None:
            return JSONResponse({"ok": False, "reason": str(office.failure)}, 503, headers={"Retry-After": "1"})
        if keyring.trouble is not None:
            return JSONResponse({"ok": False, "reason": str(keyring.trouble)}, 503, headers={"Retry-After": "1"})
        document: dict[str, Any] = {"ok": True}
        if office.note is not None:
            document["note"] = office.note
        return JSONResponse(document)

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        """The series, in Prometheus' text format, or OpenMetrics' when asked for."""
        body, content_type = office.metrics.exposition(request.headers.get("accept"))
        return Response(body, headers={"Content-Type": content_type})

    @router.post("/flush")
    async def flush() -> dict[str, bool]:
        """Answers when everything acknowledged so far is in its table."""
        await office.flush(_FLUSH_S)
        return {"ok": True}

    @router.get("/contracts")
    async def contracts() -> dict[str, Any]:
        """Every dataset with its versions, and which one is enforced."""
        found: dict[str, dict[str, Any]] = {}
        for dataset in versions.datasets():
            judge = office.enforced.get(dataset)
            found[dataset] = {
                "versions": versions.numbers(dataset),
                "active": None if judge is None else judge.contract.version,
                "mode": None if judge is None else judge.active.mode,
            }
            if judge is not None and judge.active.fields:
                found[dataset]["fields"] = dict(judge.active.fields)
        return found

    @router.get("/contracts/{dataset}")
    async def active_contract(dataset: str) -> Response:
        """The JSON Schema document that is enforced."""
        judge = office.enforced.get(dataset)
        if judge is None:
            raise UnknownDataset(dataset, "it has no active contract")
        return Response(judge.contract.to_json(), media_type="application/schema+json")

    @router.get("/contracts/{dataset}/{number}")
    async def contract(dataset: str, number: int) -> Response:
        """One version's JSON Schema document."""
        if not is_dataset_name(dataset) or number not in versions.numbers(dataset):
            raise UnknownDataset(f"{dataset}@{number}", "GET /contracts lists those that are")
        return Response(versions.load(dataset, number).to_json(), media_type="application/schema+json")

    @router.get("/quarantine/{dataset}")
    async def quarantine(
        dataset: str,
        limit: Annotated[int, Query(ge=1, le=1_000)] = 100,
        before: UUID | None = None,
        group: bool = False,  # noqa: FBT001, FBT002  FastAPI's way of saying a parameter of the query
    ) -> dict[str, Any]:
        """Refused events of a dataset, the newest first, a page at a time; `next` is where the next is. Or by fingerprint."""
        if not is_dataset_name(dataset):
            raise UnknownDataset(dataset, "a name is a-z, then a-z, 0-9 and _, at most 63")
        page = await office.rejects(dataset, limit=limit, before=None if before is None else str(before), group=group)
        if page["next"] is not None:
            page["next"] = f"/quarantine/{dataset}?limit={limit}&before={page['next']}"
        return page

    @router.post("/replay/{dataset}")
    async def replay(
        dataset: str,
        contract: Annotated[int | None, Query(ge=1, le=999_999_999)] = None,
        dry_run: bool = False,  # noqa: FBT001, FBT002  FastAPI's way of saying a parameter of the query
    ) -> dict[str, Any]:
        """Judge refused events of a dataset again, by the active contract or another; those that pass go to its table."""
        return await office.replay(dataset, contract, dry_run=dry_run)

    return router
