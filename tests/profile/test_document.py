from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import UsageError
from assay.profile.document import FieldProfile, Numbers, Profile, Strings

counts = st.integers(0, 2**40)
finite = st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False))
pairs = st.lists(st.tuples(finite, counts), max_size=3).map(tuple)
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
numbers = st.builds(
    Numbers,
    count=counts,
    minimum=finite,
    maximum=finite,
    mean=st.floats(allow_nan=False, allow_infinity=False),
    deviation=st.floats(allow_nan=False, allow_infinity=False),
    distinct=counts,
    integral=st.booleans(),
    rising=st.booleans(),
    quantiles=pairs,
    largest=pairs,
    smallest=pairs,
    values=st.none() | pairs.filter(bool),
    edges=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3).map(tuple),
    counts=st.lists(counts, max_size=3).map(tuple),
)
strings = st.builds(
    Strings,
    count=counts,
    distinct=counts,
    values=st.lists(st.tuples(text, counts), max_size=3).map(tuple),
    complete=st.booleans(),
    formats=st.dictionaries(st.sampled_from(["date", "uuid"]), counts),
    temporal=st.booleans(),
    lengths=st.none() | numbers,
)


def field_of(inner: st.SearchStrategy[FieldProfile]) -> st.SearchStrategy[FieldProfile]:
    return st.builds(
        FieldProfile,
        name=text,
        rows=counts,
        types=st.dictionaries(st.sampled_from(["missing", "null", "integer", "string"]), counts),
        numbers=st.none() | numbers,
        strings=st.none() | strings,
        true=counts,
        nonfinite=counts,
        fields=st.lists(inner, max_size=2).map(tuple),
        items=st.none() | inner,
        sizes=st.none() | numbers,
    )


fields = field_of(field_of(st.builds(FieldProfile, name=text, rows=counts, types=st.just({}))))
times = st.just("2024-01-01T00:00:00.000000Z")
profiles = st.builds(
    Profile,
    dataset=text,
    rows=counts,
    fields=st.lists(fields, max_size=2).map(tuple),
    first=times,
    last=times,
    skipped=counts,
)


@given(profiles)
def test_a_profile_is_read_back_as_it_was(profile: Profile) -> None:
    again = Profile.parse(profile.to_json())
    assert again == profile
    assert again.to_json() == profile.to_json()


def test_a_profile_is_loaded_from_a_file(tmp_path: Path) -> None:
    profile = Profile("d", 1, (FieldProfile("a", 1, {"null": 1}),))
    path = tmp_path / "1.profile.json"
    path.write_text(profile.to_json(), encoding="utf-8")
    assert Profile.load(path) == profile


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "no profile"),
        ("[]", "no profile"),
        ("{}", "no profile"),
        ('{"format": "assay-profile/9"}', "of format 'assay-profile/9'"),
        ('{"format": "assay-profile/1", "dataset": "d", "rows": 1, "skipped": 0, "fields": [{}]}', "no profile"),
    ],
)
def test_what_is_no_profile_is_refused(document: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(document, encoding="utf-8")
    with pytest.raises(UsageError, match=says):
        Profile.load(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        Profile.load(tmp_path / "none.json")


def test_labels() -> None:
    leaf = FieldProfile("price", 1, {})
    item = FieldProfile("[]", 1, {}, fields=(leaf,))
    profile = Profile("d", 1, (FieldProfile("a", 1, {}, items=item), FieldProfile("b", 1, {}, fields=(leaf,))))
    assert [label for label, _ in profile.walk()] == ["a", "a[]", "a[].price", "b", "b.price"]
