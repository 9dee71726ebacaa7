"""From events to a contract that is enforced: learn, activate, render, and the files that follow."""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from assay.contract.versions import Active
from tests.cli.conftest import Command
from tests.conftest import Bench, until

ROWS = 400
NASTY = ['a"b', "class", "é", "model_config"]


@pytest.fixture
def collected(bench: Bench) -> Bench:
    """A store with events of a dataset that has no contract."""
    dice = random.Random(7)
    with bench.service() as service:
        events = [
            {"n": round(dice.gauss(50, 5), 3), "kind": dice.choice(["x", "y"]), **dict.fromkeys(NASTY, row)}
            for row in range(ROWS)
        ]
        assert service.lines("/collect/flights", *events).json()["accepted"] == ROWS
        service.flush()
    return bench


def models(path: Path) -> Any:
    """`MODELS` of a generated module."""
    spec = importlib.util.spec_from_file_location("generated_contracts", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.MODELS


def test_learn_then_activate_then_render(assay: Command, collected: Bench) -> None:
    ran = assay("learn", "flights", "--json")
    assert ran.code == 0
    assert (ran.document["contract"], ran.document["active"], ran.document["rows"]) == (1, False, ROWS)
    assert "assay activate flights 1" in ran.err
    assert not (collected.folder / "app").exists()

    ran = assay("activate", "flights", "1")
    assert (ran.code, ran.out) == (0, "")
    active = json.loads((collected.versions.root / "flights" / "active.json").read_text())
    assert active == {"contract": 1, "mode": "enforce"}
    (model,) = models(collected.folder / "app" / "contracts.py").values()
    good = {"n": 50.0, "kind": "x", **dict.fromkeys(NASTY, 5)}
    assert model.model_validate(good)
    with pytest.raises(ValueError, match="n"):
        model.model_validate({**good, "n": "50"})
    rules = (collected.folder / "promconfig" / "data_quality_rules.yml").read_text()
    assert "flights" in rules
    assert (collected.folder / "promconfig" / "data_quality_rules.test.yml").is_file()

    ran = assay("rules", "--json")
    assert (ran.code, ran.document["written"]) == (0, [])
    with collected.service() as service:
        assert service.send("/collect/flights", good).status_code == 200
        assert service.send("/collect/flights", {**good, "n": "50"}).status_code == 422
        assert service.rows("SELECT count(*) FROM flights") == [ROWS + 1]
        columns = ", ".join('"' + name.replace('"', '""') + '"' for name in NASTY)
        assert collected.rows(f"SELECT {columns} FROM flights ORDER BY 1 DESC LIMIT 1") == [(ROWS - 1,) * len(NASTY)]
    ran = assay("profile", "flights", "--json")
    assert (ran.code, ran.document["rows"]) == (0, ROWS + 1)
    assert "kind" in assay("profile", "flights").out


def test_the_profiling_script_learns_and_activates(assay: Command, collected: Bench) -> None:
    (collected.folder / "assay.toml").unlink()
    assert assay("init").code == 0
    (collected.folder / "assay.toml").write_text('store = "s.duckdb"\ndefault_dataset = "flights"\n')
    for number in (1, 2):
        ran = subprocess.run(
            [sys.executable, "-m", "app.profile", "--json"],
            cwd=collected.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        assert json.loads(ran.stdout)["contract"] == number
    assert collected.versions.active_contracts()[0][1].contract == 2


def test_too_few_rows_are_1(assay: Command, bench: Bench) -> None:
    with bench.service() as service:
        service.send("/collect/few", {"a": 1})
        service.flush()
    ran = assay("learn", "few")
    assert (ran.code, ran.out) == (1, "")
    assert "few" in ran.err
    assert bench.versions.numbers("few") == []


def test_a_file_that_a_person_edited_is_never_overwritten(assay: Command, bench: Bench) -> None:
    bench.contract("d", {"a": {"type": "integer"}})
    bench.contract("d", {"a": {"type": "number"}})
    assert assay("activate", "d", "1").code == 0
    path = bench.folder / "app" / "contracts.py"
    edited = path.read_text().replace("class D", "# mine\nclass D")
    path.write_text(edited)
    for arguments in (["rules"], ["activate", "d", "2"]):
        ran = assay(*arguments)
        assert (ran.code, ran.out) == (1, "")
        assert "+# mine" in ran.err
        assert "--force" in ran.err
        assert path.read_text() == edited
    assert assay("doctor").code == 3
    assert bench.versions.active_contracts()[0][1].contract == 1
    assert assay("activate", "d", "2", "--force").code == 0
    assert "# mine" not in path.read_text()
    assert bench.versions.active_contracts()[0][1].contract == 2
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))  # another editor's line ends are no edit
    assert assay("rules").code == 0


def test_json_is_alone_on_stdout(assay: Command, collected: Bench) -> None:
    for arguments in (["learn", "flights"], ["contracts"], ["rules"], ["profile", "flights"], ["doctor"]):
        ran = assay(*arguments, "--json")
        assert ran.code == 0, ran.err
        assert ran.document is not None


def test_another_store_may_be_named(assay: Command, collected: Bench) -> None:
    collected.store.rename(collected.folder / "old.duckdb")
    assert assay("profile", "flights").code == 2
    ran = assay("profile", "flights", "--store", "old.duckdb", "--json")
    assert (ran.code, ran.document["rows"]) == (0, ROWS)


def test_one_field_is_observed_until_it_is_enforced(bench: Bench, assay: Command) -> None:
    for most in (10, 20):
        bench.contract("d", {"a": {"type": "integer", "maximum": most}, "b c": {"type": "integer"}})
    ran = assay("activate", "d", "1", "--observe", "a", "--observe", "b c")
    assert (ran.code, ran.out) == (0, "")
    assert "d@1 is active, mode enforce (a: observe, b c: observe)" in ran.err
    with bench.service() as service:
        assert service.send("/collect/d", {"a": "x"}).json() == {"ok": True, "accepted": 1, "flagged": 1}
        assert assay("activate", "d", "2", "--enforce", "b c").code == 0
        assert bench.versions.active("d") == Active(2, "enforce", {"a": "observe"})
        assert until(lambda: service.send("/collect/d", {"b c": "x"}).status_code == 422, 5)
        assert service.send("/collect/d", {"a": "x"}).status_code == 200
    (row,) = assay("contracts", "d", "--json").document[1:]
    assert (row["mode"], row["own_modes"]["a"]["mode"]) == ("enforce", "observe")
    first, _ = assay("contracts", "d", "--history", "--json").document
    assert row["own_modes"]["a"]["since"][:19] == first["at"][:19]
    assert f"[enforce (a: observe since {first['at'][:19]}Z)]" in assay("contracts", "d").out
    assert "d@2  enforce (a: observe)  by" in assay("contracts", "d", "--history").out
    for wrong, says in (
        (["--observe", "aa"], 'd@2 has no field "aa" to observe or enforce; perhaps "a"'),
        (["--observe", "nothing"], "`assay export d@2 --format jsonschema` lists them"),
        (["--observe", "a", "--enforce", "a"], "name it with one of --observe and --enforce"),
    ):
        ran = assay("activate", "d", "2", *wrong)
        assert ran.code == 2
        assert says in ran.err
        assert bench.versions.active("d") == Active(2, "enforce", {"a": "observe"})
    assert assay("activate", "d", "2", "--enforce", "a").code == 0
    assert bench.versions.active("d") == Active(2)


def test_who_activated_what_is_kept(bench: Bench, assay: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "ada")
    bench.contract("d", {"a": {"type": "integer"}})
    bench.contract("d", {"a": {"type": "number"}})
    bench.enforce("e", {"b": {"type": "integer"}})
    assert assay("contracts", "--history", "d").out == "nothing was activated yet\n"
    assert assay("activate", "d", "1").code == 0
    assert assay("activate", "d", "1", "--mode", "observe").code == 0
    bench.activate("d", 2)  # as an editor would
    lines = assay("contracts", "--history", "d").out.splitlines()
    assert [line.split("  ", 1)[1] for line in lines] == [
        "d@1  enforce  by ada, assay activate",
        "d@1  observe  by ada, assay activate",
        "d@2  enforce  by nobody knows whom, active.json changed",
    ]
    rows = assay("contracts", "--history", "--json").document
    assert {(row["dataset"], row["contract"], row["mode"], row["by"]) for row in rows} == {
        ("e", 1, "enforce", None),
        ("d", 1, "enforce", "ada"),
        ("d", 1, "observe", "ada"),
        ("d", 2, "enforce", None),
    }
    assert assay("contracts", "e").out.count("@") == 1
    assert assay("contracts", "nothing").code == 2
    bench.versions.active_path("d").unlink()
    assert "d has no active contract" in assay("contracts", "--history").out
