"""Empty the log, delete it, swap the store, restore an old one: nothing is skipped in silence, nothing doubled."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.errors import StoreFailed, StoreLocked
from assay.ingest.apply import Applied, Applier, Gap
from assay.ingest.intake import take
from assay.ingest.keys import Kept, Slot, digest_of
from assay.ingest.log import Log
from assay.ingest.log_reader import Reader
from assay.ingest.validate import Judge
from assay.ingest.work import judge_learned
from assay.store.address import Lake
from assay.store.embedded import DuckDBStore
from tests.ingest.conftest import MakeLog
from tests.lakes import Where, needs_a_file, opened, store_of


def judge(*fields: str, version: int = 1, **schemas: Any) -> Judge:
    properties = {name: {"type": "integer"} for name in fields} | schemas
    schema = {"type": "object", "properties": properties}
    return Judge(Contract.parse(schema, dataset="d", version=version), Active(version))


JUDGE = judge("id")


class Place:
    """A log and a store in a folder, and what apply does between them."""

    def __init__(self, folder: Path, where: Where, make_log: MakeLog = Log) -> None:
        self.folder = folder
        self._make_log = make_log
        self.where = where
        file = where if isinstance(where, Path) else where.file
        assert file is not None
        self.store_path = file
        self.log_path = folder / "s.log"
        self.open()

    def open(self) -> None:
        self.log = self._make_log(self.log_path)
        self.reader = Reader(self.log_path)
        self.store = store_of(self.where, self.reader.id)
        self.applier = Applier(self.store, self.reader)

    def close(self) -> None:
        self.store.close()
        self.reader.close()
        self.log.close()

    def reopen(self) -> None:
        self.close()
        self.open()

    def send(self, *events: Any, by: Judge | None = JUDGE, dataset: str = "d", key: bytes = b"") -> None:
        body = "\n".join(json.dumps(event) for event in events).encode()
        _, records = take(
            body, "ndjson", dataset=dataset, judge=by, source="s", content_type="t", received_us=1_700_000_000_123_456
        )
        self.log.append([replace(record, key=key) for record in records])

    def apply(self, by: Judge | None = JUDGE, *, free: bool = True) -> Applied:
        total = Applied()
        while True:
            applied = self.applier.round(lambda _: by)
            total.gaps += applied.gaps
            for name, count in applied.not_storable.items():
                total.not_storable[name] = total.not_storable.get(name, 0) + count
            if free:
                self.log.free(applied.through)
            if not applied.more and applied.through >= self.log.last_seq():
                total.through, total.in_quarantine = applied.through, applied.in_quarantine
                return total

    def rows(self, query: str = "SELECT id FROM d ORDER BY id") -> list[Any]:
        with opened(self.where) as con:
            return [row[0] if len(row) == 1 else row for row in con.execute(query).fetchall()]

    def keep(self, what: Path, as_: str) -> None:
        for suffix in ("", "-wal", "-shm", ".wal"):
            source = what.with_name(what.name + suffix)
            if source.exists():
                shutil.copy(source, self.folder / (as_ + suffix))

    def restore(self, what: Path, from_: str) -> None:
        for suffix in ("", "-wal", "-shm", ".wal"):
            what.with_name(what.name + suffix).unlink(missing_ok=True)
            source = self.folder / (from_ + suffix)
            if source.exists():
                shutil.copy(source, what.with_name(what.name + suffix))


@pytest.fixture
def place(tmp_path: Path, where_fast: Where, make_log: MakeLog) -> Iterator[Place]:
    place = Place(tmp_path, where_fast, make_log)
    yield place
    place.close()


@pytest.fixture
def on_file(tmp_path: Path, where_fast: Where) -> Iterator[Place]:
    """For what befalls the file that is a log: a stream makes its copy whole again."""
    place = Place(tmp_path, where_fast)
    yield place
    place.close()


def test_each_event_once_over_many_rounds_and_restarts(place: Place) -> None:
    for start in range(0, 30, 3):
        place.send({"id": start}, {"id": start + 1}, {"id": start + 2})
        if start % 2:
            place.apply(free=start % 4 == 1)
        if start % 5 == 0:
            place.reopen()
    assert place.apply().gaps == []
    assert place.rows() == list(range(30))


def test_a_crash_between_the_store_and_the_freeing_doubles_nothing(place: Place) -> None:
    place.send({"id": 1}, {"id": 2})
    place.apply(free=False)
    place.reopen()
    assert place.apply().gaps == []
    assert place.rows() == [1, 2]
    assert place.log.is_empty()


def test_an_emptied_log_is_reported_and_the_next_events_are_not_skipped(on_file: Place) -> None:
    on_file.send({"id": 1})
    on_file.apply()
    on_file.send({"id": 2})
    on_file.send({"id": 3})
    on_file.close()
    with sqlite3.connect(on_file.log_path) as con:
        con.execute("DELETE FROM record")
    con.close()
    on_file.open()
    on_file.send({"id": 4})
    assert on_file.apply().gaps == [Gap(2, 3)]
    assert on_file.rows() == [1, 4]
    assert on_file.rows("SELECT first, last FROM _gaps") == [(2, 3)]
    assert on_file.apply().gaps == []


def test_an_emptied_log_is_reported_even_when_nothing_follows(on_file: Place) -> None:
    on_file.send({"id": 1})
    on_file.send({"id": 2})
    on_file.close()
    with sqlite3.connect(on_file.log_path) as con:
        con.execute("DELETE FROM record")
    con.close()
    on_file.open()
    assert on_file.apply().gaps == [Gap(1, 2)]


def test_a_record_taken_out_of_the_middle_is_reported(on_file: Place) -> None:
    for number in range(1, 5):
        on_file.send({"id": number})
    with sqlite3.connect(on_file.log_path) as con:
        con.execute("DELETE FROM record WHERE seq = 2")
    con.close()
    assert on_file.apply().gaps == [Gap(2, 2)]
    assert on_file.rows() == [1, 3, 4]


def test_a_deleted_log_begins_anew_beside_what_the_store_has(on_file: Place) -> None:
    on_file.send({"id": 1})
    on_file.apply()
    on_file.close()
    for file in on_file.folder.glob("s.log*"):
        file.unlink()
    on_file.open()
    on_file.send({"id": 2})
    assert on_file.apply().gaps == []
    assert on_file.rows() == [1, 2]


def test_another_store_is_told_what_it_lacks(place: Place) -> None:
    place.send({"id": 1})
    place.send({"id": 2})
    place.apply()
    place.close()
    place.store_path.unlink()
    place.open()
    place.send({"id": 3})
    assert place.apply().gaps == [Gap(1, 2)]
    assert place.rows() == [3]
    place.reopen()
    assert place.apply().gaps == []


def test_a_store_swapped_while_the_service_runs_is_noticed(place: Place) -> None:
    place.send({"id": 1})
    place.apply()
    place.store_path.unlink()
    place.send({"id": 2})
    assert place.apply().gaps == [Gap(1, 1)]
    assert place.rows() == [2]


def test_a_restored_old_store_is_told_what_it_lacks(place: Place) -> None:
    place.send({"id": 1})
    place.apply()
    place.keep(place.store_path, "backup")
    place.send({"id": 2})
    place.send({"id": 3})
    place.apply()
    place.close()
    place.restore(place.store_path, "backup")
    place.open()
    place.send({"id": 4})
    assert place.apply().gaps == [Gap(2, 3)]
    assert place.rows() == [1, 4]


def test_a_restored_old_store_gets_what_the_log_still_has(place: Place) -> None:
    place.send({"id": 1})
    place.apply()
    place.keep(place.store_path, "backup")
    place.send({"id": 2})
    place.apply(free=False)
    place.close()
    place.restore(place.store_path, "backup")
    place.open()
    assert place.apply().gaps == []
    assert place.rows() == [1, 2]


def test_a_restored_old_log_doubles_nothing_and_skips_nothing_new(on_file: Place) -> None:
    on_file.send({"id": 1})
    on_file.close()
    on_file.keep(on_file.log_path, "old")
    on_file.open()
    on_file.send({"id": 2})
    on_file.send({"id": 3})
    on_file.apply()
    on_file.close()
    on_file.restore(on_file.log_path, "old")
    on_file.open()
    # Numbered 2, 3 and 4 by the old log; the store has seen 2 and 3 of the same identity.
    for number in (4, 5, 6):
        on_file.send({"id": number})
    assert on_file.apply().gaps == []
    assert on_file.rows() == [1, 2, 3, 4, 5, 6]
    on_file.reopen()
    on_file.send({"id": 7})
    assert on_file.apply().gaps == []
    assert on_file.rows() == [1, 2, 3, 4, 5, 6, 7]


def test_a_restored_old_log_that_was_reopened_while_the_store_was_held(on_file: Place) -> None:
    on_file.send({"id": 1})
    on_file.close()
    on_file.keep(on_file.log_path, "old")
    on_file.open()
    on_file.send({"id": 2})
    on_file.send({"id": 3})
    on_file.apply()
    on_file.close()
    on_file.restore(on_file.log_path, "old")
    on_file.open()
    on_file.send({"id": 4})
    on_file.reopen()  # it never got to the store
    on_file.send({"id": 5})
    on_file.apply()
    assert on_file.rows() == [1, 2, 3, 4, 5]


def test_what_the_store_refuses_goes_to_quarantine_and_stops_nothing(place: Place) -> None:
    place.send({"id": 1})
    place.apply()
    needs_a_file(place.where)
    with opened(place.where) as con:
        con.execute("CREATE UNIQUE INDEX one ON d (id)")
    place.send({"id": 2}, {"id": 1}, {"id": 3})
    place.send({"id": 3})
    place.send({"id": 4})
    applied = place.apply()
    assert place.rows() == [1, 2, 3, 4]
    assert applied.not_storable == {"d": 2}
    kept = place.rows("SELECT body FROM _quarantine ORDER BY received_at, body")
    assert [json.loads(body) for body in kept] == [{"id": 1}, {"id": 3}]
    assert {json.loads(each)[0]["type"] for each in place.rows("SELECT violations FROM _quarantine")} == {
        "not_storable"
    }


def test_a_whole_batch_that_is_refused_is_kept(place: Place) -> None:
    place.send({"id": 1})
    place.apply()
    with opened(place.where) as con:
        con.execute("DROP TABLE d")
        con.execute("CREATE VIEW d AS SELECT 1 AS id")
    place.send(*({"id": number} for number in range(300)))
    place.apply()
    assert place.rows("SELECT count(*) FROM _quarantine") == [300]


def test_rejects_are_kept_byte_for_byte(place: Place) -> None:
    place.send({"id": "no"}, {"id": 1}, [1, 2])
    place.apply()
    assert place.rows("SELECT body FROM _quarantine ORDER BY body") == [b"[1, 2]", b'{"id": "no"}']
    assert place.rows() == [1]


def test_a_held_store_loses_nothing(place: Place) -> None:
    needs_a_file(place.where)
    place.send({"id": 1})
    place.apply()
    place.send({"id": 2})
    code = "import duckdb, sys; con = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.read(1); con.close()"
    import subprocess
    import sys

    with subprocess.Popen(
        [sys.executable, "-c", code, str(place.store_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StoreLocked) as error:
            place.apply()
        assert str(holder.pid) in str(error.value)
        holder.communicate(b"x")
    place.apply()
    assert place.rows() == [1, 2]


def test_a_damaged_store_is_named(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreFailed, match=r"s\.duckdb"), DuckDBStore(path).write():
        pass
    assert path.read_bytes() == b"no database" * 1000


def test_a_new_version_adds_columns_before_its_first_record(place: Place) -> None:
    place.send({"id": 1})
    second = judge("id", "more", version=2)
    place.send({"id": 2, "more": 5}, by=second)
    place.send({"id": 3})
    place.apply(second)
    assert place.rows("SELECT id, more, _contract FROM d ORDER BY id") == [(1, None, 1), (2, 5, 2), (3, None, 1)]


def test_events_that_learned_are_judged_and_moved_once(place: Place) -> None:
    place.send({"id": 1}, {"id": "x"}, by=None)
    place.apply(None)
    assert place.rows("SELECT body FROM _learning") == ['{"id": 1}', '{"id": "x"}']
    place.applier.contracts_changed()
    place.send({"id": 2}, by=None)  # judged as learning, applied when the contract is there
    place.send({"id": 3})
    place.apply(JUDGE)
    place.apply(JUDGE)
    assert place.rows() == [1, 2, 3]
    assert place.rows("SELECT body FROM _quarantine") == [b'{"id": "x"}']
    assert place.rows("SELECT count(*) FROM _learning") == [0]
    assert place.rows("SELECT DISTINCT epoch_us(_collected_at) FROM d") == [1_700_000_000_123_456]


def test_learned_events_that_the_store_refuses_stop_nothing(place: Place) -> None:
    place.send({"id": 1})
    place.apply()
    needs_a_file(place.where)
    with opened(place.where) as con:
        con.execute("CREATE UNIQUE INDEX one ON d (id)")
    place.send({"id": 1}, {"id": 2}, by=None)
    place.apply(JUDGE)
    assert place.rows() == [1, 2]
    assert place.rows("SELECT body FROM _quarantine") == [b'{"id": 1}']


def test_many_learned_events_move_over_several_rounds(place: Place) -> None:
    place.send(*({"id": number} for number in range(12_000)), by=None)
    place.apply(None)
    place.applier.contracts_changed()
    place.apply(JUDGE)
    assert place.rows("SELECT count(*), count(DISTINCT id) FROM d") == [(12_000, 12_000)]


def test_what_others_take_out_of_the_learned_events_meanwhile_stays_out(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.send(*({"id": number} for number in range(5)), by=None)
    place.apply(None)
    place.applier.contracts_changed()

    def meanwhile(*given: Any) -> None:
        """Nobody holds the store while events are judged."""
        monkeypatch.undo()
        with opened(place.where) as con:
            con.execute("DELETE FROM _learning WHERE body = '{\"id\": 3}'")
        judge_learned(*given)

    monkeypatch.setattr("assay.ingest.apply.judge_learned", meanwhile)
    place.apply(JUDGE)
    place.apply(JUDGE)
    assert place.rows() == [0, 1, 2, 4]
    assert place.rows("SELECT count(*) FROM _learning") == [0]


def test_a_store_that_is_swapped_meanwhile_gets_what_is_its_own(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    needs_a_file(place.where)
    place.send({"id": 1}, by=None)
    place.apply(None)
    place.applier.contracts_changed()

    def meanwhile(*given: Any) -> None:
        monkeypatch.undo()
        place.store_path.unlink()
        judge_learned(*given)

    monkeypatch.setattr("assay.ingest.apply.judge_learned", meanwhile)
    total = place.apply(JUDGE)
    place.send({"id": 2})
    place.apply(JUDGE)
    assert place.rows() == [2]
    assert total.gaps == [Gap(1, 1)]


def test_flagged_events_are_stored_with_their_violations(place: Place) -> None:
    observing = Judge(JUDGE.contract, Active(1, "observe"))
    place.send({"id": "x", "y": 1}, {"id": 5}, by=observing)
    place.apply()
    rows = place.rows("SELECT id, _violations, _extra FROM d ORDER BY id NULLS LAST")
    assert rows[0] == (5, None, None)
    assert rows[1][0] is None
    assert json.loads(rows[1][1])[0]["type"] == "int_type"
    assert json.loads(rows[1][2]) == {"id": "x", "y": 1}


@pytest.mark.lake
def test_a_retry_that_met_another_collector_is_dropped_and_the_rest_is_not(tmp_path: Path) -> None:
    pytest.importorskip("duckdb_extension_ducklake")
    where = Lake.parse("ducklake:sqlite:lake.sqlite", root=tmp_path)
    kept = Kept(Slot("d", "s", "k"), digest_of(b"body"), 0, rejected=False, status=200, answer=b"")
    one, other = Place(tmp_path / "one", where), Place(tmp_path / "other", where)
    try:
        for number, place in enumerate((one, other)):
            place.send({"id": number})
            place.send({"id": 7}, {"id": "x"}, key=kept.stamp)
            place.send({"id": 10 + number})
            place.apply()
        assert other.rows() == [0, 1, 7, 10, 11]
        assert other.rows("SELECT count(*) FROM _quarantine") == [1]
    finally:
        one.close()
        other.close()
