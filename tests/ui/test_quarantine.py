"""What the page of the quarantine remembers, and when it asks again."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from assay.errors import StoreLocked
from assay.ui import quarantine
from assay.ui.quarantine import Quarantine
from tests.conftest import until


class Desk:
    """A store that is asked; `count` events of one kind, or held by somebody."""

    def __init__(self) -> None:
        self.asked = 0
        self.count = 1
        self.is_held = False
        self.go = threading.Event()
        self.go.set()

    def rejects(self, dataset: str, *, limit: int, group: bool, timeout_s: float) -> Mapping[str, Any]:
        self.asked += 1
        assert self.go.wait(5)
        if self.is_held:
            raise StoreLocked("s", "a shell")
        group_ = {
            "fingerprint": "f",
            "count": self.count,
            "first_seen": "",
            "last_seen": "",
            "sources": ["s"],
            "sample": {"body": "{}", "errors": []},
        }
        return {"items": [group_]}


@pytest.fixture
def desk() -> Desk:
    return Desk()


def counts(it: Quarantine) -> list[int]:
    return [group.count for group in it.groups("d").groups]


def test_it_asks_once_for_several_looks(desk: Desk) -> None:
    it = Quarantine(desk)  # type: ignore[arg-type]
    assert counts(it) == counts(it) == [1]
    assert desk.asked == 1


def test_what_is_due_is_read_behind_what_is_shown(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    it = Quarantine(desk)  # type: ignore[arg-type]
    assert counts(it) == [1]
    monkeypatch.setattr(quarantine, "_FRESH_S", 0.0)
    desk.count = 2
    desk.go.clear()
    began = time.monotonic()
    assert counts(it) == counts(it) == [1]  # nobody waits, and it is asked once
    assert time.monotonic() - began < 1
    desk.go.set()
    monkeypatch.setattr(quarantine, "_FRESH_S", 60.0)
    assert until(lambda: counts(it) == [2])
    assert desk.asked == 2


def test_what_is_old_is_asked_for_first(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    it = Quarantine(desk)  # type: ignore[arg-type]
    assert counts(it) == [1]
    monkeypatch.setattr(quarantine, "_RECENT_S", 0.0)
    desk.count = 2
    assert counts(it) == [2]
    desk.is_held = True
    found = it.groups("d")
    assert "a shell" in found.trouble
    assert found.age_s > 0
    assert found.groups[0].count == 2


def test_what_was_never_read_is_not_made_up(desk: Desk) -> None:
    desk.is_held = True
    found = Quarantine(desk).groups("d")  # type: ignore[arg-type]
    assert not found.was_read
    assert "a shell" in found.trouble


def test_after_a_replay_it_is_read_anew(desk: Desk) -> None:
    it = Quarantine(desk)  # type: ignore[arg-type]
    assert counts(it) == [1]
    desk.count = 0
    it.forget("d")
    assert counts(it) == [0]
