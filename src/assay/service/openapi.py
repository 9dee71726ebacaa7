"""The API's own documentation: the plain endpoints' entries, written out, and which key each call needs."""

from __future__ import annotations

from typing import Any, Final

from assay.service.scopes import needed

__all__ = ["COLLECT_PATHS", "secured"]

_PROBLEM: Final = {"application/problem+json": {"schema": {"type": "object"}}}
_BODY: Final = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]},
        },
        "application/x-ndjson": {"schema": {"type": "string", "description": "one JSON object a line"}},
        "application/vnd.apache.arrow.stream": {
            "schema": {"type": "string", "format": "binary", "description": "an Arrow IPC stream, one event a row"}
        },
        "application/cloudevents+json": {"schema": {"type": "object", "description": "a CloudEvent 1.0"}},
        "application/cloudevents-batch+json": {"schema": {"type": "array", "items": {"type": "object"}}},
    },
}
_ATOMIC: Final = {
    "name": "atomic",
    "in": "query",
    "schema": {"type": "boolean", "default": False},
    "description": "refuse the whole batch when one of its events is refused",
}
_SOURCE: Final = {
    "name": "X-Assay-Source",
    "in": "header",
    "schema": {"type": "string", "default": "unknown"},
    "description": "who sends",
}
_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
    "description": "makes it safe to send the same request again, for 24 hours",
}
_DATASET: Final = {
    "name": "dataset",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,62}$"},
}


def _answer(description: str, properties: dict[str, str]) -> dict[str, Any]:
    schema = {"type": "object", "properties": {name: {"type": kind} for name, kind in properties.items()}}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": _PROBLEM}


def _operation(summary: str, operation: str, parameters: list[Any]) -> dict[str, Any]:
    fields = {"ok": "boolean", "accepted": "integer", "rejected": "integer", "flagged": "integer", "errors": "array"}
    return {
        "post": {
            "summary": summary,
            "operationId": operation,
            "parameters": [*parameters, _SOURCE, _KEY, _ATOMIC],
            "requestBody": _BODY,
            "responses": {
                "200": _answer("Judged, and durable on disk", fields),
                "400": _problem("The body is not what it says it is; kept in quarantine"),
                "404": _problem("Unknown dataset"),
                "413": _problem("The body is too large"),
                "415": _problem("The content type or encoding is not taken"),
                "422": _problem(
                    "The event breaks its contract, and is kept in quarantine; or its key is another body's"
                ),
                "503": _problem("At a bound, or the log fails: nothing was stored; try again after Retry-After"),
            },
        }
    }


#: Paths of `collect` and `validate`, as OpenAPI has them.
COLLECT_PATHS: Final[dict[str, Any]] = {
    "/collect": _operation("Send events to the default dataset", "collect_default", []),
    "/collect/{dataset}": _operation("Send events to a dataset", "collect", [_DATASET]),
    "/validate": _operation("Judge events by the default dataset's contract; keep nothing", "validate_default", []),
    "/validate/{dataset}": _operation("Judge events by a dataset's contract; keep nothing", "validate", [_DATASET]),
}

_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "a key, as `Authorization: Bearer KEY`"},
    "api_key": {"type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "a key, as `X-Api-Key: KEY`"},
}
_REFUSED: Final = {
    "401": _problem("No key, none of this service, or one that was revoked"),
    "403": _problem("The key has not the scope that this needs"),
}


def secured(document: dict[str, Any], *, is_asked: bool, metrics_key: bool) -> dict[str, Any]:
    """A description with the scope that each call needs; while keys are not asked for, no key is one of the ways."""
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            scope = needed(method.upper(), path, metrics_key=metrics_key)
            ways: list[dict[str, Any]] = [] if scope is None else [{name: [scope]} for name in _SCHEMES]
            operation["security"] = ways if is_asked or scope is None else [{}, *ways]
            if scope is not None:
                operation["responses"] |= _REFUSED
    return document
