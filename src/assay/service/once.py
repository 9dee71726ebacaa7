"""`Idempotency-Key`: a request's first answer, given again to each repetition."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

from starlette.responses import Response

from assay.errors import KeyReused, UsageError
from assay.ingest.keys import Kept, Slot, digest_of
from assay.ingest.outcome import Outcome
from assay.service.answers import again, answer
from assay.service.collector import Collector

__all__ = ["Collecting", "check_key", "collect_once"]

_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")

#: Collects a body; given what to keep of the outcome in the same transaction.
Collecting: TypeAlias = Callable[[Callable[[Outcome], list[Kept]]], Coroutine[Any, Any, Outcome]]


def check_key(key: str) -> None:
    """Whether it can be a key.

    Raises:
        UsageError: it cannot.
    """
    if not _KEY.fullmatch(key):
        raise UsageError("Idempotency-Key: 1 to 255 visible ASCII characters are expected")


async def collect_once(collector: Collector, slot: Slot, parts: tuple[bytes, ...], collecting: Collecting) -> Response:
    """The answer to a request with a key; `parts` are what makes its body the same as another's.

    Raises:
        KeyReused: the key was used for another body, which was accepted.
        Overloaded, LogFailed, …: as when it is collected; then nothing is known of the key.
    """

    async def work() -> Response:
        digest = await collector.aside(sum(map(len, parts)), lambda: digest_of(*parts))
        known = collector.known(slot)
        if known is not None and known.digest == digest:
            return again(known.status, known.answer)
        if known is not None and not known.rejected:
            raise KeyReused(slot.key)
        first: list[Response] = []

        def keep(outcome: Outcome) -> list[Kept]:
            response = answer(outcome)
            first.append(response)
            rejected = not outcome.ok and not (outcome.accepted or outcome.repeated)
            now_us = time.time_ns() // 1000
            return [Kept(slot, digest, now_us, rejected, response.status_code, bytes(response.body))]

        await collecting(keep)
        return first[0]

    return await collector.flights.run([slot], work)
