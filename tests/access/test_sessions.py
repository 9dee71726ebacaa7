from __future__ import annotations

from pathlib import Path

import pytest

from assay.access import sessions as module
from assay.access.keyring import Keyring
from assay.access.keys import Key, KeyFile
from assay.access.sessions import Sessions

HOUR = 3600.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys")


@pytest.fixture
def key(file: KeyFile) -> Key:
    return file.create("a", ["read"])[0]


@pytest.fixture
def ring(file: KeyFile, key: Key) -> Keyring:
    ring = Keyring(file)
    ring.look()
    return ring


@pytest.fixture
def sessions(ring: Keyring, clock: Clock) -> Sessions:
    return Sessions(ring, clock=clock)


def test_a_session_is_its_key_until_it_ends(sessions: Sessions, key: Key) -> None:
    token, other = sessions.begin(key), sessions.begin(key)
    assert token != other
    assert sessions.find(token) == key
    sessions.end(token)
    assert sessions.find(token) is None
    assert sessions.find(other) == key
    assert sessions.find("") is None
    assert sessions.find("\udc80") is None


def test_it_ends_with_its_key(sessions: Sessions, key: Key, file: KeyFile, ring: Keyring) -> None:
    token = sessions.begin(key)
    file.revoke("a")
    ring.look()
    assert sessions.find(token) is None
    again, _ = file.create("a", ["read"])
    ring.look()
    assert again.name == key.name
    assert sessions.find(token) is None


def test_it_ends_half_a_day_after_its_last_use(sessions: Sessions, key: Key, clock: Clock) -> None:
    token = sessions.begin(key)
    for _ in range(5):
        clock.now += 11 * HOUR
        assert sessions.find(token) == key
    clock.now += 13 * HOUR
    assert sessions.find(token) is None
    clock.now -= 13 * HOUR
    assert sessions.find(token) is None


def test_there_are_only_so_many(sessions: Sessions, key: Key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 3)
    tokens = [sessions.begin(key) for _ in range(3)]
    assert sessions.find(tokens[0]) == key  # used just now: the oldest is the next one
    tokens.append(sessions.begin(key))
    assert [sessions.find(token) == key for token in tokens] == [True, False, True, True]
