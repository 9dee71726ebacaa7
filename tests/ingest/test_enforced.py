"""Which contracts are in force, by looking at a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.contract.document import Contract
from assay.contract.versions import Active, Versions
from assay.ingest.enforced import Enforced


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    versions = Versions(tmp_path / "contracts")
    for dataset in ("a", "b"):
        for kind in ("integer", "string"):
            versions.add(Contract.parse({"type": "object", "properties": {"x": {"type": kind}}}, dataset=dataset))
    return versions


def look(enforced: Enforced) -> tuple[list[str], list[str], list[str]]:
    """What changed since the last look, taken up."""
    change = enforced.refresh()
    enforced.adopt(change)
    names = [f"{judge.contract.dataset}@{judge.contract.version}" for judge in change.activated]
    return names, change.deactivated, list(change.problems)


def test_each_change_is_seen_once(versions: Versions) -> None:
    enforced = Enforced(versions)
    assert look(enforced) == ([], [], [])
    versions.activate("a", Active(1))
    versions.activate("b", Active(2, "observe"))
    assert look(enforced) == (["a@1", "b@2"], [], [])
    assert look(enforced) == ([], [], [])
    versions.activate("a", Active(2))
    versions.active_path("b").unlink()
    assert look(enforced) == (["a@2"], ["b"], [])
    assert look(enforced) == ([], [], [])
    assert (set(enforced.judges), enforced.get("b")) == ({"a"}, None)


def test_nothing_counts_before_it_is_adopted(versions: Versions) -> None:
    enforced = Enforced(versions)
    versions.activate("a", Active(1))
    change = enforced.refresh()
    assert enforced.get("a") is None
    enforced.adopt(change)
    assert enforced.get("a") is change.activated[0]


def test_a_problem_is_told_once_and_anew_when_it_is_another(versions: Versions) -> None:
    enforced = Enforced(versions)
    path = versions.active_path("a")
    path.write_text("{")
    assert look(enforced) == ([], [], ["a"])
    assert look(enforced) == ([], [], [])
    path.write_text('{"contract": 7}')
    assert look(enforced) == ([], [], ["a"])
    path.write_text('{"contract": 1}')
    assert look(enforced) == (["a@1"], [], [])
    path.write_text("{")
    assert look(enforced) == ([], [], ["a"])
    assert enforced.get("a") is not None


def test_no_folder_is_no_contract(tmp_path: Path) -> None:
    assert look(Enforced(Versions(tmp_path / "nothing"))) == ([], [], [])
