"""What a running service knows of keys: it follows the file, and no change of it opens the door."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from assay.access.keyring import Keyring
from assay.access.keys import KeyFile


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys")


@pytest.fixture
def ring(file: KeyFile) -> Keyring:
    ring = Keyring(file)
    ring.look()
    return ring


def test_no_key_is_asked_for_before_there_is_one(file: KeyFile, ring: Keyring) -> None:
    _, text = file.create("a", ["read"])
    assert (ring.is_asked, ring.find(text)) == (False, None)
    ring.look()
    assert ring.is_asked
    found = ring.find(text)
    assert found is not None
    assert found.name == "a"
    assert ring.get(found.id) == found


def test_a_revoked_key_is_known_no_more(file: KeyFile, ring: Keyring) -> None:
    first, text = file.create("a", ["read"])
    ring.look()
    file.revoke("a")
    ring.look()
    assert ring.is_asked
    assert ring.find(text) is None
    assert ring.get(first.id) is None


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda path: path.write_text("{"), id="damaged"),
        pytest.param(lambda path: path.unlink(), id="gone"),
        pytest.param(lambda path: (path.unlink(), path.mkdir()), id="a folder"),
        pytest.param(lambda path: path.chmod(0o666), id="open to others"),
        pytest.param(lambda path: (path.unlink(), path.symlink_to(path)), id="a link to itself"),
    ],
)
def test_whatever_becomes_of_the_file_the_door_stays_shut(file: KeyFile, ring: Keyring, damage: object) -> None:
    _, text = file.create("a", ["read"])
    ring.look()
    kept = file.path.read_bytes()
    assert callable(damage)
    damage(file.path)
    for _ in range(2):
        ring.look()
        assert ring.is_asked
        assert str(file.path) in str(ring.trouble)
        assert ring.find(text) is None
    # Put right, it is believed again.
    if file.path.is_dir():
        file.path.rmdir()
    else:
        file.path.unlink(missing_ok=True)
    file.path.touch(0o600)
    file.path.write_bytes(kept)
    ring.look()
    assert ring.trouble is None
    assert ring.find(text) is not None


def test_what_happens_to_keys_is_told_once(file: KeyFile, ring: Keyring) -> None:
    with structlog.testing.capture_logs() as told:
        file.create("a", ["read"])
        ring.look()
        file.create("b", ["read"])
        ring.look()
        file.revoke("a")
        good = file.path.read_bytes()
        ring.look()
        file.path.write_text("{")
        for _ in range(3):
            ring.look()
        file.path.write_bytes(good)
        for _ in range(3):
            ring.look()
    assert [(each["event"].partition(":")[0], each.get("name")) for each in told] == [
        ("keys are asked for", None),
        ("key taken up", "b"),
        ("key revoked", "a"),
        ("no key is known", None),
        ("keys are asked for", None),
    ]


def test_a_damaged_file_shuts_the_door_from_the_start(file: KeyFile) -> None:
    file.path.write_text("{")
    ring = Keyring(file)
    ring.look()
    assert ring.is_asked
    assert ring.trouble is not None


def test_a_file_that_did_not_change_is_not_read_again(
    file: KeyFile, ring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.create("a", ["read"])
    ring.look()
    monkeypatch.setattr(KeyFile, "read", lambda _: pytest.fail("it was read"))
    ring.look()
    assert ring.trouble is None


def test_a_change_of_the_same_size_at_the_same_time_is_seen(file: KeyFile, ring: Keyring) -> None:
    _, text = file.create("a", ["read"])
    ring.look()
    status = file.path.stat()
    data = file.path.read_bytes()
    file.path.write_bytes(data.replace(b'"a"', b'"b"'))
    os.utime(file.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    ring.look()
    found = ring.find(text)
    assert found is not None
    assert found.name == "b"


@given(st.text() | st.from_regex(r"assay_[a-z0-9]{8}_[A-Za-z0-9]{43}", fullmatch=True))
def test_nothing_else_is_a_key(tmp_path_factory: pytest.TempPathFactory, presented: str) -> None:
    file = KeyFile(tmp_path_factory.getbasetemp() / "one.keys")
    if file.read() is None:
        file.create("a", ["admin"])
    ring = Keyring(file)
    ring.look()
    assert ring.find(presented) is None
