"""When alerts were firing, as Prometheus says it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from assay.errors import ServiceError
from assay.monitor.firing import firing
from tests.test_workspace import answering

SINCE, UNTIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
START = int(SINCE.timestamp())


def answer(*series: list[int]) -> bytes:
    found = [{"metric": {}, "values": [[START + minute * 60, "1"] for minute in each]} for each in series]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": found}}).encode()


@pytest.mark.parametrize(
    ("series", "minutes"),
    [
        pytest.param([], [], id="none"),
        pytest.param([[10, 11, 12]], [(5, 13)], id="one, from five minutes before"),
        pytest.param([[10, 11], [11, 12, 40]], [(5, 13), (35, 41)], id="two that overlap, and a later one"),
    ],
)
def test_spans(series: list[list[int]], minutes: list[tuple[int, int]]) -> None:
    with answering(200, answer(*series)) as port:
        found = firing(f"http://127.0.0.1:{port}/", "d", SINCE, UNTIL)
    assert [tuple(round((end.timestamp() - START) / 60) for end in span) for span in found] == minutes


def test_what_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(request: Any, timeout: float) -> None:
        asked.append(request.full_url)
        raise OSError(f"refused within {timeout} s")

    monkeypatch.setattr("assay.monitor.firing._open", refuse)
    with pytest.raises(ServiceError, match="http://p does not say which alerts were firing: refused"):
        firing("http://p", "rides", SINCE, datetime(2027, 3, 1, tzinfo=UTC))
    query = {name: value[0] for name, value in parse_qs(urlsplit(asked[0]).query).items()}
    assert query["query"] == 'ALERTS{alertstate="firing",dataset="rides"}'
    assert (int(query["end"]) - int(query["start"])) / int(query["step"]) <= 11_000


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"data": null}', b'{"data": {"result": [{"values": [["x", 1]]}]}}']
)
def test_another_program(body: bytes) -> None:
    with answering(200, body) as port, pytest.raises(ServiceError, match="does not say"):
        firing(f"http://127.0.0.1:{port}", "d", SINCE, UNTIL)
