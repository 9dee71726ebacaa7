"""The exercise's way, rebuilt: a typed FastAPI route that checks an event and inserts one row, on the event loop.

uvicorn benches.baseline_exercise:app
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import duckdb
from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, generate_latest
from pydantic import BaseModel

STORE = Path(os.environ["BENCH_STORE"])
REGISTRY = CollectorRegistry()
COLLECTED = Counter("collected", "Events that were stored.", registry=REGISTRY)


class Agrawal(BaseModel):
    """The exercise's first contract: types alone."""

    salary: float
    commission: float
    age: int
    elevel: int
    car: int
    zipcode: int
    hvalue: float
    hyears: int
    loan: float
    label: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the store for as long as the service runs."""
    columns = ", ".join(
        f"{name} {'DOUBLE' if field.annotation is float else 'BIGINT'}" for name, field in Agrawal.model_fields.items()
    )
    with duckdb.connect(str(STORE)) as con:
        con.execute(f"CREATE TABLE IF NOT EXISTS agrawal ({columns})")
        app.state.con = con
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/collect")
async def collect(event: Agrawal) -> dict[str, bool]:
    """One event, one row, one commit."""
    app.state.con.execute(
        "INSERT INTO agrawal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", list(event.model_dump().values())
    )
    COLLECTED.inc()
    return {"ok": True}


@app.get("/metrics")
async def metrics() -> Response:
    """The counter."""
    return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)
