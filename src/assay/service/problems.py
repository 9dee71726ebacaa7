"""Errors as RFC 9457 problem documents: the one place that turns an error into a status."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from assay.errors import (
    AssayError,
    BadBody,
    ContractError,
    KeyReused,
    Overloaded,
    ServiceError,
    TooLarge,
    UnknownDataset,
    UnsupportedType,
    UsageError,
)

__all__ = ["CONTENT_TYPE", "place_of", "problem", "problem_of"]

CONTENT_TYPE: Final = "application/problem+json"
_STATUS: Final[Mapping[type[AssayError], int]] = {
    UnknownDataset: 404,
    UnsupportedType: 415,
    TooLarge: 413,
    KeyReused: 422,
    UsageError: 400,
    BadBody: 400,
    ContractError: 422,
    ServiceError: 503,
}


def problem(
    status: int,
    detail: str,
    *,
    kind: str = "",
    headers: Mapping[str, str] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Response:
    """A problem document. `kind` names its type, a section of the reference; `more` has its extension members."""
    document = {
        "type": f"urn:assay:problem:{kind}" if kind else "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **(more or {}),
    }
    body = json.dumps(document, ensure_ascii=False, default=str).encode()
    return Response(body, status, media_type=CONTENT_TYPE, headers=dict(headers or {}))


def problem_of(error: AssayError) -> Response:
    """The problem document of an error."""
    status = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
    headers = {}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(error.retry_after_s if isinstance(error, Overloaded) else 1)
    kind = "key-reused" if isinstance(error, KeyReused) else ""
    return problem(
        status, str(error), kind=kind, headers=headers, more=place_of(error) if isinstance(error, BadBody) else None
    )


def place_of(error: BadBody) -> dict[str, int]:
    """Where a body broke, as far as it is known."""
    places = (("byte", error.byte), ("line", error.line))
    return {name: place for name, place in places if place is not None}
