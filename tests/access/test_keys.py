"""The file of keys: what it keeps, who may write it, and that whatever is wrong with it is said and believed by nobody."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from assay.access.keys import SCOPES, Key, KeyFile, Scope, id_of
from assay.errors import KeysFailed, UsageError

MAKE_SOME = """
import sys
from pathlib import Path
from assay.access.keys import KeyFile
for number in range(10):
    KeyFile(Path(sys.argv[1])).create(f"{sys.argv[2]}{number}", ["read"])
"""


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "s.duckdb.keys")


def known(file: KeyFile) -> dict[str, Key]:
    return {key.name: key for key in file.read() or ()}


def test_a_key_is_known_again_and_kept_nowhere(file: KeyFile) -> None:
    assert file.read() is None
    key, text = file.create("checkout", ["read", "collect", "read"])
    assert key.scopes == ("collect", "read")
    assert id_of(text) == key.id
    assert known(file) == {"checkout": key}
    assert key.is_key(text)
    secret = text.rpartition("_")[2]
    assert secret not in file.path.read_text()
    assert secret not in repr(key)
    assert len({file.create("checkout", ["read"])[1] for _ in range(20)}) == 20


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lambda text: text[:-1], id="cut"),
        pytest.param(lambda text: text + "x", id="longer"),
        pytest.param(lambda text: text.upper(), id="in capitals"),
        pytest.param(lambda text: text[: text.rindex("_") + 1], id="the id alone"),
        pytest.param(lambda text: "", id="nothing"),
        pytest.param(lambda text: text + "\udc80", id="half a character"),
    ],
)
def test_another_key_is_another_key(file: KeyFile, other: Any) -> None:
    key, text = file.create("a", ["read"])
    assert not key.is_key(other(text))


@pytest.mark.parametrize("scope", SCOPES)
def test_what_a_key_may(file: KeyFile, scope: Scope) -> None:
    key, _ = file.create("a", [scope])
    assert [each for each in SCOPES if key.may(each)] == (list(SCOPES) if scope == "admin" else [scope])


@pytest.mark.parametrize("name", ["", "a b", "-a", "a/b", "a\n", "ä", "a" * 64, "<b>"])
def test_what_is_no_name(file: KeyFile, name: str) -> None:
    with pytest.raises(UsageError, match="no name for a key"):
        file.create(name, ["read"])
    with pytest.raises(UsageError, match="needs a scope"):
        file.create("a", [])
    assert file.read() is None


def test_it_is_for_its_owner_alone_from_the_moment_it_exists(file: KeyFile, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        seen.append(stat.S_IMODE(self.stat().st_mode))
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    before = os.umask(0)
    try:
        file.create("a", ["read"])
        file.path.chmod(0o644)
        file.create("b", ["read"])
    finally:
        os.umask(before)
    assert seen == [0o600, 0o600]
    assert file.mode() == 0o600


def test_a_revoked_key_is_remembered_without_its_hash(file: KeyFile) -> None:
    _, text = file.create("a", ["read"])
    file.create("b", ["admin"])
    gone, left = file.revoke("a")
    assert left == 1
    assert gone.revoked_at is not None
    assert not gone.is_key(text)
    assert known(file)["a"] == gone
    document = json.loads(file.path.read_text())
    assert [each["name"] for each in document["keys"]] == ["b"]
    assert "sha256" not in document["revoked"][0]
    with pytest.raises(UsageError, match="there are: b"):
        file.revoke("a")


def test_the_last_key_leaves_a_file_that_lets_nobody_in(file: KeyFile) -> None:
    file.create("a", ["read"])
    assert file.revoke("a")[1] == 0
    assert [key.revoked_at is None for key in file.read() or ()] == [False]


def test_keys_of_one_name_are_revoked_by_id(file: KeyFile) -> None:
    first, _ = file.create("a", ["read"])
    second, _ = file.create("a", ["read"])
    with pytest.raises(UsageError, match=f"{first.id}.*{second.id}"):
        file.revoke("a")
    file.revoke(first.id)
    assert file.revoke("a")[0].id == second.id


def test_two_commands_at_once_lose_nothing(file: KeyFile) -> None:
    makers = [
        subprocess.Popen([sys.executable, "-c", MAKE_SOME, file.path, name], env={**os.environ}) for name in "abc"
    ]
    assert [maker.wait(60) for maker in makers] == [0, 0, 0]
    assert len(known(file)) == 30


def test_who_reads_meanwhile_sees_the_old_or_the_new(file: KeyFile) -> None:
    file.create("first", ["read"])
    done = threading.Event()
    counts: list[int] = []

    def read() -> None:
        while not done.is_set():
            counts.append(len(file.read() or ()))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(20):
        file.create(f"a{number}", ["read"])
    done.set()
    reader.join()
    assert counts == sorted(counts)
    assert counts[0] >= 1


GOOD = {"id": "k3f9a2xq", "name": "a", "scopes": ["read"], "created_at": "2026-01-01T00:00:00Z", "sha256": "00" * 32}


def document(**changed: Any) -> Any:
    return {"format": 1, "keys": [{**GOOD, **changed}], "revoked": []}


def test_the_sample_is_right(file: KeyFile) -> None:
    file.path.write_text(json.dumps(document()))
    assert [key.name for key in file.read() or ()] == ["a"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("{", id="cut"),
        pytest.param("\x00" * 100, id="zeros"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param("[]", id="a list"),
        pytest.param("{}", id="nothing in it"),
        pytest.param(json.dumps(document() | {"format": 2}), id="another format"),
        pytest.param(json.dumps(document() | {"keys": {}}), id="keys are no list"),
        pytest.param(json.dumps(document() | {"revoked": None}), id="revoked is no list"),
        pytest.param(json.dumps(document() | {"keys": [7]}), id="a number for a key"),
        pytest.param(json.dumps({"format": 1, "keys": [GOOD, GOOD]}), id="twice"),
        pytest.param(json.dumps(document(sha256="00")), id="a short hash"),
        pytest.param(json.dumps(document(sha256="")), id="no hash"),
        pytest.param(json.dumps(document(sha256="zz" * 32)), id="no hexadecimal"),
        pytest.param(json.dumps(document(scopes=[])), id="no scope"),
        pytest.param(json.dumps(document(scopes=["root"])), id="an unknown scope"),
        pytest.param(json.dumps(document(scopes="read")), id="a scope that is no list"),
        pytest.param(json.dumps(document(scopes=[["read"]])), id="a list for a scope"),
        pytest.param(json.dumps(document(id=7)), id="a number for an id"),
        pytest.param(json.dumps(document(id="K3F9A2XQ")), id="an id in capitals"),
        pytest.param(json.dumps(document(name="")), id="no name"),
        pytest.param(json.dumps(document(created_at="yesterday")), id="no time"),
        pytest.param(json.dumps({"format": 1, "keys": [], "revoked": [GOOD]}), id="revoked, and not said when"),
    ],
)
def test_a_damaged_file_is_named_and_left_as_it_is(file: KeyFile, text: str) -> None:
    file.path.write_text(text)
    for attempt in (file.read, lambda: file.create("b", ["read"]), lambda: file.revoke("a")):
        with pytest.raises(KeysFailed, match="damaged") as failed:
            attempt()
        assert str(file.path) in str(failed.value)
    assert file.path.read_text() == text


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666], ids=oct)
def test_one_that_others_may_write_is_not_believed(file: KeyFile, mode: int) -> None:
    file.create("a", ["read"])
    file.path.chmod(mode)
    with pytest.raises(KeysFailed, match=f"chmod 600 {file.path}"):
        file.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_one_of_another_user_is_not_believed(file: KeyFile) -> None:
    file.create("a", ["read"])
    os.chown(file.path, 4321, -1)
    with pytest.raises(KeysFailed, match=r"another user \(4321\)"):
        file.read()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_root_makes_keys_for_whose_folder_it_is(file: KeyFile) -> None:
    """A service that runs as somebody else must be able to read them, also after root has added one."""
    os.chown(file.path.parent, 4321, 1234)
    for name in "ab":
        file.create(name, ["read"])
        status = file.path.stat()
        assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (4321, 1234, 0o600)
    assert len(known(file)) == 2


def test_a_folder_in_its_place_is_said(file: KeyFile) -> None:
    file.path.mkdir()
    with pytest.raises(KeysFailed, match="cannot be read"):
        file.read()
    with pytest.raises(KeysFailed):
        file.create("a", ["read"])
