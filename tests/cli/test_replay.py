"""`assay replay`, where no service runs and where one does."""

from __future__ import annotations

import urllib.request

import pytest

from assay import settings as configuration
from assay.workspace import Workspace
from tests.cli.conftest import Command, free_port, serving
from tests.conftest import Bench, until


@pytest.fixture
def refused(bench: Bench) -> Bench:
    """Three events are in quarantine; version 2 would take two of them."""
    bench.enforce("d", {"a": {"type": "integer", "maximum": 0}})
    bench.contract("d", {"a": {"type": "integer", "maximum": 10}})
    with bench.service() as service:
        service.send("/collect/d", [{"a": 1}, {"a": 2}, {"a": "\x1b[2J"}], X_Assay_Source="till")
    return bench


def test_without_a_service(refused: Bench, assay: Command) -> None:
    dry = assay("replay", "d", "--contract", "2", "--dry-run")
    assert dry.code == 0
    for text in (
        "2 of 3 refused events would pass by d@2",
        "2  a: Input should be less than or equal to 0",
        "From till (2)",
        '{"a": 1}',
        "1 would still be refused",
        "1  a: Input should be a valid integer",
    ):
        assert text in dry.out
    assert "\x1b" not in dry.out
    assert refused.rows("SELECT count(*) FROM _quarantine WHERE replayed_at IS NULL") == [3]
    done = assay("replay", "d", "--contract", "2", "--json")
    assert (done.document["accepted"], done.document["refused"], done.document["dry_run"]) == (2, 1, False)
    assert refused.rows("SELECT a, _source, _contract FROM d ORDER BY a") == [(1, "till", 2), (2, "till", 2)]
    assert "1 are still refused" in assay("replay", "d", "--contract", "2").out
    assert refused.rows("SELECT count(*) FROM d") == [2]


def test_through_the_service(refused: Bench, assay: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_PORT", str(free_port()))
    workspace = Workspace(configuration.load())
    with serving():
        assert until(lambda: workspace.ask("GET", "/readyz") is not None, 30)
        done = assay("replay", "d", "--contract", "2")
        assert "2 of 3 refused events passed, and are in their table now" in done.out
        with urllib.request.urlopen(f"{workspace.settings.url}/metrics", timeout=10) as answer:
            assert 'assay_replayed_total{dataset="d"} 2.0' in answer.read().decode()
    assert refused.rows("SELECT a FROM d ORDER BY a") == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        pytest.param(["d", "--contract", "7"], 2, "d has no version 7", id="no such version"),
        pytest.param(["other"], 2, "other has no active contract", id="no contract"),
        pytest.param(["No"], 2, "a name is a-z", id="no name of a dataset"),
        pytest.param(["d"], 0, "", id="by the active one"),
    ],
)
def test_what_is_asked(refused: Bench, assay: Command, arguments: list[str], code: int, said: str) -> None:
    ran = assay("replay", *arguments)
    assert ran.code == code
    assert said in ran.err


def test_before_there_is_a_store(bench: Bench, assay: Command) -> None:
    bench.enforce("d", {"a": {"type": "integer"}})
    ran = assay("replay", "d")
    assert (ran.code, ran.err.startswith("assay: there is no store")) == (2, True)
