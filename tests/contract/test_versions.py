from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assay.contract.document import Contract
from assay.contract.versions import Active, Mode, Versions, is_dataset_name, switched, tops
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
    with pytest.raises(UsageError, match=r'perhaps "a\[\]", "a"'):
        versions.activate("flights", Active(1, fields={"a[": "observe"}))
    assert versions.active("flights") is None


NESTED = Contract.parse(
    {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "o": {"type": "object", "properties": {"x": {"type": "array", "items": {"type": "integer"}}}},
        },
    },
    dataset="d",
)


def test_every_field_with_the_events_own_field_that_it_is_in() -> None:
    assert tops(NESTED) == {"a": "a", "o": "o", "o.x": "o", "o.x[]": "o"}
    assert tops(NESTED).keys() == {label for label, _ in NESTED.root.walk()}


@pytest.mark.parametrize(
    ("former", "mode", "asked", "fields"),
    [
        pytest.param(None, "enforce", {"a": "observe"}, {"a": "observe"}, id="observed"),
        pytest.param({"a": "observe"}, "enforce", {}, {"a": "observe"}, id="stays observed"),
        pytest.param({"a": "observe"}, "enforce", {"o": "observe"}, {"a": "observe", "o": "observe"}, id="beside it"),
        pytest.param({"a": "observe"}, "enforce", {"a": "enforce"}, {}, id="enforced again"),
        pytest.param({"gone": "observe"}, "enforce", {}, {}, id="the version has it not"),
        pytest.param({"a": "observe"}, "observe", {}, {"a": "observe"}, id="observed when the rest no longer is"),
        pytest.param({}, "observe", {"a": "enforce"}, {"a": "enforce"}, id="the only one that refuses"),
        pytest.param({"a": "enforce"}, "enforce", {}, {}, id="like all others"),
        pytest.param({"o": "observe"}, "enforce", {"o.x": "enforce"}, {"o": "observe", "o.x": "enforce"}, id="in one"),
        pytest.param({"o": "observe", "o.x": "enforce"}, "enforce", {"o": "enforce"}, {}, id="like what it is in"),
    ],
)
def test_fields_keep_their_modes_until_told_otherwise(
    former: dict[str, Mode] | None, mode: Mode, asked: dict[str, Mode], fields: dict[str, Mode]
) -> None:
    before = None if former is None else Active(1, "enforce", former)
    assert switched(NESTED, 2, mode, before, asked) == Active(2, mode, fields)


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
