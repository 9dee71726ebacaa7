"""bin/_stores.py: where a lake's catalogue goes when PostgreSQL cannot be had."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def stores(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "bin")
    return importlib.import_module("_stores")


@pytest.mark.parametrize(
    ("programs", "user", "why"),
    [
        pytest.param(None, 0, "PostgreSQL is not installed", id="not installed"),
        pytest.param(Path("/usr/bin"), None, "there is no user postgres", id="as root alone"),
    ],
)
def test_a_catalogue_is_a_file_without_postgresql(
    stores: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    programs: Path | None,
    user: int | None,
    why: str,
) -> None:
    monkeypatch.setattr(stores, "_postgres", lambda: programs)
    monkeypatch.setattr(stores, "_unprivileged", lambda: user)
    store = stores.STORES["ducklake"](SimpleNamespace(folder=tmp_path))
    assert store.address == f"ducklake:sqlite:{tmp_path}/lake.sqlite"
    assert why in store.description
    assert store.collectors == 2
