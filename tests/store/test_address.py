"""How a person names a lake, and what is said of a name that is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from assay.errors import UsageError
from assay.store.address import Lake, is_lake
from assay.store.extensions import extension

ROOT = Path("/w")


@pytest.mark.parametrize(
    ("store", "data", "catalogue", "files"),
    [
        pytest.param("ducklake:sqlite:l.sqlite", "", "sqlite:/w/l.sqlite", "/w/l.sqlite.files/", id="a file"),
        pytest.param("ducklake:sqlite:/x/l", "d", "sqlite:/x/l", "/w/d/", id="a file elsewhere"),
        pytest.param("ducklake:postgres:dbname=a", "/d", "postgres:dbname=a", "/d/", id="PostgreSQL"),
        pytest.param(
            "ducklake:postgres:dbname='a b' host=h", "s3://b/p", "postgres:dbname='a b' host=h", "s3://b/p", id="S3"
        ),
        pytest.param("ducklake:postgres:postgresql://u@h/a", "", "postgres:postgresql://u@h/a", "", id="a URL"),
    ],
)
def test_a_name_says_where_catalogue_and_files_are(store: str, data: str, catalogue: str, files: str) -> None:
    lake = Lake.parse(store, data=data, root=ROOT)
    assert (lake.catalogue, lake.data) == (catalogue, files)
    assert Lake.parse(str(lake), data=lake.data, root=Path("/elsewhere")) == lake
    assert lake.is_on_s3 == files.startswith("s3://")


@pytest.mark.parametrize(
    ("store", "said"),
    [
        ("ducklake:", "names no lake"),
        ("ducklake:l.duckdb", "names no lake"),
        ("ducklake:sqlite:", "names no lake"),
        ("ducklake:mysql:db=a", "names no lake"),
        ("ducklake:postgres:somewhere", "dbname="),
        ("ducklake:postgres:dbname=a password=secret", "PGPASSWORD"),
        ("ducklake:postgres:postgresql://u:secret@h/a", "PGPASSWORD"),
    ],
)
def test_what_is_no_lake_is_said_and_a_secret_is_not_repeated(store: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        Lake.parse(store, root=ROOT)
    assert "secret" not in str(error.value)
    with pytest.raises(UsageError, match=said):
        Lake.named(store)


def test_a_file_is_no_lake() -> None:
    assert not is_lake("assay.duckdb")
    assert not is_lake(Path("ducklake:x"))
    assert is_lake("ducklake:x")


def test_a_lake_without_its_extensions_says_what_brings_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"pip install 'assay\[lake\]'"):
        extension("ducklake")
