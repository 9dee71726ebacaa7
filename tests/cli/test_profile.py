"""`assay profile` and `assay learn` of parts of what is stored, and what changed."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.conftest import Command
from tests.conftest import NUMBER, Bench
from tests.test_workspace import answering

DICE = random.Random(3)
NO_ALERTS = json.dumps({"data": {"result": []}}).encode()


@pytest.fixture
def stored(bench: Bench) -> Bench:
    """A dataset with a table, and a version that was learned."""
    bench.enforce("d", {"n": NUMBER})
    with bench.service() as service:
        service.lines("/collect/d", *({"n": DICE.gauss(5, 1)} for _ in range(600)))
        service.flush()
    return bench


def test_what_changed_since_a_version(assay: Command, stored: Bench, tmp_path: Path) -> None:
    assert assay("learn", "d", "--since", "7d").code == 0
    assert "600 rows" in assay("profile", "d", "--since", "1h").out
    ran = assay("profile", "d", "--against", "d@2")
    assert (ran.code, ran.out.splitlines()[0]) == (0, "d@2 (600 rows) to d (600 rows)")
    assert "no change in n" in ran.out
    file = tmp_path / "later.ndjson"
    file.write_text("\n".join(json.dumps({"n": DICE.gauss(9, 1), "more": 1}) for _ in range(600)))
    ran = assay("profile", str(file), "--against", str(stored.versions.profile_path("d", 2)), "--json")
    assert [(each["field"], each["status"]) for each in ran.document["fields"]] == [("more", "new"), ("n", "changed")]


def test_hours_with_alerts_are_left_out(assay: Command, stored: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(200, NO_ALERTS) as port:
        monkeypatch.setenv("ASSAY_PROMETHEUS_URL", f"http://127.0.0.1:{port}")
        ran = assay("learn", "d", "--since", "7d", "--exclude-alerts", "--json")
        assert (ran.code, ran.document["rows"]) == (0, 600)
        assert "0 hours are left out" in ran.err
    now = stored.rows("SELECT max(epoch(_collected_at)) FROM d")[0]
    firing = json.dumps({"data": {"result": [{"values": [[now - 3600, "1"], [now + 60, "1"]]}]}}).encode()
    with answering(200, firing) as port:
        monkeypatch.setenv("ASSAY_PROMETHEUS_URL", f"http://127.0.0.1:{port}")
        ran = assay("learn", "d", "--since", "7d", "--exclude-alerts")
        assert (ran.code, "an alert was firing" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["learn", "d", "--exclude-alerts"], 2, "say --since, too"),
        (["learn", "d", "--since", "7d", "--exclude-alerts"], 2, "set prometheus_url"),
        (["learn", "d", "--since", "yesterday"], 2, "is no duration"),
        (["learn", "d", "--since", "99999999d"], 2, "longer ago than there are years"),
        (["profile", "d", "--against", "d@1"], 2, "d@1 has no profile: it was not learned"),
        (["profile", "d@9"], 2, "d has no version 9"),
        (["profile", "assay.toml", "--since", "1h"], 2, "--since is for what is stored"),
        (["profile", "assay.toml", "d@1"], 2, "is no profile, and d@1 is one"),
        (["profile", "d", "e"], 2, "d is no file that is there; of several, take profiles or Parquet files"),
        (["profile", "assay.toml", "contracts"], 2, "take"),
        (["profile", "contracts"], 2, "holds no Parquet files"),
        (["profile", "--engine", "spark", "x.parquet", "--since", "1h"], 2, "which DuckDB measures"),
        (["profile", "--engine", "pandas", "x.parquet"], 2, "'duckdb'"),
        (["learn", "d", "--profile", "x.json", "--since", "1h"], 2, "nothing of it is read"),
        (["learn", "d", "--profile", "x.json"], 2, "x.json cannot be read"),
        (["learn", "d", "--profile", "assay.toml"], 2, "assay.toml is no profile"),
        (["profile", "d", "--against", "NOTHING"], 2, "neither a file that is there nor the name of a dataset"),
    ],
)
def test_it_is_used_wrongly(assay: Command, stored: Bench, arguments: list[str], code: int, says: str) -> None:
    ran = assay(*arguments)
    assert (ran.code, says in ran.err) == (code, True), ran.err
    assert stored.versions.numbers("d") == [1]


def test_a_prometheus_that_is_not_there(assay: Command, stored: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_PROMETHEUS_URL", "http://127.0.0.1:1")
    ran = assay("learn", "d", "--since", "7d", "--exclude-alerts")
    assert (ran.code, "does not say which alerts were firing" in ran.err) == (3, True)
    assert stored.versions.numbers("d") == [1]


def test_since_while_it_is_learning(assay: Command, bench: Bench) -> None:
    with bench.service() as service:
        service.lines("/collect/d", *({"n": n} for n in range(300)))
        service.flush()
    assert "300 rows" in assay("profile", "d", "--since", "1h").out


def test_profiles_of_collectors_are_merged(assay: Command, stored: Bench, tmp_path: Path) -> None:
    files = []
    for name, mean in (("a", 5), ("b", 7)):
        rows = tmp_path / f"{name}.ndjson"
        rows.write_text("\n".join(json.dumps({"n": DICE.gauss(mean, 1), "of": name}) for _ in range(600)))
        files.append(tmp_path / f"{name}.profile.json")
        files[-1].write_text(assay("profile", str(rows), "--json").out)
    merged = assay("profile", *map(str, files), "--json").document
    assert merged["rows"] == 1_200
    by_name = {field["name"]: field for field in merged["fields"]}
    assert by_name["of"]["strings"]["values"] == [["a", 600], ["b", 600]]
    assert 5.5 < by_name["n"]["numbers"]["mean"] < 6.5
    ran = assay("learn", "d", *(f"--profile={file}" for file in files), "--json")
    assert (ran.code, ran.document["rows"], ran.document["contract"]) == (0, 1_200, 2)
    assert ran.document["schema"]["required"] == ["n", "of"]
    assert json.loads(stored.versions.profile_path("d", 2).read_text()) == merged | {"dataset": "d"}
    files[0].write_text(files[0].read_text().replace('"dataset": ""', '"dataset": "other"'))
    assert "of the dataset other, not d" in assay("learn", "d", "--profile", str(files[0])).err
    files[1].write_text(files[1].read_text().replace('"dataset": ""', '"dataset": "d"'))
    ran = assay("profile", *map(str, files))
    assert (ran.code, "different datasets: d, other" in ran.err) == (2, True)


def test_parquet_files_are_one_dataset(assay: Command, bench: Bench, tmp_path: Path) -> None:
    for i in range(2):
        pq.write_table(pa.table({"n": range(i * 300, i * 300 + 300)}), tmp_path / f"{i}.parquet")
    (tmp_path / "_temporary").mkdir()
    pq.write_table(pa.table({"n": [1]}), tmp_path / "_temporary" / "x.parquet")
    together = assay("profile", str(tmp_path / "1.parquet"), str(tmp_path / "0.parquet"), "--json").document
    assert together["rows"] == 600
    assert together["fields"][0]["numbers"]["rising"]
    assert assay("profile", str(tmp_path), "--json").document == together


@pytest.mark.parametrize("missing", ["pyspark", "java"])
def test_what_spark_needs_is_said(
    assay: Command, bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, missing: str
) -> None:
    if missing == "pyspark":
        monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    else:
        pytest.importorskip("pyspark")
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    ran = assay("profile", "--engine", "spark", "x.parquet")
    says = "pip install 'assay[spark]'" if missing == "pyspark" else f"none in JAVA_HOME, {tmp_path}"
    assert (ran.code, says in ran.err.replace("\n", "")) == (2, True), ran.err
