"""Commands with `registry = "lake"`, in two workspaces that no service runs in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from assay.contract.versions import Active, Versions
from tests.cli.conftest import Command, Ran
from tests.conftest import Bench

pytestmark = pytest.mark.lake

At = Callable[..., Ran]


@pytest.fixture
def at(assay: Command, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> At:
    """A command in the workspace `a` or `b`: both have one lake."""
    pytest.importorskip("duckdb_extension_ducklake")
    for name in "ab":
        folder = bench.folder / name
        folder.mkdir()
        lake = bench.folder / "lake.sqlite"
        (folder / "assay.toml").write_text(f'store = "ducklake:sqlite:{lake}"\nregistry = "lake"\n')

    def run(name: str, *arguments: str) -> Ran:
        monkeypatch.setenv("ASSAY_WORKSPACE", str(bench.folder / name))
        return assay(*arguments)

    return run


def write(bench: Bench, most: int) -> str:
    path = bench.folder / f"{most}.json"
    path.write_text(json.dumps({"type": "object", "properties": {"x": {"type": "integer", "maximum": most}}}))
    return str(path)


def test_what_one_does_the_other_lists(at: At, bench: Bench) -> None:
    assert at("a", "import", write(bench, 5), "--dataset", "rides").code == 0
    assert at("a", "activate", "rides", "1", "--mode", "observe").code == 0
    (listed,) = at("b", "contracts", "--json").document
    assert (listed["dataset"], listed["version"], listed["mode"]) == ("rides", 1, "observe")
    past = at("b", "contracts", "--history", "--json").document
    assert past == at("a", "contracts", "--history", "--json").document
    assert [each["how"] for each in past] == ["assay activate"]
    # What the next one follows, and its number, are the lake's, too.
    ran = at("b", "import", write(bench, 4), "--dataset", "rides")
    assert "beside rides@1: narrows" in ran.err
    assert at("b", "activate", "rides", "2").code == 0
    # The rules of both.
    assert at("a", "rules").code == 0
    assert "Integer(le=4)" in (bench.folder / "a/app/contracts.py").read_text()


@pytest.mark.parametrize(
    "command",
    [
        "check {rows} --contract rides@2",
        "check rides",
        "diff rides@1 rides@2",
        "export rides",
        "rules --audit",
        "rules --format prometheus-rule",
        "replay rides --dry-run",
        "quarantine rides --suggest",
    ],
)
def test_who_only_reads_reads_what_the_lake_has(at: At, bench: Bench, command: str) -> None:
    rows = bench.folder / "rows.ndjson"
    rows.write_text('{"x": 4}\n')
    for number in (1, 2):
        assert at("a", "import", write(bench, 3 + number), "--dataset", "rides").code == 0
        assert at("a", "activate", "rides", str(number)).code == 0
        ran = at("b", *command.format(rows=rows).split())
        # Some find no events yet; what they went by is what is in force.
        assert "out of reach" not in ran.err
        assert Versions(bench.folder / "b/contracts").active("rides") == Active(number)


def test_who_only_reads_goes_on_without_the_lake(at: At, bench: Bench) -> None:
    rows = bench.folder / "rows.ndjson"
    rows.write_text('{"x": 4}\n')
    assert at("a", "import", write(bench, 5), "--dataset", "rides").code == 0
    assert at("b", "check", str(rows), "--contract", "rides@1").code == 0
    (bench.folder / "lake.sqlite").rename(bench.folder / "away")
    (bench.folder / "lake.sqlite").mkdir()
    ran = at("b", "check", str(rows), "--contract", "rides@1")
    assert (ran.code, "contracts are as they were known here last" in ran.err) == (0, True)


def test_a_draft_whose_number_is_taken_is_not_activated_in_silence(at: At, bench: Bench) -> None:
    assert at("a", "import", write(bench, 5), "--dataset", "rides").code == 0
    draft = bench.folder / "b/contracts/rides/1.schema.json"
    draft.parent.mkdir(parents=True)
    draft.write_bytes(Path(write(bench, 99)).read_bytes())
    ran = at("b", "activate", "rides", "1")
    assert ran.code == 2
    assert "what was here is kept as 1.schema.json." in ran.err
    assert "rides@1 is another contract in the lake than it was here" in ran.err
    assert Versions(bench.folder / "b/contracts").active("rides") is None
    assert at("b", "activate", "rides", "1").code == 0
    assert Versions(bench.folder / "b/contracts").active("rides") == Active(1)


def test_to_list_contracts_makes_no_lake(at: At, bench: Bench) -> None:
    ran = at("a", "contracts")
    assert (ran.code, ran.err) == (0, "")
    assert not (bench.folder / "lake.sqlite").exists()
    (bench.folder / "lake.sqlite").mkdir()
    ran = at("a", "contracts")
    assert ran.code == 0
    assert "contracts are as they were known here last" in ran.err
    ran = at("a", "import", write(bench, 5), "--dataset", "rides")
    assert ran.code == 3
    assert not (bench.folder / "a/contracts/rides").exists()
