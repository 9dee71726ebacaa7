"""Folders of two machines that follow one lake: what is done at one is so at the other, in one order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from assay.contract.document import Contract
from assay.contract.history import EDITED, history
from assay.contract.history import activate as activate_in_folder
from assay.contract.versions import Active, Versions
from assay.errors import StoreUnreachable, UnknownDataset, UsageError
from assay.store.address import Lake
from assay.store.compact import compact
from assay.store.mirror import Mirror
from assay.store.opening import connect
from tests.lakes import Where, where_is

pytestmark = pytest.mark.lake


def contract(most: int) -> Contract:
    document: dict[str, Any] = {"type": "object", "properties": {"x": {"type": "integer", "maximum": most}}}
    return Contract.parse(document, dataset="d")


class Machine:
    """A folder of contracts, and what has it follow the lake."""

    def __init__(self, lake: Lake, root: Path) -> None:
        self.lake = lake
        self.versions = Versions(root)
        self.told: list[str] = []
        self.mirror = Mirror(lake, self.versions, tell=self.told.append)

    def start_again(self) -> None:
        self.mirror.close()
        self.mirror = Mirror(self.lake, self.versions, tell=self.told.append)
        self.mirror.look()

    def put(self, number: int) -> None:
        self.mirror.activate("d", Active(number), by="ada", how="assay activate")

    @property
    def in_force(self) -> Active | None:
        return self.versions.active("d")

    @property
    def past(self) -> list[tuple[str | None, str, int]]:
        return [(each.by, each.how, each.active.contract) for each in history(self.versions, "d")]

    def files(self) -> dict[str, bytes]:
        folder = self.versions.root / "d"
        return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


@pytest.fixture(params=["sqlite", "postgres"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Where:
    return where_is(request.param, request, tmp_path)


@pytest.fixture
def pair(lake: Lake, tmp_path: Path) -> Iterator[tuple[Machine, Machine]]:
    pair = Machine(lake, tmp_path / "one"), Machine(lake, tmp_path / "other")
    yield pair
    for each in pair:
        each.mirror.close()


def test_what_is_added_and_activated_at_one_is_at_the_other(pair: tuple[Machine, Machine]) -> None:
    one, other = pair
    added = one.mirror.add(contract(1), b'{"evidence": "\xc3\xa4"}')
    assert (added.version, one.versions.numbers("d"), one.in_force) == (1, [1], None)
    other.mirror.look()
    assert other.files() == one.files()
    other.mirror.activate("d", Active(1, "observe", {"x": "enforce"}), by=None, how="POST /activate")
    one.mirror.look()
    assert one.in_force == Active(1, "observe", {"x": "enforce"})
    assert one.files() == other.files()
    assert one.files().keys() == {"1.schema.json", "1.profile.json", "active.json", "history.ndjson"}
    assert one.past == [(None, "POST /activate", 1)]
    assert one.told == other.told == []


def test_numbers_are_given_once_and_the_order_is_one(pair: tuple[Machine, Machine]) -> None:
    pair[0].mirror.add(contract(0))
    failures: list[BaseException] = []

    def work(machine: Machine, begin: int) -> None:
        try:
            for i in range(4):
                added = machine.mirror.add(contract(begin + i))
                assert added.version is not None
                machine.put(added.version)
        except BaseException as failure:  # noqa: BLE001  for the thread that asserts
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(machine, 10 * i)) for i, machine in enumerate(pair, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    for each in pair:
        each.mirror.look()
    one, other = pair
    assert one.files() == other.files()
    assert one.versions.numbers("d") == list(range(1, 10))
    bounds = [one.versions.load("d", number).schema["properties"]["x"]["maximum"] for number in range(2, 10)]
    assert sorted(bounds) == [10, 11, 12, 13, 20, 21, 22, 23]
    assert len(one.past) == 8
    assert one.in_force == Active(one.past[-1][2])
    assert one.told == other.told == []


def test_a_folder_that_the_lake_knows_nothing_of_is_brought_in(pair: tuple[Machine, Machine]) -> None:
    one, other = pair
    for most in (1, 2, 3):
        one.versions.add(contract(most), b"{}" if most == 2 else None)
    (one.versions.root / "d" / "4.schema.json").write_text("no contract")
    for number in (1, 2):
        activate_in_folder(one.versions, "d", Active(number), by="ada", how="assay activate")
    before = one.files()
    one.mirror.look()
    assert one.files() == before
    other.mirror.look()
    assert other.files() == {name: data for name, data in before.items() if name != "4.schema.json"}
    assert other.past == [("ada", "assay activate", 1), ("ada", "assay activate", 2)]


def test_a_version_is_added_to_what_the_folder_had(pair: tuple[Machine, Machine]) -> None:
    one, other = pair
    one.versions.add(contract(1))
    activate_in_folder(one.versions, "d", Active(1), by="ada", how="assay activate")
    assert one.mirror.add(contract(2)).version == 2
    other.mirror.look()
    assert other.versions.numbers("d") == [1, 2]
    assert other.past == one.past == [("ada", "assay activate", 1)]


def test_at_the_start_the_lake_wins_and_what_was_here_is_kept(pair: tuple[Machine, Machine]) -> None:
    one, other = pair
    one.mirror.add(contract(1))
    one.put(1)
    other.versions.add(contract(100))
    other.versions.add(contract(200))
    activate_in_folder(other.versions, "d", Active(2), by="bob", how="assay activate")
    own = other.files()
    other.mirror.look()
    assert other.in_force == Active(1)
    assert other.versions.load("d", 1) == one.versions.load("d", 1)
    assert other.past == [("ada", "assay activate", 1)]
    kept = {name: data for name, data in other.files().items() if name.count(".") == 3 or "ndjson." in name}
    assert sorted(kept.values()) == sorted([own["1.schema.json"], own["history.ndjson"]])
    assert len(other.told) == 3
    assert "version 2 (enforce) gives way to what the lake says: 1" in " ".join(other.told)
    assert other.versions.numbers("d") == [1, 2]  # the second is a draft here
    other.start_again()
    assert len(other.told) == 3
    one.mirror.look()
    assert one.versions.numbers("d") == [1]
    # A new version is numbered after the draft, and the draft that is activated is everybody's.
    assert other.mirror.add(contract(3)).version == 3
    other.put(2)
    one.mirror.look()
    assert one.versions.load("d", 2).schema == contract(200).schema
    assert one.in_force == Active(2)


def test_a_draft_that_the_lake_has_otherwise_is_not_activated(pair: tuple[Machine, Machine]) -> None:
    one, other = pair
    one.mirror.add(contract(1))
    other.versions.add(contract(100))
    with pytest.raises(UsageError, match="d@1 is another contract in the lake"):
        other.put(1)
    one.mirror.look()
    assert (one.in_force, other.in_force) == (None, None)
    assert other.versions.load("d", 1).schema == contract(1).schema
    other.put(1)  # looked at by now
    one.mirror.look()
    assert one.in_force == Active(1)


def test_an_edit_is_an_activation(pair: tuple[Machine, Machine]) -> None:
    one, other = pair
    one.mirror.add(contract(1))
    one.put(1)
    other.mirror.look()
    other.versions.active_path("d").write_text('{"contract": 1, "mode": "observe"')
    other.mirror.look()
    one.mirror.look()
    assert one.in_force == Active(1)  # it is none yet
    other.versions.active_path("d").write_text('{"contract": 1, "fields": {"y": "observe"}}')
    other.mirror.look()
    one.mirror.look()
    assert one.in_force == Active(1)  # there is no such field
    other.versions.active_path("d").write_text('{"contract": 1, "fields": {"x": "observe"}}')
    other.mirror.look()
    one.mirror.look()
    assert one.in_force == other.in_force == Active(1, "enforce", {"x": "observe"})
    assert one.past == other.past == [("ada", "assay activate", 1), (None, EDITED, 1)]
    # One by hand of a version that was written by hand.
    one.versions.schema_path("d", 2).write_text(contract(2).to_json())
    one.versions.active_path("d").write_text('{"contract": 2}')
    one.mirror.look()
    other.mirror.look()
    assert other.in_force == Active(2)
    assert other.versions.load("d", 2).schema == contract(2).schema


def test_an_edit_that_something_newer_came_before_gives_way(pair: tuple[Machine, Machine]) -> None:
    one, other = pair
    one.mirror.add(contract(1))
    one.mirror.add(contract(2))
    one.put(1)
    other.mirror.look()
    one.put(2)
    other.versions.active_path("d").write_text('{"contract": 1, "mode": "observe"}')
    other.mirror.look()
    one.mirror.look()
    assert one.in_force == other.in_force == Active(2)
    other.versions.active_path("d").unlink()
    other.mirror.look()
    assert other.in_force == Active(2)


def test_what_is_in_force_here_from_a_former_life_gives_way(pair: tuple[Machine, Machine]) -> None:
    one, other = pair
    one.mirror.add(contract(1))
    one.mirror.add(contract(2))
    one.put(1)
    other.mirror.look()
    one.put(2)
    other.start_again()
    assert other.in_force == Active(2)
    one.mirror.look()
    assert len(one.past) == 2


def test_a_version_that_is_replaced_is_read_again(pair: tuple[Machine, Machine]) -> None:
    one, other = pair
    one.mirror.add(contract(1))
    one.put(1)
    other.versions.add(contract(100))
    other.versions.activate("d", Active(1))
    before = other.versions.active_path("d").stat().st_ino
    other.mirror.look()
    assert other.versions.load("d", 1).schema == contract(1).schema
    assert other.versions.active_path("d").stat().st_ino != before  # by which who enforces the folder knows it


def test_what_is_not_there_is_not_activated(pair: tuple[Machine, Machine]) -> None:
    one, other = pair
    with pytest.raises(UnknownDataset):
        one.put(1)
    one.mirror.add(contract(1))
    with pytest.raises(UsageError, match="has no version 2"):
        one.put(2)
    with pytest.raises(UsageError, match='no field "y"'):
        one.mirror.activate("d", Active(1, fields={"y": "observe"}), by=None, how="assay activate")
    other.mirror.look()
    assert (one.in_force, other.in_force) == (None, None)


def test_nothing_is_written_while_nothing_changes(pair: tuple[Machine, Machine], lake: Lake) -> None:
    one, other = pair
    one.mirror.add(contract(1))
    one.put(1)
    other.mirror.look()
    with connect(lake) as con:
        query = "SELECT max(snapshot_id) FROM ducklake_snapshots('lake')"
        before = con.execute(query).fetchall()
        paths = {path: path.stat().st_mtime_ns for path in other.versions.root.rglob("*")}
        for _ in range(3):
            one.mirror.look()
            other.mirror.look()
            other.mirror.bring()
        assert con.execute(query).fetchall() == before
        assert {path: path.stat().st_mtime_ns for path in other.versions.root.rglob("*")} == paths


def test_it_stays_in_the_catalogue(pair: tuple[Machine, Machine], lake: Lake) -> None:
    one, other = pair
    one.mirror.add(contract(1), b"{}")
    one.put(1)
    compact(lake, history_s=0)
    with connect(lake) as con:
        for table in ("_contracts", "_activations", "_registry"):
            assert con.execute(f"SELECT * FROM ducklake_list_files('lake', '{table}')").fetchall() == []
    other.mirror.look()
    assert other.files() == one.files()


def test_a_lake_that_is_away_changes_nothing(tmp_path: Path) -> None:
    pytest.importorskip("duckdb_extension_ducklake")
    (tmp_path / "file").write_text("")
    away = Machine(Lake.parse("ducklake:sqlite:file/lake.sqlite", root=tmp_path), tmp_path / "contracts")
    away.versions.add(contract(1))
    activate_in_folder(away.versions, "d", Active(1), by="ada", how="assay activate")
    before = away.files()
    with pytest.raises(StoreUnreachable):
        away.mirror.look()
    with pytest.raises(StoreUnreachable):
        away.mirror.add(contract(2))
    with pytest.raises(StoreUnreachable):
        away.mirror.activate("d", Active(1, "observe"), by="ada", how="assay activate")
    assert away.files() == before
