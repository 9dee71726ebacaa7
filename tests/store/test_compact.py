"""A lake is tidied while others write to it: the rows stay, the files become few."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.store.address import Lake
from assay.store.ducklake import LakeStore
from assay.store.opening import connect
from tests.lakes import Postgres
from tests.store.test_ducklake import insert

pytestmark = pytest.mark.lake


@pytest.fixture
def lake(postgres: Postgres, tmp_path: Path) -> Lake:
    pytest.importorskip("duckdb_extension_ducklake")
    return postgres.lake(str(tmp_path / "files"))


def files(lake: Lake) -> int:
    return sum(1 for each in Path(lake.data).rglob("*.parquet") if each.parent.name == "d")


def test_small_files_become_one_and_the_old_ones_go(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    from assay.store import compact as module

    store = LakeStore(lake, log="one")
    for number in range(4):
        with store.write() as transaction:
            insert(transaction, 1, "a", number)
            transaction.set_mark("m", number)
    assert files(lake) == 4
    # What another process is about to enter.
    (Path(lake.data) / "main/d/ducklake-not-entered-yet.parquet").write_bytes(b"")
    kept = module.compact(lake, history_s=3600)
    assert kept.files >= 4
    assert (kept.into, kept.states, kept.deleted) == (1, 0, 0)
    assert files(lake) == 6
    monkeypatch.setattr(module, "_READ_FOR_S", 0)
    monkeypatch.setattr(module, "_WRITTEN_FOR_S", 0)
    gone = module.compact(lake, history_s=0)
    assert gone.states > 4
    assert gone.deleted >= 5
    assert files(lake) == 1
    with store.write() as transaction:  # whoever writes goes on
        assert transaction.marks() == {"m": 3}
        insert(transaction, 1, "a", 4)
    with connect(lake) as con:
        assert con.execute("SELECT a FROM d ORDER BY a").fetchall() == [(0,), (1,), (2,), (3,), (4,)]
