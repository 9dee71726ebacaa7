"""Refused events are judged again: those that pass are in their table once, the others stay, and it comes to an end."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from assay.contract.document import Contract
from assay.contract.versions import Active, Versions
from assay.errors import StoreLocked, UsageError
from assay.ingest import replay as module
from assay.ingest.again import judge_again
from assay.ingest.apply import Applier
from assay.ingest.cloudevents import open_batch
from assay.ingest.enveloped import take_cloudevents
from assay.ingest.intake import Form, take
from assay.ingest.keys import KeyReader
from assay.ingest.log import Log
from assay.ingest.log_reader import Reader
from assay.ingest.replay import Portion, Replayed, Replayer
from assay.ingest.validate import Judge
from tests.conftest import held
from tests.lakes import Where, needs_a_file, opened, store_of

RECEIVED_US = 1_700_000_000_123_456
NARROW = {"id": {"type": "integer", "maximum": 0}, "t": {"type": "string"}}
WIDE = {"id": {"type": "integer", "maximum": 1_000_000}, "t": {"type": "string"}}


class Place:
    """A log, a store, and two versions of a contract: the first refuses what the second takes."""

    def __init__(self, folder: Path, where: Where) -> None:
        self.where = where
        self.store = store_of(where)
        self.log = Log(folder / "s.log")
        self.reader = Reader(folder / "s.log")
        self.applier = Applier(self.store, self.reader)
        self.versions = Versions(folder / "contracts")
        for properties in (NARROW, WIDE):
            self.versions.add(Contract.parse({"type": "object", "properties": properties}, dataset="d"))
        self.judge = Judge(self.versions.load("d", 1), Active(1))
        self.keys = KeyReader(folder / "s.log")
        self.replayer = Replayer(self.store, self.versions, log=folder / "s.log")

    def close(self) -> None:
        self.store.close()
        self.replayer.close()
        self.keys.close()
        self.reader.close()
        self.log.close()

    def send(self, body: bytes, form: Form = "json", *, kind: str = "application/json", source: str = "s") -> None:
        _, records = take(
            body, form, dataset="d", judge=self.judge, source=source, content_type=kind, received_us=RECEIVED_US
        )
        self.log.append(records)
        self.apply()

    def cloudevents(self, *envelopes: dict[str, Any]) -> None:
        body = json.dumps(envelopes).encode()
        taken = take_cloudevents(
            open_batch(body),
            body,
            dataset="d",
            judge=self.judge,
            source="s",
            content_type="application/cloudevents-batch+json",
            received_us=int(datetime.now(UTC).timestamp() * 1e6),
            atomic=False,
            keep_unknown=True,
            remembered=lambda slot: self.keys.get(slot, int(datetime.now(UTC).timestamp() * 1e6)),
        )
        self.log.append(taken.records, keys=taken.keys)
        self.apply()

    def apply(self) -> None:
        while self.applier.round(lambda _: self.judge).more:
            pass

    def replay(self, portion: Portion | None = None) -> Replayed:
        """All of it."""
        portion = portion or Portion("d", 2)
        total = Replayed()
        while True:
            done = self.replayer.replay(portion)
            total.add(done)
            total.in_quarantine = done.in_quarantine
            if not done.more:
                return total
            portion = portion.next(done)

    def rows(self, query: str = "SELECT id FROM d ORDER BY id") -> list[Any]:
        with opened(self.where) as con:
            return [row[0] if len(row) == 1 else row for row in con.execute(query).fetchall()]

    def waiting(self) -> list[Any]:
        return self.rows("SELECT body FROM _quarantine WHERE replayed_at IS NULL ORDER BY body")


@pytest.fixture
def place(tmp_path: Path, where_fast: Where) -> Iterator[Place]:
    place = Place(tmp_path, where_fast)
    yield place
    place.close()


def test_those_that_pass_are_in_their_table_once_and_the_others_stay(place: Place) -> None:
    place.send(
        b'[{"id": 1, "new": [1, {"x": null}]}, {"id": -1}, {"id": 2}, {"id": "x"}, {"id": 2000000}]', source="till"
    )
    done = place.replay()
    assert (done.accepted.events, done.refused.events, done.in_quarantine) == (2, 2, 2)
    rows = place.rows("SELECT id, epoch_us(_collected_at), _source, _contract, _violations, _extra FROM d ORDER BY id")
    assert rows == [
        (-1, RECEIVED_US, "till", 1, None, None),
        (1, RECEIVED_US, "till", 2, None, '{"new":[1,{"x":null}]}'),
        (2, RECEIVED_US, "till", 2, None, None),
    ]
    assert place.waiting() == [b'{"id": "x"}', b'{"id": 2000000}']
    (marked,) = place.rows("SELECT count(*) FROM _quarantine WHERE replayed_at > now() - INTERVAL 1 HOUR")
    assert marked == 2
    # Again, and nothing is new: what is refused stays as it was, and nothing is put into quarantine.
    again = place.replay()
    assert (again.accepted.events, again.refused.events) == (0, 2)
    assert place.rows() == [-1, 1, 2]
    assert place.rows("SELECT count(*) FROM _quarantine") == [4]


def test_what_it_says(place: Place) -> None:
    place.send(b'[{"id": 1}, {"id": 2, "t": 5}]', source="a")
    place.send(b'{"id": 3}', source="b")
    document = place.replay(Portion("d", 2, dry=True)).to_document(Portion("d", 2, dry=True))
    sample = document["accepts"].pop("sample")
    assert [(each["source"], each["body"]) for each in sample] == [("a", '{"id": 1}'), ("b", '{"id": 3}')]
    assert sample[0]["errors"][0]["loc"] == ["id"]
    assert len(document["refuses"].pop("sample")) == 1
    reason = "Input should be less than or equal to 0"
    assert document == {
        "dataset": "d",
        "contract": 2,
        "mode": "enforce",
        "dry_run": True,
        "accepted": 2,
        "flagged": 0,
        "refused": 1,
        "accepts": {
            "events": 2,
            "reasons": [{"field": "id", "type": "less_than_equal", "events": 2, "msg": reason}],
            "sources": {"a": 1, "b": 1},
        },
        "refuses": {
            "events": 1,
            "reasons": [{"field": "t", "type": "string_type", "events": 1, "msg": "Input should be a valid string"}],
            "sources": {"a": 1},
        },
    }
    assert "d" not in place.rows("SELECT table_name FROM duckdb_tables()")  # nothing was moved
    assert len(place.waiting()) == 3


@pytest.mark.parametrize("at_once", [1, 3, 5_000])
def test_portion_by_portion(place: Place, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    place.send(json.dumps([{"id": number if number % 3 else "x"} for number in range(1, 11)]).encode())
    done = place.replay()
    assert (done.accepted.events, done.refused.events) == (7, 3)
    assert place.rows() == [1, 2, 4, 5, 7, 8, 10]
    assert len(place.waiting()) == 3


def test_a_portion_is_bounded_by_its_bytes_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE_BYTES", 100)
    place.send(json.dumps([{"id": number, "t": "x" * 60} for number in range(1, 4)]).encode())
    portion = Portion("d", 2)
    done = place.replayer.replay(portion)
    assert (done.accepted.events, done.more) == (1, True)
    assert place.replay(portion.next(done)).accepted.events == 2


def test_it_ends_at_what_was_there_when_it_began(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 1)
    place.send(b'[{"id": 1}, {"id": 2}]')
    portion = Portion("d", 2)
    first = place.replayer.replay(portion)
    place.send(b'{"id": 3}')  # refused while it goes on
    assert place.replay(portion.next(first)).accepted.events == 1
    assert place.rows() == [1, 2]
    assert place.replay().accepted.events == 1


@pytest.mark.parametrize(
    ("active", "accepted", "flagged"),
    [
        pytest.param(Portion("d", 2), 0, 0, id="enforced"),
        pytest.param(Portion("d", 2, "observe"), 1, 1, id="observed"),
        pytest.param(Portion("d", 2, "enforce", {"t": "observe"}), 1, 1, id="that field is observed"),
        pytest.param(Portion("d", 2, "enforce", {"id": "observe"}), 0, 0, id="another field is observed"),
    ],
)
def test_modes(place: Place, active: Portion, accepted: int, flagged: int) -> None:
    place.send(b'{"id": 1, "t": 5}')
    done = place.replay(active)
    assert (done.accepted.events, done.flagged) == (accepted, flagged)
    if accepted:
        ((violations, extra),) = place.rows("SELECT _violations, _extra FROM d")
        assert json.loads(violations)[0]["loc"] == ["t"]
        assert json.loads(extra) == {"t": 5}


def test_a_body_that_is_no_event_stays(place: Place) -> None:
    place.send(b"{")
    place.send(b"[5]")
    place.send(b'{"id": 1}\n{"id"', "ndjson", kind="application/x-ndjson")
    done = place.replay(Portion("d", 2, "observe"))
    assert (done.accepted.events, done.refused.events) == (1, 3)
    assert place.rows() == [1]


def test_arrow_rows(place: Place) -> None:
    moment = pa.array([datetime(2026, 7, 1, tzinfo=UTC)] * 3, pa.timestamp("us", tz="UTC"))
    table = pa.table({"id": pa.array([1, 2, None], pa.int32()), "t": ["a", None, "c"], "at": moment})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    place.send(sink.getvalue().to_pybytes(), "arrow", kind="application/vnd.apache.arrow.stream; x=y")
    place.send(b"nothing of the kind", "arrow", kind="application/vnd.apache.arrow.stream")
    done = place.replay()
    assert (done.accepted.events, done.refused.events) == (2, 1)
    rows = place.rows("SELECT id, t, _extra FROM d ORDER BY id")
    extra = '{"at":"2026-07-01T00:00:00Z"}'
    assert rows == [(1, "a", extra), (2, None, extra), (None, "c", extra)]


# ---- CloudEvents


def envelope(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "source": "/s", "specversion": "1.0", "type": "t", **more}


def test_cloudevents_keep_their_attributes(place: Place) -> None:
    packed = base64.b64encode(b'{"id": 2}').decode()
    place.cloudevents(envelope("a", data={"id": 1}, subject="x"), envelope("b", data_base64=packed))
    assert place.replay().accepted.events == 2
    rows = place.rows("SELECT id, _extra->>'$.cloudevent.id', _extra->>'$.cloudevent.subject' FROM d ORDER BY id")
    assert rows == [(1, "a", "x"), (2, "b", None)]


def test_what_was_wrong_with_an_envelope_no_contract_mends(place: Place) -> None:
    place.cloudevents({"id": "a", "data": {"id": 1}})
    done = place.replay(Portion("d", 2, "observe"))
    assert (done.accepted.events, done.refused.events) == (0, 1)
    assert list(done.refused.reasons) == [""]


def test_a_cloudevent_that_was_sent_again_is_not_stored_beside_what_took_its_place(place: Place) -> None:
    place.cloudevents(envelope("a", data={"id": 1}))
    place.cloudevents(envelope("a", data={"id": 2}))  # refused, too: judged anew
    place.cloudevents(envelope("b", data={"id": 3}))
    place.cloudevents(envelope("b", data={"id": -3}))  # mended by its sender
    done = place.replay()
    assert (done.accepted.events, done.refused.events) == (1, 2)
    assert place.rows() == [-3, 2]


# ---- what is in the way


def test_what_the_store_refuses_stays(place: Place) -> None:
    place.send(b'[{"id": -1}, {"id": 1}, {"id": 2}, {"id": 3}]')
    needs_a_file(place.where)
    with opened(place.where) as con:
        con.execute("CREATE UNIQUE INDEX once ON d (id)")
        con.execute("INSERT INTO d (id) VALUES (2)")
    dry = place.replay(Portion("d", 2, dry=True))
    done = place.replay()
    assert dry.to_document(Portion("d", 2)) == done.to_document(Portion("d", 2))
    assert (done.accepted.events, list(done.refused.reasons[""])) == (2, ["not_storable"])
    assert place.rows() == [-1, 1, 2, 3]
    assert place.waiting() == [b'{"id": 2}']
    with opened(place.where) as con:
        con.execute("DELETE FROM d WHERE id = 2")
    assert place.replay().accepted.events == 1


def test_another_program_has_replayed_some_meanwhile(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.send(b'[{"id": 1}, {"id": 2}]')
    others: list[duckdb.DuckDBPyConnection] = []

    def slowly(*arguments: Any) -> Any:
        if not others:
            others.append(opened(place.where))
            others[0].execute("UPDATE _quarantine SET replayed_at = now() WHERE body = '{\"id\": 1}'::BLOB")
            others[0].close()
        return judge_again(*arguments)

    monkeypatch.setattr(module, "judge_again", slowly)
    assert place.replay().accepted.events == 1
    assert place.rows() == [2]


def test_a_held_store_is_said_and_nothing_is_lost(place: Place) -> None:
    place.send(b'{"id": 1}')
    needs_a_file(place.where)
    with held(Path(place.store.name)), pytest.raises(StoreLocked):
        place.replay()
    assert place.replay().accepted.events == 1


def test_a_version_that_is_not_there(place: Place) -> None:
    with pytest.raises(UsageError):
        place.replay(Portion("d", 3))


def test_nothing_to_replay(place: Place) -> None:
    assert place.replay().accepted.events == 0


def test_names_that_clients_chose_are_bounded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_KINDS", 3)
    for number in range(6):
        place.send(b'{"id": 1}', source=f"s{number}")
    sources = place.replay().accepted.sources
    assert sources == {"s0": 1, "s1": 1, "s2": 1, "_other": 3}
