"""The contract that would let refused events in: proposed, tried on them, written, and not active."""

from __future__ import annotations

from typing import Any

import pytest

from assay.contract.versions import Active
from assay.errors import UsageError
from assay.refused import propose
from assay.settings import Settings
from assay.workspace import Workspace
from tests.conftest import Bench

TEXT = {"type": "string"}


@pytest.fixture
def workspace(bench: Bench) -> Workspace:
    """Three kinds of refused events: five too large, two of another type, one that is no event."""
    bench.enforce("d", {"a": {"type": "integer", "maximum": 10}, "s": TEXT})
    with bench.service() as service:
        service.lines("/collect/d", *({"a": 10 + i} for i in range(1, 6)), {"s": 5}, {"s": None}, b"{", {"a": 3})
    return Workspace(Settings(root=bench.folder, store=bench.store, contracts=bench.versions.root, port=1))


def schema(workspace: Workspace, number: int) -> Any:
    return workspace.versions.load("d", number).schema


def test_the_most_frequent_kind_is_let_in(workspace: Workspace) -> None:
    found = propose(workspace, "d")
    suggestions = [group.suggestion for group in found.groups]
    assert [(each.events, each.passed, each.accepted) for each in suggestions] == [(5, 0, 5), (2, 0, 2), (1, 0, 0)]
    assert list(suggestions[2].left_out.values()) == [1]
    assert found.let_in == [found.groups[0].fingerprint]
    assert found.written is not None
    assert (found.written.version, found.is_new) == (2, True)
    assert schema(workspace, 2)["properties"] == {"a": {"type": "integer", "maximum": 15}, "s": TEXT}
    assert schema(workspace, 2)["x-assay"]["widened"] == {"from": 1, "fingerprints": found.let_in}
    assert workspace.versions.active("d") == Active(1)
    # Again, and it is there already.
    again = propose(workspace, "d")
    assert (again.written, again.is_new) == (found.written, False)
    assert workspace.versions.numbers("d") == [1, 2]


def test_several_kinds_together(workspace: Workspace) -> None:
    marks = [group.fingerprint for group in propose(workspace, "d").groups]
    found = propose(workspace, "d", fingerprints=marks)
    assert found.let_in == marks[:2]
    assert found.written is not None
    assert schema(workspace, 3)["properties"] == {
        "a": {"type": "integer", "maximum": 15},
        "s": {"type": ["integer", "string", "null"]},
    }


def test_what_the_active_contract_takes_by_now_changes_nothing(workspace: Workspace, bench: Bench) -> None:
    bench.enforce("d", {"a": {"type": "integer"}, "s": {"type": ["string", "integer", "null"]}})
    found = propose(workspace, "d")
    assert [(each.suggestion.passed, each.suggestion.accepted) for each in found.groups] == [(5, 5), (2, 2), (0, 0)]
    assert (found.written, list(found.let_in)) == (None, [])
    assert workspace.versions.numbers("d") == [1, 2]


def test_what_is_asked_wrongly(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="fingerprint 0000"):
        propose(workspace, "d", fingerprints=["0000"])
    with pytest.raises(UsageError, match="no active contract"):
        propose(workspace, "other")
    with pytest.raises(UsageError):
        propose(workspace, "No")
