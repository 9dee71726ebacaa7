"""Several logs, one store: each record once, whichever log it came by, and a log that fails holds up no other."""

import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from assay.contract.document import Contract
from assay.contract.versions import Active
from assay.errors import LogInUse
from assay.ingest.appliers import Appliers
from assay.ingest.apply import Applied, Applier, Books
from assay.ingest.former import Former
from assay.ingest.intake import take
from assay.ingest.keys import LIFETIME_S, Kept, Slot, put_keys
from assay.ingest.log import Log
from assay.ingest.log_reader import Reader
from assay.ingest.logs import log_of
from assay.ingest.validate import Judge
from assay.store.embedded import DuckDBStore

SCHEMA = {"type": "object", "properties": {"id": {"type": "integer"}}}
JUDGE = Judge(Contract.parse(SCHEMA, dataset="d", version=1), Active(1))


class Place:
    """Two logs with an owner each, and what applies them."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "s.log"
        self.store_path = folder / "s.duckdb"
        self.logs = [Log(log_of(self.path, number)) for number in range(2)]
        self.readers: list[Reader] = []
        self.begin()

    def begin(self, *formers: Path) -> None:
        """What applies is started, as after a crash."""
        books = Books()
        store = DuckDBStore(self.store_path)

        def applier(reader: Reader) -> Applier:
            self.readers.append(reader)
            return Applier(store, reader, books=books)

        self.formers = [Former(path, applier, keys_max_bytes=1 << 20) for path in formers]
        self.appliers = Appliers([applier(Reader(log.path)) for log in self.logs], self.formers, books)

    def send(self, log: Log, *ids: object, by: Judge | None = JUDGE) -> None:
        body = "\n".join(json.dumps({"id": each}) for each in ids).encode()
        _, records = take(body, "ndjson", dataset="d", judge=by, source="s", content_type="t", received_us=10**15)
        log.append(records)

    def apply(self, judge_for: Callable[[str], Judge | None] = lambda _: JUDGE) -> Applied:
        while True:
            applied = self.appliers.round(judge_for)
            if not applied.more:
                return applied

    def rows(self, query: str = "SELECT id FROM d ORDER BY id") -> list[Any]:
        with duckdb.connect(str(self.store_path), read_only=True) as con:
            return [row[0] for row in con.execute(query).fetchall()]

    def close(self) -> None:
        for reader in self.readers:
            reader.close()
        for former in self.formers:
            former.close()
        for log in self.logs:
            log.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    place.close()


def test_each_log_is_moved_once_and_what_is_refused_is_counted_over_all(place: Place) -> None:
    first, second = place.logs
    for turn in range(3):
        place.send(first, 10 * turn, "x")
        place.send(second, 10 * turn + 1, "x")
        applied = place.apply()
        assert (applied.through, applied.others) == (first.last_seq(), (second.last_seq(),))
        assert (applied.trouble, applied.gaps) == (None, [])
        assert applied.in_quarantine == 2 * turn + 2
        if turn == 1:
            place.begin()
    assert place.rows() == [0, 1, 10, 11, 20, 21]
    assert place.rows("SELECT count(*) FROM _quarantine") == [6]


def test_a_log_that_has_a_new_owner_goes_on_without_gap_or_double(place: Place) -> None:
    """While what applies goes on: the records after are of an opening that it had not seen."""
    second = place.logs[1]
    place.send(second, 1)
    place.apply()
    for turn in range(2, 5):
        place.send(second, 10 * turn)  # not moved when the owner dies
        second.close()
        second = place.logs[1] = Log(second.path)
        place.send(second, 10 * turn + 1)
        assert place.apply().gaps == []
        second.free(second.last_seq())
    place.begin()
    assert place.apply().gaps == []
    place.send(second, 99)
    place.apply()
    assert place.rows() == [1, 20, 21, 30, 31, 40, 41, 99]
    assert place.rows("SELECT count(*) FROM _gaps") == [0]


def test_a_log_that_cannot_be_read_holds_up_no_other(place: Place, tmp_path: Path) -> None:
    first, second = place.logs
    place.send(first, 1)
    place.send(second, 2)
    with sqlite3.connect(first.path) as con:
        con.execute("ALTER TABLE opening RENAME TO gone")
    con.close()
    applied = place.appliers.round(lambda _: JUDGE)
    assert "no such table" in str(applied.trouble)
    assert (applied.through, applied.others) == (0, (1,))
    assert place.rows() == [2]


def test_a_store_put_in_another_ones_place_gets_all_that_the_logs_still_have(place: Place, tmp_path: Path) -> None:
    first, second = place.logs
    place.send(first, 1)
    place.send(second, 2)
    place.apply()
    place.store_path.unlink()
    place.send(first, 3)
    place.send(second, 4)
    place.apply()
    assert place.rows() == [1, 2, 3, 4]


def test_what_learned_by_any_log_is_moved_when_there_is_a_contract(place: Place) -> None:
    for number, log in enumerate(place.logs):
        place.send(log, number, by=None)
    place.apply(lambda _: None)
    assert place.rows("SELECT count(*) FROM _learning") == [2]
    place.appliers.contracts_changed()
    assert place.apply().waiting is False
    assert place.rows() == [0, 1]
    place.send(place.logs[1], 7, by=None)  # it was judged before the contract was there, and comes late
    place.apply()
    assert place.rows() == [0, 1, 7]


def key(at_us: int) -> Kept:
    return Kept(Slot("d", "s", "k"), b"x", at_us, rejected=False, status=200, answer=b"{}")


@pytest.mark.parametrize("age_s", [None, 60, LIFETIME_S + 60], ids=["no key", "a young key", "an old key"])
def test_a_former_log_is_moved_and_deleted_once_no_key_needs_it(place: Place, age_s: int | None) -> None:
    path = log_of(place.path, 2)
    with Log(path) as log:
        place.send(log, 5, 6)
        if age_s is not None:
            log._con.execute("BEGIN")
            put_keys(log._con, [key(time.time_ns() // 1000 - age_s * 1_000_000)])
            log._con.execute("COMMIT")
    place.begin(path)
    place.send(place.logs[0], 1)
    applied = place.apply()
    assert applied.others == (0, 1)
    assert place.formers[0].is_done
    left = sorted(each.name for each in path.parent.glob("s.log.2*"))
    assert left == (["s.log.2", "s.log.2.lock"] if age_s == 60 else [])
    assert place.apply().others == (0, 1)
    place.begin(*[path][: len(left)])
    place.apply()
    assert place.rows() == [1, 5, 6]


def test_a_former_log_that_somebody_still_owns_is_waited_for(place: Place) -> None:
    path = log_of(place.path, 2)
    with Log(path) as log:
        place.send(log, 5)
        place.begin(path)
        place.send(place.logs[0], 1)
        applied = place.appliers.round(lambda _: JUDGE)
        assert isinstance(applied.trouble, LogInUse)
        assert applied.others[1] < place.formers[0].last_seq()  # so a flush waits
        assert place.rows() == [1]
    assert place.apply().trouble is None
    assert place.rows() == [1, 5]
    assert not path.exists()


def test_a_former_log_that_comes_back_as_a_copy_doubles_nothing(place: Place, tmp_path: Path) -> None:
    path = log_of(place.path, 2)
    with Log(path) as log:
        place.send(log, 5)
    shutil.copy(path, tmp_path / "copy")
    place.begin(path)
    place.apply()
    shutil.copy(tmp_path / "copy", path)
    place.begin(path)
    place.apply()
    assert place.rows() == [5]
