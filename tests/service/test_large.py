"""Bodies of lines beyond a megabyte are taken in pieces: what is answered, counted and kept is what it always was."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import NUMBER, Bench, Service, until

EVENTS = 50_000
GOOD = b"".join(b'{"a": %d, "text": "%050d"}\n' % (number % 100, number) for number in range(EVENTS))
NDJSON = {"Content-Type": "application/x-ndjson"}
BAD = b'{"a": 101}\n{broken\n'

assert len(GOOD) > 3_000_000


def pieces(body: bytes) -> Iterator[bytes]:
    """As it comes from a socket, without a thought for lines."""
    for start in range(0, len(body), 70_001):
        yield body[start : start + 70_001]


@pytest.fixture
def bench(bench: Bench) -> Bench:
    bench.enforce("d", {"a": NUMBER, "text": {"type": "string"}}, required=["a"])
    return bench


def is_clean(service: Service) -> bool:
    """Whether the log has nothing any more."""
    return service.collector._log.is_empty() and service.collector._log.is_clean


def test_it_is_answered_counted_and_kept_as_a_whole(bench: Bench) -> None:
    with bench.service() as service:
        answer = service.client.post("/collect/d", pieces(GOOD + BAD + GOOD + BAD), NDJSON)
        assert answer.status_code == 200
        document = answer.json()
        assert (document["accepted"], document["rejected"]) == (2 * EVENTS, 4)
        assert [(each["index"], each["type"]) for each in document["errors"]] == [
            (EVENTS, "less_than_equal"),
            (EVENTS + 1, "json_invalid"),
            (2 * EVENTS + 2, "less_than_equal"),
            (2 * EVENTS + 3, "json_invalid"),
        ]
        assert f"line {EVENTS + 2}" in document["errors"][1]["msg"]
        assert until(lambda: service.counted("d") == (2 * EVENTS, 0, 4))  # counted just after it is answered
        assert service.metrics()['assay_violations_total{dataset="d",field="a",type="less_than_equal"}'] == 2
        assert service.rows("SELECT count(*), sum(a), count(DISTINCT text) FROM d") == [
            (2 * EVENTS, 2 * sum(number % 100 for number in range(EVENTS)), EVENTS)
        ]
        kept = service.rows("SELECT CAST(id AS VARCHAR) FROM _quarantine ORDER BY id")
        assert sorted(each["quarantine_id"] for each in document["errors"]) == kept
        assert until(lambda: is_clean(service))
        assert service.collector.pending.bytes == 0


def test_compressed_and_with_lines_longer_than_a_piece(bench: Bench) -> None:
    long = json.dumps({"a": 1, "text": "x" * (3 << 20)}).encode()
    body = gzip.compress(GOOD + long + b"\n\n" + long, 1)
    with bench.service() as service:
        answer = service.client.post("/collect/d", pieces(body), NDJSON | {"Content-Encoding": "gzip"})
        assert answer.json() == {"ok": True, "accepted": EVENTS + 2}
        assert service.rows("SELECT count(*), max(length(text)) FROM d") == [(EVENTS + 2, 3 << 20)]


def test_validate_keeps_and_counts_nothing(bench: Bench) -> None:
    with bench.service() as service:
        answer = service.client.post("/validate/d", pieces(GOOD + BAD), NDJSON)
        assert (answer.json()["accepted"], answer.json()["rejected"]) == (EVENTS, 2)
        assert "quarantine_id" not in answer.text
        assert service.counted("d") == (0, 0, 0)
        assert service.collector._log.last_seq() == 0
        assert is_clean(service)


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        pytest.param({"max_body_bytes": 3_000_000}, 413, id="too large"),
        pytest.param({"log_max_bytes": 200_000}, 503, id="the log is full half way"),
    ],
)
def test_nothing_is_left_where_it_ends_half_way(bench: Bench, settings: Any, status: int) -> None:
    with bench.service(**settings) as service:
        answer = service.client.post("/collect/d", pieces(GOOD), NDJSON)
        assert answer.status_code == status, answer.text
        assert until(lambda: is_clean(service))
        assert service.lines("/collect/d", {"a": 1}).status_code == 200
        assert until(lambda: service.counted("d") == (1, 0, 0))
        assert service.rows("SELECT count(*) FROM d") == [1]
        assert service.rows("SELECT count(*) FROM _gaps") == [0]


@pytest.mark.parametrize("bound", ["max_body_bytes", "learning_max_bytes"])
def test_a_dataset_that_learns_is_charged_as_long_as_it_is_kept(bench: Bench, bound: str) -> None:
    with bench.service(**{bound: 3_000_000}) as service:
        assert service.client.post("/collect/wild", pieces(GOOD), NDJSON).status_code in {413, 503}
        assert until(lambda: is_clean(service))
        assert service.collector._learning == {}
        half = b"".join(GOOD.splitlines(keepends=True)[: EVENTS // 2])
        assert service.client.post("/collect/wild", pieces(half), NDJSON).json() == {
            "ok": True,
            "accepted": EVENTS // 2,
        }
        assert service.collector._learning == {"wild": len(half)}
        assert service.rows("SELECT count(*) FROM _learning WHERE dataset = 'wild'") == [EVENTS // 2]


def test_with_a_key_it_is_stored_once(bench: Bench) -> None:
    with bench.service() as service:
        headers = NDJSON | {"Idempotency-Key": "k"}
        first = service.client.post("/collect/d", pieces(GOOD + BAD), headers)
        assert first.status_code == 200
        assert (first.json()["accepted"], first.json()["rejected"]) == (EVENTS, 2)
        assert service.client.post("/collect/d", pieces(GOOD + BAD), headers).content == first.content
        assert service.client.post("/collect/d", pieces(GOOD), headers).status_code == 422
        verdict = service.client.post("/validate/d", pieces(GOOD), headers)
        assert (verdict.status_code, verdict.json()["accepted"]) == (200, EVENTS)
        assert service.rows("SELECT count(*) FROM d") == [EVENTS]
        assert service.rows("SELECT count(*) FROM _quarantine") == [2]
        assert until(lambda: is_clean(service))
        assert service.collector.pending.bytes == 0
