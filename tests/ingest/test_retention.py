"""Refused events leave the quarantine: too old, or too many, the oldest first and a few at a time."""

from pathlib import Path

import pytest

from assay.ingest.apply import Applier, Retention
from tests.ingest.test_apply import JUDGE, Place

RECEIVED_S = 1_700_000_000.123456


class Clock:
    def __init__(self) -> None:
        self.now = RECEIVED_S

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def place_with(folder: Path, clock: Clock, retention: Retention) -> Place:
    place = Place(folder, folder / "s.duckdb")
    place.applier = Applier(place.applier._store, place.reader, retention=retention, clock=clock)
    return place


def kept(place: Place) -> int:
    (count,) = place.rows("SELECT count(*) FROM _quarantine")
    return int(count)


def test_by_age_when_it_is_time_to_look(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assay.ingest.apply._EXPIRED_AT_ONCE", 2)
    place = place_with(tmp_path, clock, Retention(max_age_s=3600))
    place.send(*({"id": "x"} for _ in range(5)))
    place.apply()
    assert kept(place) == 5
    clock.now += 3500
    assert place.applier.round(lambda _: JUDGE).expired == {}
    clock.now += 200
    applied = place.applier.round(lambda _: JUDGE)
    assert (applied.expired, applied.in_quarantine, applied.more) == ({"d": 2}, 3, True)
    assert [place.applier.round().expired.get("d", 0) for _ in range(3)] == [2, 1, 0]
    assert kept(place) == 0
    place.close()


def test_by_size_at_once(tmp_path: Path, clock: Clock) -> None:
    place = place_with(tmp_path, clock, Retention(max_bytes=3_000))
    for _ in range(30):
        place.send({"id": "x" * 100})
    place.apply()
    place.apply()
    (size,) = place.rows("SELECT sum(octet_length(body) + strlen(CAST(violations AS VARCHAR))) FROM _quarantine")
    assert 2_500 < size <= 3_000
    place.close()


def test_without_bounds_nothing_goes(tmp_path: Path, clock: Clock) -> None:
    place = place_with(tmp_path, clock, Retention())
    place.send({"id": "x"})
    place.apply()
    clock.now += 1e9
    assert place.applier.round().expired == {}
    assert kept(place) == 1
    place.close()
