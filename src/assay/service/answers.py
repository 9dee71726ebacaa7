"""Outcomes as responses: the table of outcomes, in code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import Response

from assay.ingest.outcome import Outcome, Rejected
from assay.service.problems import CONTENT_TYPE, place_of, problem

__all__ = ["again", "answer"]

_MOST_ERRORS: Final = 100


def answer(outcome: Outcome, *, kept: bool = True) -> Response:
    """The response to a request whose outcome is durable. `kept` is False where nothing was stored."""
    accepted = outcome.accepted + outcome.repeated
    flagged = outcome.flagged + outcome.repeated_flagged
    noted: dict[str, Any] = {"flagged": flagged} if flagged else {}
    if outcome.ok:
        return _json(200, {"ok": True, "accepted": accepted} | noted)
    rejected = sorted([*outcome.rejected, *outcome.repeated_rejected], key=lambda each: each.index)
    first = rejected[0]
    kept_as = {"quarantine_id": first.quarantine_id} if kept else {}
    if outcome.bad_body is not None:
        bad = outcome.bad_body
        more = {"dataset": outcome.dataset, **place_of(bad), **kept_as}
        return problem(400, str(bad), kind="bad-body", more=more)
    about = {"dataset": outcome.dataset, "contract": outcome.contract}
    if outcome.single:
        errors: list[dict[str, Any]] = [violation.to_document() for violation in first.violations[:_MOST_ERRORS]]
        detail = f"the event breaks the contract of {outcome.dataset}"
        return problem(422, detail, kind="rejected", more=about | kept_as | {"errors": errors})
    errors = _errors(rejected, kept=kept)
    refused = outcome.refused + len(outcome.repeated_rejected)
    if outcome.atomic:
        detail = f"{refused} of the events break the contract of {outcome.dataset}; none was stored"
        counts = {"accepted": 0, "rejected": refused}
        return problem(422, detail, kind="rejected", more=about | counts | {"errors": errors})
    counts = {"ok": False, "accepted": accepted, "rejected": refused}
    return _json(200, counts | noted | {"errors": errors})


def _errors(rejected: Sequence[Rejected], *, kept: bool) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for each in rejected:
        for violation in each.violations:
            if len(found) == _MOST_ERRORS:
                return found
            row: dict[str, Any] = {"index": each.index}
            if kept:
                row["quarantine_id"] = each.quarantine_id
            found.append(row | violation.to_document())
    return found


def _json(status: int, document: dict[str, Any]) -> Response:
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":"), default=str).encode()
    return Response(body, status, media_type="application/json")


def again(status: int, body: bytes) -> Response:
    """A response as it was given before."""
    return Response(body, status, media_type="application/json" if status == HTTPStatus.OK else CONTENT_TYPE)
