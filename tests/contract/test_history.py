"""Who activated what, and when: kept, whatever happens to the files beside it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assay.contract.document import Contract
from assay.contract.history import EDITED, activate, history, own_mode_since
from assay.contract.versions import Active, Versions
from assay.errors import NotASchema, UsageError


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    versions = Versions(tmp_path / "contracts")
    for most in (1, 2):
        schema = {"type": "object", "properties": {"a": {"type": "integer", "maximum": most}}}
        versions.add(Contract.parse(schema, dataset="d"))
    return versions


def said(versions: Versions) -> list[tuple[str | None, str, Active]]:
    return [(each.by, each.how, each.active) for each in history(versions, "d")]


def test_each_change_is_a_line(versions: Versions) -> None:
    assert history(versions, "d") == []
    began = datetime.now(UTC)
    activate(versions, "d", Active(1), by="ada", how="assay activate")
    activate(versions, "d", Active(2, "observe", {"a": "enforce"}), by="bob", how="POST /activate")
    assert versions.active("d") == Active(2, "observe", {"a": "enforce"})
    assert said(versions) == [
        ("ada", "assay activate", Active(1)),
        ("bob", "POST /activate", Active(2, "observe", {"a": "enforce"})),
    ]
    times = [each.at for each in history(versions, "d")]
    assert began <= times[0] <= times[1] <= datetime.now(UTC)
    first, _ = (versions.root / "d" / "history.ndjson").read_text().splitlines()
    assert json.loads(first) == {
        "at": times[0].strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "by": "ada",
        "how": "assay activate",
        "contract": 1,
        "mode": "enforce",
    }


def test_what_was_edited_by_hand_is_seen_and_kept_with_its_time(versions: Versions) -> None:
    activate(versions, "d", Active(1), by="ada", how="assay activate")
    versions.active_path("d").write_text('{"contract": 2}')
    os.utime(versions.active_path("d"), (1_700_000_000, 1_700_000_000))
    assert said(versions)[1:] == [(None, EDITED, Active(2))]
    assert history(versions, "d")[1].at == datetime.fromtimestamp(1_700_000_000, UTC)
    activate(versions, "d", Active(1), by="ada", how="assay activate")
    assert [active for _, _, active in said(versions)] == [Active(1), Active(2), Active(1)]
    assert history(versions, "d")[1].at == datetime.fromtimestamp(1_700_000_000, UTC)


def test_since_when_a_field_has_a_mode_of_its_own(versions: Versions) -> None:
    assert own_mode_since(versions, "d") == {}
    steps = [
        Active(1, fields={"a": "observe"}),
        Active(1),
        Active(1, fields={"a": "observe"}),
        Active(1, "observe", {"a": "observe"}),
        Active(2, fields={"a": "observe"}),
    ]
    for active in steps:
        activate(versions, "d", active, by="ada", how="assay activate")
    assert own_mode_since(versions, "d") == {"a": history(versions, "d")[2].at}
    versions.active_path("d").write_text('{"contract": 2, "mode": "observe", "fields": {"a": "enforce"}}')
    assert own_mode_since(versions, "d") == {"a": history(versions, "d")[-1].at}
    (versions.root / "d" / "history.ndjson").write_text("{\n")
    assert own_mode_since(versions, "d") == {}


def test_what_cannot_be_activated_leaves_no_line(versions: Versions) -> None:
    with pytest.raises(UsageError):
        activate(versions, "d", Active(7), by="ada", how="assay activate")
    assert history(versions, "d") == []


@pytest.mark.parametrize(
    "line", ["{", "[]", "{}", '{"at": 5, "by": null, "how": "", "contract": 1}', '{"contract": 1}']
)
def test_a_line_that_somebody_broke_is_named(versions: Versions, line: str) -> None:
    activate(versions, "d", Active(1), by="ada", how="assay activate")
    path = versions.root / "d" / "history.ndjson"
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(NotASchema, match="line 2"):
        history(versions, "d")
    activate(versions, "d", Active(2), by="ada", how="assay activate")  # it does not hold up what is to be done
    path.write_text("".join(each for each in path.read_text().splitlines(keepends=True) if each != line + "\n"))
    assert [active for _, _, active in said(versions)] == [Active(1), Active(2)]


def test_a_file_whose_last_line_was_not_ended(versions: Versions) -> None:
    activate(versions, "d", Active(1), by="ada", how="assay activate")
    path = versions.root / "d" / "history.ndjson"
    path.write_text(path.read_text().rstrip("\n"))
    activate(versions, "d", Active(2), by="ada", how="assay activate")
    assert [active for _, _, active in said(versions)] == [Active(1), Active(2)]
