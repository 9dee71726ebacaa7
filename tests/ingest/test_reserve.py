import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from assay.ingest.reserve import Reserve


def room(monkeypatch: pytest.MonkeyPatch, size_bytes: int) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=size_bytes // 4096, f_frsize=4096))


@pytest.mark.parametrize(
    ("mib", "set_aside"),
    [
        pytest.param(1000, 64, id="room enough"),
        pytest.param(100, 50, id="half of what there is"),
        pytest.param(7, None, id="too little to share"),
    ],
)
def test_how_much_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mib: int, set_aside: int | None
) -> None:
    room(monkeypatch, mib << 20)
    reserve = Reserve(tmp_path / "x.log")
    reserve.make()
    assert (reserve.path.stat().st_size >> 20 if reserve.path.exists() else None) == set_aside
    assert not reserve.is_missing


def test_what_was_released_is_missed_until_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = Reserve(tmp_path / "x.log")
    reserve.make()
    assert reserve.release()
    assert not reserve.release()
    assert not reserve.path.exists()
    with monkeypatch.context() as full:
        room(full, 0)
        reserve.make()
    missing = [reserve.is_missing]
    reserve.make()
    missing.append(reserve.is_missing)
    assert missing == [True, False]
    assert reserve.path.exists()


def test_one_that_is_left_from_before_is_kept_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Reserve(tmp_path / "x.log").make()
    room(monkeypatch, 0)
    reserve = Reserve(tmp_path / "x.log")
    reserve.make()
    assert reserve.path.stat().st_size == 64 << 20
