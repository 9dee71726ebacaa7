from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.contract.document import Contract
from assay.contract.versions import Active, Versions, is_dataset_name
from assay.errors import NotASchema, UnknownDataset, UsageError

SCHEMA: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "contracts")


def new(dataset: str = "flights") -> Contract:
    return Contract.parse(SCHEMA, dataset=dataset)


def test_an_empty_workspace(versions: Versions) -> None:
    assert versions.datasets() == []
    assert versions.numbers("flights") == []
    assert versions.active("flights") is None
    assert versions.active_contracts() == []


def test_versions_are_numbered_and_never_change(versions: Versions) -> None:
    first = versions.add(new(), b'{"rows": 3}')
    before = versions.schema_path("flights", 1).read_bytes()
    second = versions.add(new())
    assert (first.version, second.version) == (1, 2)
    assert versions.numbers("flights") == [1, 2]
    assert versions.schema_path("flights", 1).read_bytes() == before
    assert versions.profile_path("flights", 1).read_bytes() == b'{"rows": 3}'
    assert not versions.profile_path("flights", 2).exists()
    assert versions.load("flights", 1) == new()


def test_only_what_is_named_so_is_a_version(versions: Versions) -> None:
    versions.add(new())
    for name in ("0.schema.json", "01.schema.json", "x.schema.json", "2.schema.json.bak"):
        (versions.root / "flights" / name).write_text("{}", encoding="utf-8")
    (versions.root / "Not-a-dataset").mkdir()
    assert versions.numbers("flights") == [1]
    assert versions.datasets() == ["flights"]


def test_activating_says_what_is_enforced(versions: Versions) -> None:
    versions.add(new())
    active = Active(1, "observe", {"a[]": "enforce", "a": "observe"})
    assert versions.activate("flights", active).version == 1
    assert versions.active("flights") == active
    assert [contract.dataset for contract, _ in versions.active_contracts()] == ["flights"]


def test_activating_what_is_not_there_changes_nothing(versions: Versions) -> None:
    with pytest.raises(UnknownDataset):
        versions.activate("flights", Active(1))
    versions.add(new())
    with pytest.raises(UsageError, match="it has 1"):
        versions.activate("flights", Active(2))
    with pytest.raises(UsageError, match='no field "b"'):
        versions.activate("flights", Active(1, fields={"b": "observe"}))
    assert versions.active("flights") is None


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        ("", ""),
        ("[]", ""),
        ('{"contract": 1, "colour": 2}', "/colour"),
        ('{"contract": 0}', "/contract"),
        ('{"contract": true}', "/contract"),
        ('{"contract": 1, "mode": "off"}', "/mode"),
        ('{"contract": 1, "fields": {"a": "off"}}', "/fields"),
        ('{"contract": 1, "fields": []}', "/fields"),
    ],
)
def test_a_bad_active_file_is_told(versions: Versions, text: str, pointer: str) -> None:
    versions.add(new())
    versions.active_path("flights").write_text(text, encoding="utf-8")
    with pytest.raises(NotASchema) as caught:
        versions.active("flights")
    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    ("name", "yes"),
    [
        ("a", True),
        ("a_1", True),
        ("a" * 63, True),
        ("a" * 64, False),
        ("", False),
        ("A", False),
        ("_a", False),
        ("a\n", False),
    ],
)
def test_names_of_datasets(name: str, yes: bool) -> None:  # noqa: FBT001 - a column of the table
    assert is_dataset_name(name) is yes
